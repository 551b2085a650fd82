package console

import (
	"unicode/utf8"

	"github.com/gdamore/tcell/v3"
)

// validTty reads UTF-8 from a terminal and leaves out what is none: tcell would turn
// round and round on the spot behind it, and take no key any more.
type validTty struct {
	tcell.Tty
	rest []byte // the beginning of a letter
}

// Read needs room for more than a letter.
func (t *validTty) Read(p []byte) (n int, err error) {
	held := copy(p, t.rest)
	got, err := t.Tty.Read(p[held:])
	t.rest = t.rest[:0]
	for b := p[:held+got]; len(b) > 0; {
		if !utf8.FullRune(b) {
			t.rest = append(t.rest, b...)
			break
		}
		r, size := utf8.DecodeRune(b)
		if r != utf8.RuneError || size > 1 {
			n += copy(p[n:], b[:size])
		}
		b = b[size:]
	}
	return n, err
}
