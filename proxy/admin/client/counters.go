package client

import (
	"context"
	"io"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Counters are metrics of the sessions, added up over the policies asked for.
type Counters struct {
	Live     float64
	Draining bool
	// Opened and Ended, by cause, since wswarden was started.
	Opened float64
	Ended  map[string]float64
}

// Counters reads them; of all policies if policy is empty.
func (c *Client) Counters(ctx context.Context, policy string) (Counters, error) {
	a, err := c.send(ctx, http.MethodGet, "/metrics", nil, string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	if err != nil {
		return Counters{}, err
	}
	defer a.Close()
	body := io.LimitReader(a, largest)
	if a.status != http.StatusOK {
		text, _ := io.ReadAll(body)
		return Counters{}, c.refused(a.status, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(body)
	if err != nil {
		return Counters{}, c.cut(a, err)
	}
	counters := Counters{Ended: map[string]float64{}}
	each := func(name string, add func(m *dto.Metric)) {
		for _, m := range families[name].GetMetric() {
			if of := label(m, "policy"); policy == "" || of == "" || of == policy {
				add(m)
			}
		}
	}
	each("wswarden_draining", func(m *dto.Metric) { counters.Draining = m.GetGauge().GetValue() > 0 })
	each("wswarden_sessions_live", func(m *dto.Metric) { counters.Live += m.GetGauge().GetValue() })
	each("wswarden_sessions_opened_total", func(m *dto.Metric) { counters.Opened += m.GetCounter().GetValue() })
	each("wswarden_sessions_ended_total", func(m *dto.Metric) {
		counters.Ended[label(m, "cause")] += m.GetCounter().GetValue()
	})
	return counters, nil
}

func label(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}
