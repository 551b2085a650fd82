package policies

import "time"

// Pressure sheds sessions before memory runs out: from 70 % of Heap on, the limits
// of Idle and Lifetime shrink in steps, down to a tenth at 100 %, from where on new
// handshakes are refused as well.
type Pressure struct {
	// Heap is how many bytes of live heap are too many. Zero: off.
	Heap int64 `mapstructure:"heap"`
}

// Step is how short memory is: zero is not at all, and each step from the first,
// at 70 % of Pressure.Heap, is 5 % more.
type Step uint8

// FullStep is at 100 %.
const FullStep Step = 7

// Full reports whether there is no memory for new sessions.
func (s Step) Full() bool { return s >= FullStep }

// Step returns the step for so many bytes of live heap.
func (p Pressure) Step(live int64) Step {
	step := FullStep
	for step > 0 && !p.reaches(live, step, 0) {
		step--
	}
	return step
}

// Next returns the step that follows the current one. It goes up at once, and
// down by one step a call, and only from 2.5 % of Heap below where the current one
// begins: what was shed is not let in again by the first collection that finds
// it gone.
func (p Pressure) Next(current Step, live int64) Step {
	step := p.Step(live)
	if p.Heap <= 0 || step >= current {
		return step
	}
	if current = min(current, FullStep); p.reaches(live, current, 0.5) {
		return current
	}
	return current - 1
}

// reaches reports whether live is where step begins, less a part of a step's
// width.
func (p Pressure) reaches(live int64, step Step, less float64) bool {
	const steps = 20 // in all of Heap, of which the last seven count
	begins := steps - float64(FullStep) + float64(step) - less
	return p.Heap > 0 && float64(live)*steps >= float64(p.Heap)*begins
}

// shrink shortens a limit by equal steps, the first of which is the one after
// late, down to a tenth at the last. It never leaves nothing, which would mean off.
func (s Step) shrink(d time.Duration, late Step) time.Duration {
	if s <= late {
		return d
	}
	part := float64(min(s, FullStep)-late) / float64(FullStep-late)
	return d - time.Duration(float64(d)*0.9*part)
}
