package dialects

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// texts returns the records of a message.
func texts(d *Dialect, from Direction, binary bool, message []byte) (all []string, err error) {
	var r Reader
	r.Begin(d, from, binary, message)
	for record := r.Next(); record != nil; record = r.Next() {
		all = append(all, string(record.Text))
	}
	return all, r.Err()
}

func TestSplitting(t *testing.T) {
	for _, test := range []struct {
		records Records
		message string
		want    []string
		again   string // as AppendMessage joins them; empty: as it was
	}{
		{OneRecord, "", nil, ""},
		{OneRecord, " {}\n", []string{" {}\n"}, ""},
		{Lines, "1\n2", []string{"1", "2"}, ""},
		{Lines, "1\n2\n", []string{"1", "2"}, "1\n2"},
		{Lines, "\n\n1\n\n", []string{"1"}, "1"},
		{Lines, " \n", []string{" "}, " "},
		{RS, "1\x1e2\x1e", []string{"1", "2"}, ""},
		{RS, "\x1e\x1e", []string{"", ""}, ""},
		{NUL, "1\x002\x00", []string{"1", "2"}, ""},
		{Batch, `{"a":[1]}`, []string{`{"a":[1]}`}, ""},
		{Batch, ` [ 1 , {"a":","} ,"]", [2] ] `, []string{"1", `{"a":","}`, `"]"`, "[2]"}, `[1,{"a":","},"]",[2]]`},
		{Batch, `[{}]`, []string{`{}`}, `{}`},
		{Batch, `[[1]]`, []string{`[1]`}, ""},
		{Batch, `[]`, []string{`[]`}, ""},
		{Batch, `[1,`, []string{`[1,`}, ""},
		{Batch, `[1] 2`, []string{`[1] 2`}, ""},
		{Batch, `[1,2,]`, []string{`[1,2,]`}, ""},
	} {
		d := mustCompile(t, Spec{Records: test.records})
		got, err := texts(d, ClientToUpstream, false, []byte(test.message))
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%s %q: got %q, %v, want %q", test.records, test.message, got, err, test.want)
		}
		var records [][]byte
		for _, text := range got {
			records = append(records, []byte(text))
		}
		if test.again == "" {
			test.again = test.message
		}
		if got := d.AppendMessage([]byte("<"), records); test.want != nil && string(got) != "<"+test.again {
			t.Errorf("%s %q: joined %q, want %q", test.records, test.message, got, test.again)
		}
	}
}

func TestRecordWithoutItsEnd(t *testing.T) {
	for _, test := range []struct {
		spec    Spec
		message string
		whole   int // records before it
	}{
		{Spec{Records: RS}, "1\x1e2", 1},
		{Spec{Records: RS}, "1", 0},
		{Spec{Records: NUL}, "1\x00\n", 1},
		{Spec{Form: STOMP}, "SEND\n\n\x00SUBSCRIBE\nid:1\n", 1},
	} {
		d := mustCompile(t, test.spec)
		got, err := texts(d, ClientToUpstream, false, []byte(test.message))
		if !errors.Is(err, ErrUnreadable) || len(got) != test.whole {
			t.Errorf("%q from the client: %q, %v", test.message, got, err)
		}
		// Upstream's are no danger.
		if got, err = texts(d, UpstreamToClient, false, []byte(test.message)); err != nil || len(got) > test.whole {
			t.Errorf("%q from upstream: %q, %v", test.message, got, err)
		}
	}
}

func ExampleDialect_AppendMessage() {
	d, _ := Compile(Spec{Name: "example", Records: Batch})
	fmt.Printf("%s\n", d.AppendMessage(nil, [][]byte{[]byte("1"), []byte("2")}))
	// Output: [1,2]
}
