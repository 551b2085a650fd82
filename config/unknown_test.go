package config

import (
	"slices"
	"strings"
	"testing"
)

func TestUnknownVariables(t *testing.T) {
	t.Setenv("WSWARDEN_DRAIN_SPREAD", "5")
	for _, lines := range []string{"policies: [{match: {path: /a}}, {}]", "policies: [{match: {path: /a}}, {}]\ndrain: {timeout: 1s}"} {
		l, _ := newReader().load([]file{{name: "w.yaml", text: []byte(upstreamLine + lines)}}, nil, nil)
		for variable, want := range map[string]string{
			"WSWARDEN_DRAIN_TIMOUT":            "names no key; did you mean WSWARDEN_DRAIN_TIMEOUT?",
			"WSWARDEN_DRIAN_TIMEOUT":           "names no key; did you mean WSWARDEN_DRAIN_TIMEOUT?",
			"WSWARDEN_DRAIN_PATIENCE":          "names no key; wswarden check --print tells all of them",
			"WSWARDEN_DIALECTS_0_COLOUR":       "names no key; wswarden check --print tells all of them",
			"WSWARDEN_POLICIES_2_IDLE_TIMEOUT": "names a key of a list's item that there is not; items are counted from 0",
			"WSWARDEN_LISTENERS_1_ADDRESS":     "names a key of a list's item that there is not; items are counted from 0",

			// sections, lists and what is in them, which are no keys
			"WSWARDEN_DRAIN":                   "names no key; set one such as WSWARDEN_DRAIN_TIMEOUT",
			"WSWARDEN_LISTENERS":               "names no key; set one such as WSWARDEN_LISTENERS_0_ADDRESS",
			"WSWARDEN_POLICIES":                "names no key; set one such as WSWARDEN_POLICIES_0_NAME",
			"WSWARDEN_POLICIES_1":              "names no key; set one such as WSWARDEN_POLICIES_1_NAME",
			"WSWARDEN_POLICIES_1_IDLE":         "names no key; set one such as WSWARDEN_POLICIES_1_IDLE_TIMEOUT",
			"WSWARDEN_UPSTREAM_TLS":            "names no key; set one such as WSWARDEN_UPSTREAM_TLS_CA",
			"WSWARDEN_DRAIN_CLOSE":             "names no key; set one such as WSWARDEN_DRAIN_CLOSE_CODE",
			"WSWARDEN_DIALECTS":                "names no key; wswarden check --print tells all of them",
			"WSWARDEN_POLICIES_0_MATCH_HEADER": "names no key; wswarden check --print tells all of them",

			// known, or somebody else's
			"WSWARDEN_DRAIN_TIMEOUT":           "",
			"WSWARDEN_POLICIES_1_IDLE_TIMEOUT": "",
			"WSWARDEN_DRAIN_SPREAD":            "",
			"WSWARDEN_TRUSTED_PROXIES":         "",
			"WSWARDEN_IMAGE":                   "",
			"DRAIN_TIMOUT":                     "",

			// as Kubernetes sets them
			"WSWARDEN_SERVICE_HOST":             "",
			"WSWARDEN_SERVICE_PORT":             "",
			"WSWARDEN_SERVICE_PORT_HTTP":        "",
			"WSWARDEN_PORT":                     "",
			"WSWARDEN_PORT_8080_TCP":            "",
			"WSWARDEN_PORT_8080_TCP_ADDR":       "",
			"WSWARDEN_ADMIN_SERVICE_HOST":       "",
			"WSWARDEN_ADMIN_PORT_9090_TCP_ADDR": "",
		} {
			if want != "" {
				want = variable + ": " + want
			}
			if got := strings.Join(l.Unknown([]string{variable + "=secret"}), "\n"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	}
}

func TestUnknownVariablesAreSorted(t *testing.T) {
	l, err := Source{Upstream: "http://a"}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if got := l.Unknown([]string{"WSWARDEN_LOG_X=", "WSWARDEN_LOG_A=", "PATH=/bin"}); len(got) != 2 || !slices.IsSorted(got) {
		t.Errorf("got %q", got)
	}
}
