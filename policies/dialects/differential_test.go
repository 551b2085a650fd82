package dialects

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The scanner must see in a message what the server's parser sees in it. Here,
// Node reads the same messages, and compares.

const differentialMessages = 120_000

// AskNode runs a script of testdata/differential on a batch, and reads its answer.
// A test that needs it is skipped where Node is absent, but not in CI.
func AskNode(t *testing.T, script string, batch []byte, answer any) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		absent := t.Skip
		if os.Getenv("CI") == "true" {
			absent = t.Fatal
		}
		absent("Node is not installed: messages are not compared with what Node reads in them")
	}
	command := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "differential", script))
	command.Stdin = bytes.NewReader(batch)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatalf("%s answered %.100q: %v", script, out, err)
	}
}

// Fewer returns n, or a tenth of it under the race detector.
func Fewer(n int) int {
	if RaceDetector {
		return n / 10
	}
	return n
}

// AppendText appends a text as batch.js reads it.
func AppendText(batch, text []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(batch, uint32(len(text))), text...)
}

func TestDifferentialJSON(t *testing.T) {
	t.Parallel()
	paths := []string{
		"type", "payload", "payload.pnr", "payload.pnr.type", "data", "data.type", "data->type", "data->a", "data->[0]", "data->data->type", "a->type", "a->[1]", "[0]", "[3]", "[1].type",
		"a[1].b", "a[0]", "__proto__", "__proto__.type", `["odd.key"]`, `[""]`, "->type", "😀",
	}
	g := NewGenerator(1,
		[]string{"type", "payload", "payload", "pnr", "data", "data", "a", "a", "b", "__proto__", "odd.key", "", "😀", "Type", "length", "toString", "0", "constructor"},
		[]string{"subscribe:offers", "1722500001", "1", "0", "", "a", "A", "true", "null", "[object Object]", "é", "😀", "�", "\x00", "\n", `\`, `"`, `{"type":1}`, `["a"]`, "-0", "Infinity"})

	tree := testTree(t, false, paths...)
	steps := make([][]any, len(paths))
	for i, text := range paths {
		p, _ := parsePath(text)
		for _, s := range p {
			steps[i] = append(steps[i], map[segmentKind]any{keySegment: s.key, indexSegment: s.index}[s.kind])
		}
	}
	header, err := json.Marshal(steps)
	if err != nil {
		t.Fatal(err)
	}
	batch := AppendText(nil, header)
	var s scanner
	deep := 0
	values := make([]Value, tree.size())
	add := func(message []byte) {
		ok := s.find(tree, message, values)
		if ok && bytes.Count(message, []byte("["))+bytes.Count(message, []byte("{")) > 10_000 {
			deep++
		}
		batch = AppendText(batch, message)
		batch = append(batch, flag(ok))
		for _, v := range values {
			batch = appendValue(batch, v)
		}
	}
	for _, texts := range [][]string{validTexts, invalidTexts} {
		for _, text := range texts {
			add([]byte(text))
		}
	}
	messages := Fewer(differentialMessages)
	for range messages {
		add(g.Message())
	}

	var seen struct {
		Messages, Valid, Inner, Values                       int
		Absent, Null, Boolean, Number, String, Object, Array int
		Disagreements                                        []string
	}
	AskNode(t, "json.js", batch, &seen)
	for _, d := range seen.Disagreements {
		t.Error(d)
	}
	if want := messages + len(validTexts) + len(invalidTexts); seen.Messages != want {
		t.Errorf("Node has read %d messages, want %d", seen.Messages, want)
	}
	// Enough of each was there for this to be a test.
	for what, row := range map[string]struct{ got, want int }{
		"valid messages":   {seen.Valid, messages / 2},
		"invalid messages": {seen.Messages - seen.Valid, messages / 8},
		"deep messages":    {deep, messages / 12_000},
		"values in text":   {seen.Inner, messages / 120},
		"different values": {seen.Values, messages / 60},
		"null":             {seen.Null, messages / 120},
		"booleans":         {seen.Boolean, messages / 60},
		"numbers":          {seen.Number, messages / 30},
		"strings":          {seen.String, messages / 10},
		"objects":          {seen.Object, messages / 15},
		"arrays":           {seen.Array, messages / 30},
	} {
		if row.got < row.want {
			t.Errorf("%s: %d, want %d at least", what, row.got, row.want)
		}
	}
	seen.Disagreements = nil
	t.Logf("%+v, %d deep", seen, deep)
}

func appendValue(batch []byte, v Value) []byte {
	batch = append(batch, byte(v.kind))
	if v.kind == absent {
		return batch
	}
	batch = append(batch, flag(v.Usable()))
	hash := uint64(0)
	if v.Usable() {
		hash = v.Hash()
	}
	batch = binary.LittleEndian.AppendUint64(batch, hash)
	return AppendText(AppendText(batch, v.Raw), v.AppendText(nil))
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}
