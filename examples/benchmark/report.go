//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// figure is one thing that is measured, and the case that measures it.
type figure struct {
	Key   string `json:"figure"`
	Case  string `json:"case"`
	Title string `json:"title"`
}

var (
	echoCPU        = figure{"echo_cpu", caseEcho, "CPU seconds per million echoes of 128 bytes"}
	echoP50        = figure{"echo_p50", caseEcho, "Latency of these echoes, p50, ms"}
	echoP99        = figure{"echo_p99", caseEcho, "Latency of these echoes, p99, ms"}
	bulkCPU        = figure{"bulk_cpu", caseBulk, "CPU seconds per GB relayed in 64 KiB messages"}
	handshakeCPU   = figure{"handshake_cpu", caseHandshake, "CPU microseconds per handshake (open, echo, close)"}
	idleMemory     = figure{"idle_memory", caseIdle, "KiB of memory per idle session"}
	inspectCPU     = figure{"inspect_cpu", caseInspect, "CPU microseconds per message of 128 bytes of JSON, and where dialect rac reads it"}
	refuseCPU      = figure{"refuse_cpu", caseRefuse, "CPU microseconds per handshake (open, echo, close), and per refused one"}
	listingP50     = figure{"listing_p50", caseListing, "Latency of echoes in a crowd, and while that is listed, p50, ms"}
	listingP99     = figure{"listing_p99", caseListing, "Latency of echoes in a crowd, and while that is listed, p99, ms"}
	listingTime    = figure{"listing_time", caseListing, "Milliseconds until a listing is complete meanwhile"}
	listingMost    = figure{"listing_most", caseListing, "Milliseconds until the slowest of a round's listings is"}
	listingAlone   = figure{"listing_alone", caseListing, "Milliseconds until a listing is complete, without echoes"}
	listingCPU     = figure{"listing_cpu", caseListing, "CPU milliseconds per listing, without echoes"}
	listingLag     = figure{"listing_lag", caseListing, "Lag of the loops, with echoes, mean, ms"}
	listingLate    = figure{"listing_late", caseListing, "Part of it that is above 1 ms, percent"}
	reloadLost     = figure{"reload_lost", caseReload, "Sessions lost, or with a message that was lost, another or out of order"}
	reloadMessages = figure{"reload_messages", caseReload, "Messages echoed, each compared on both sides"}
	reloadSeconds  = figure{"reload_seconds", caseReload, "Seconds for all reloads"}
	reloadApplied  = figure{"reload_applied", caseReload, "Configurations that were put into use"}
	reloadRefused  = figure{"reload_refused", caseReload, "Configurations that were refused"}
	reloadTook     = figure{"reload_took", caseReload, "Milliseconds until every session has moved, median"}
	reloadMost     = figure{"reload_most", caseReload, "Milliseconds until every session has moved, slowest reload of a round"}
	reloadHeap     = figure{"reload_heap", caseReload, "Heap in use after a collection, MiB, and after all reloads"}
	reloadP50      = figure{"reload_p50", caseReload, "Latency of these echoes, and while configurations are reloaded, p50, ms"}
	reloadP99      = figure{"reload_p99", caseReload, "Latency of these echoes, and while configurations are reloaded, p99, ms"}

	tlsEcho      = figure{"tls_echo", caseTLS, "With TLS: CPU seconds per million echoes of 128 bytes"}
	tlsBulk      = figure{"tls_bulk", caseTLS, "With TLS: CPU seconds per GB relayed in 64 KiB messages"}
	tlsHandshake = figure{"tls_handshake", caseTLS, "With TLS: CPU microseconds per handshake (open, echo, close)"}
	tlsResumed   = figure{"tls_resumed", caseTLS, "With TLS: CPU microseconds per handshake of a client that comes back"}
	tlsIdle      = figure{"tls_idle", caseTLS, "With TLS: KiB of memory per idle session"}

	figures = []figure{
		echoCPU, echoP50, echoP99, bulkCPU, handshakeCPU, idleMemory, inspectCPU, refuseCPU,
		listingP50, listingP99, listingTime, listingMost, listingAlone, listingCPU, listingLag, listingLate,
		reloadLost, reloadMessages, reloadSeconds, reloadApplied, reloadRefused, reloadTook, reloadMost, reloadHeap, reloadP50, reloadP99,
		tlsEcho, tlsBulk, tlsHandshake, tlsResumed, tlsIdle,
	}
)

// base is what the others of a figure are compared with: wswarden, which is a crowd
// where it is listed, and settled where it is reloaded.
func (f figure) base() string {
	switch f.Case {
	case caseListing:
		return crowd
	case caseReload:
		return settled
	}
	return wswarden
}

// names returns what there can be rows of, in their order.
func names() (names []string) {
	for _, t := range targets {
		names = append(names, t.name)
	}
	for _, k := range listings {
		if !slices.Contains(names, k.name) {
			names = append(names, k.name)
		}
	}
	return append(names, settled)
}

// results holds one value a round.
type results map[figure]map[string][]float64

func (r results) add(f figure, target string, value float64) {
	if r[f] == nil {
		r[f] = make(map[string][]float64)
	}
	r[f][target] = append(r[f][target], value)
}

// row is what is told of one figure of one target.
type row struct {
	figure
	Target string    `json:"target"`
	Median float64   `json:"median"`
	Min    float64   `json:"min"`
	Max    float64   `json:"max"`
	Ratio  float64   `json:"ratio,omitempty"` // to the median of the figure's base
	Values []float64 `json:"values"`          // in the order of the rounds
}

// rows lists figures and names in the order in which they are declared.
func (r results) rows() []row {
	var rows []row
	for _, f := range figures {
		for _, name := range names() {
			values := r[f][name]
			if len(values) == 0 {
				continue
			}
			line := row{
				figure: f, Target: name, Values: values,
				Median: median(values), Min: slices.Min(values), Max: slices.Max(values),
			}
			if base := median(r[f][f.base()]); base > 0 {
				line.Ratio = line.Median / base
			}
			rows = append(rows, line)
		}
	}
	return rows
}

// median is 0 for no values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func (r results) writeTable(w io.Writer) error {
	var table strings.Builder
	fmt.Fprintf(&table, "%-12s%10s%10s%10s%14s\n", "", "median", "min", "max", "to wswarden")
	var last figure
	for _, line := range r.rows() {
		if line.figure != last {
			last = line.figure
			fmt.Fprintf(&table, "%s\n", line.Title)
		}
		ratio := "-"
		if line.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", line.Ratio)
		}
		fmt.Fprintf(&table, "  %-10s%10.2f%10.2f%10.2f%14s\n", line.Target, line.Median, line.Min, line.Max, ratio)
	}
	_, err := io.WriteString(w, table.String())
	return err
}

func (r results) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r.rows())
}
