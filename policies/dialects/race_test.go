//go:build race

package dialects

// RaceDetector makes everything several times as dear, and finds the same in fewer
// messages.
const RaceDetector = true
