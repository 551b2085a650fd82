package evloop

import (
	"errors"
	"testing"
)

// What Do has taken is called, also what is asked while the loop stops; what it
// has not taken is refused.
func TestStopLosesNoLetter(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		var called []string
		ask := func(name string, then func()) {
			if err := l.Do(func() { called = append(called, name); then() }); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := l.Stop(); err != nil {
			t.Fatal(err)
		}
		ask("behind Stop", func() { ask("asked by that", func() {}) })
		if err := l.Run(); err != nil {
			t.Fatal(err)
		}
		if len(called) != 2 {
			t.Errorf("called %q", called)
		}
		if err := l.Do(func() {}); !errors.Is(err, ErrClosed) {
			t.Errorf("Do behind the end: %v", err)
		}
	})
}
