//go:build linux && !race

package faults

import "time"

// unit of all times that something must not take.
const unit = time.Second
