//go:build linux

package main

import (
	"context"
	"io"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape is what wswarden's metrics were at a moment, by their names.
type scrape map[string]*dto.MetricFamily

func (p *process) scrape(ctx context.Context) (s scrape, err error) {
	err = p.ask(ctx, "/metrics", "text/plain;version=0.0.4", func(answer io.Reader) error {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		s, err = parser.TextToMetricFamilies(answer)
		return err
	})
	return s, err
}

// sum returns the sum of a gauge or counter, of those series that have all labels.
func (s scrape) sum(name string, labels ...string) (sum float64) {
	for _, m := range s[name].GetMetric() {
		has := 0
		for _, l := range m.GetLabel() {
			if slices.Contains(labels, l.GetName()+"="+l.GetValue()) {
				has++
			}
		}
		if has == len(labels) {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return sum
}

// heap returns what is in use of the heap after garbage was collected, in MiB.
func (p *process) heap(ctx context.Context) (mib float64, err error) {
	for range 2 { // pools are emptied by the second collection
		if err := p.ask(ctx, "/debug/pprof/heap?gc=1", "*/*", discard); err != nil {
			return 0, err
		}
	}
	s, err := p.scrape(ctx)
	return s.sum("go_memstats_heap_alloc_bytes") / (1 << 20), err
}
