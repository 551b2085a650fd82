//go:build !race

package dialects

// RaceDetector: see race_test.go.
const RaceDetector = false
