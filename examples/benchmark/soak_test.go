//go:build linux

package main

import (
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

// A soak of a second, in which what takes seconds otherwise takes a twentieth of that:
// every kind of session comes, ends as it should, and is counted so.
func TestSoak(t *testing.T) {
	o, err := parseOptions([]string{"-cases", caseSoak}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.wswarden = built(t)
	report, err := soaks(t.Context(), o, soakPlan{
		duration: 700 * time.Millisecond, sessions: 100, perSecond: 250, unit: 50 * time.Millisecond, every: 50 * time.Millisecond,
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := report.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	if err := report.verdict(); err != nil {
		t.Errorf("%v\n%s", err, table.String())
	}
	if len(report.Ended) < 18 || len(report.Refused) < 3 || report.Pages == 0 || report.Messages == 0 {
		t.Errorf("something did not happen:\n%s", table.String())
	}
	for _, v := range report.Vitals {
		if math.IsNaN(v.Slope) || v.First <= 0 || v.Last <= 0 {
			t.Errorf("%+v", v)
		}
	}
}

// The verdict finds what is not as it has to be.
func TestSoakVerdict(t *testing.T) {
	for name, report := range map[string]soakReport{
		"an error of a healthy client": {Faults: faults{Count: 1}},
		"an odd end of another":        {Oddities: faults{Count: 1}},
		"a session left":               {Left: 1},
		"another count":                {Differ: []string{"idle of quiet: 1, and 2 by wswarden"}},
	} {
		if err := report.verdict(); err == nil {
			t.Errorf("%s is not found", name)
		}
	}
	if err := new(soakReport).verdict(); err != nil {
		t.Error(err)
	}
}

func TestSlope(t *testing.T) {
	for _, test := range []struct {
		name               string
		x, y               []float64
		wantSlope, wantErr float64
	}{
		{"a line", []float64{0, 1, 2, 3}, []float64{1, 3, 5, 7}, 2, 0},
		{"flat with noise", []float64{0, 1, 2, 3}, []float64{1, -1, -1, 1}, 0, math.Sqrt(4.0 / 2 / 5)},
		{"two points", []float64{0, 1}, []float64{0, 1}, 0, 0},
	} {
		if slope, err := slope(test.x, test.y); math.Abs(slope-test.wantSlope) > 1e-9 || math.Abs(err-test.wantErr) > 1e-9 {
			t.Errorf("%s: %v ± %v, want %v ± %v", test.name, slope, err, test.wantSlope, test.wantErr)
		}
	}
}
