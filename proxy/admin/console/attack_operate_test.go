package console

import (
	"io"
	"testing"

	"github.com/gdamore/tcell/v3"
)

// typed is a terminal at which somebody types, one text at a time.
type typed struct {
	tcell.Tty
	texts []string
}

func (t *typed) Read(p []byte) (int, error) {
	if len(t.texts) == 0 {
		return 0, io.EOF
	}
	n := copy(p, t.texts[0])
	t.texts = t.texts[1:]
	return n, nil
}

// What is no UTF-8 is left out, and no key behind it.
func TestKeysBehindWhatIsNoText(t *testing.T) {
	for _, row := range []struct {
		want  string
		texts []string
	}{
		{"q\x03\x1b[A", []string{"q\x03\x1b[A"}},
		{"ä€😀\ufffd", []string{"ä€😀\ufffd"}},
		{"ä😀q", []string{"\xc3", "\xa4\xf0\x9f", "\x98", "\x80q"}},
		{"q", []string{"\xe4", "q"}},
		{"qq", []string{"\xff\xfeq\xc3q"}},
		{"q\x03", []string{"\xf0\x9f", "q", "\xa4\x80", "\x03"}},
	} {
		got, err := io.ReadAll(&validTty{Tty: &typed{texts: row.texts}})
		if err != nil || string(got) != row.want {
			t.Errorf("%q: %q, %v, want %q", row.texts, got, err, row.want)
		}
	}
}
