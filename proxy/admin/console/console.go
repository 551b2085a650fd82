// Package console shows people and programs what the admin API says: as tables, as
// JSON, and on a live screen.
package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"

	"wswarden/proxy/admin/api"
	"wswarden/proxy/admin/client"
)

// Console is where commands say what they have found out. Its methods are for one
// goroutine at a time.
type Console struct {
	Client *client.Client
	In     io.Reader
	Out    io.Writer // answers
	Err    io.Writer // remarks and questions
	// JSON is for programs: what the API says.
	JSON bool
}

// Query says which sessions are shown, and how.
type Query struct {
	Filter api.Filter
	Sort   api.Sort
	// Limit is how many; zero: all.
	Limit int
}

// terminal returns what is behind a reader or writer, if that is a terminal.
func terminal(stream any) (*os.File, bool) {
	file, ok := stream.(*os.File)
	return file, ok && term.IsTerminal(int(file.Fd()))
}

// Asks reports whether there is somebody to be asked.
func (c *Console) Asks() bool {
	_, in := terminal(c.In)
	_, err := terminal(c.Err)
	return in && err
}

// width of the output's lines; zero: they may have any.
func (c *Console) width() int {
	if file, ok := terminal(c.Out); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// colours reports whether the output may have some: see no-color.org.
func (c *Console) colours() bool {
	_, ok := terminal(c.Out)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// print writes lines at once, so that they are not torn apart.
func (c *Console) print(lines ...line) error {
	colours := c.colours()
	var b bytes.Buffer
	for _, l := range lines {
		if code := l.style.ansi(); colours && code != "" && l.text != "" {
			fmt.Fprintf(&b, "\x1b[%sm%s\x1b[m\n", code, l.text)
		} else {
			b.WriteString(l.text + "\n")
		}
	}
	_, err := c.Out.Write(b.Bytes())
	return err
}

func (s style) ansi() string {
	switch s {
	case strong:
		return "1"
	case faint:
		return "2"
	case alarm:
		return "31"
	}
	return ""
}

// json writes a value as one line.
func (c *Console) json(v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := c.Out.Write(escape(b.Bytes()))
	return err
}

// escape spells the control characters that JSON allows in a way that no terminal
// obeys. All of them are in texts.
func escape(text []byte) []byte {
	var b []byte
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r >= 0x7f && r < 0xa0 {
			b = fmt.Appendf(b, "\\u%04x", r)
		} else {
			b = append(b, text[i:i+n]...)
		}
		i += n
	}
	return b
}
