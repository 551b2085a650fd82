//go:build linux && race

package faults

import "time"

// unit of all times that something must not take: the race detector is slow.
const unit = 3 * time.Second
