//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Logs that cannot be written: sessions go on and end as ever, and so does wswarden,
// which keeps nothing of them for long.
func TestLogs(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		name string
		log  func(t *testing.T) *os.File
	}{
		{"full", func(t *testing.T) *os.File {
			file, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			must(t, err)
			return file
		}},
		{"not read", func(t *testing.T) *os.File {
			r, w, err := os.Pipe()
			must(t, err)
			t.Cleanup(func() { _ = r.Close() })
			_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096) // some ten lines
			must(t, err)
			return w
		}},
		{"whose reader is gone", func(t *testing.T) *os.File {
			r, w, err := os.Pipe()
			must(t, err)
			must(t, r.Close())
			return w
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			wantLogless(t, f.log(t))
		})
	}
}

// wantLogless plays sessions of a wswarden that logs to a file.
func wantLogless(t *testing.T, log *os.File) {
	t.Helper()
	const rounds, crowd = 4, 50
	s := emptyScene(t)
	upstream := s.listen(t, "127.0.0.1:0")
	warden, process := startWarden(t, s.configuration(upstream, ""), log)
	_ = log.Close()
	s.use(warden)
	sizes := []int{1, 3000, 500}
	before, most := 0, 0
	for range rounds {
		all := s.open(crowd, sizes)
		converse(t, all, len(sizes))
		bye(t, all)
		if most = process.memory(t); before == 0 {
			before = most // now that it has worked
		}
	}
	warden.wantNothingLeft(t, map[string]int{"client_close": rounds * crowd}, map[string]int{"switched": rounds * crowd})
	if grown := most - before; grown > 16<<20 {
		t.Errorf("it has grown by %d bytes in %d sessions", grown, rounds*crowd)
	}
	if err := warden.stop(); err != nil {
		t.Errorf("its end: %v", err)
	}
}

// More is to be logged than anybody waits for, and nobody reads it: what does not fit is
// dropped, and counted.
func TestLogIsFlooded(t *testing.T) {
	t.Parallel()
	const lines = 6000
	s := emptyScene(t)
	const nobody = "127.0.0.1:1" // a port that was let go of could be another test's by then
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	text := strings.Replace(s.configuration(nobody, ""), "retry_after: 50ms", "failures: 0", 1)
	warden, process := startWarden(t, text, w)
	must(t, w.Close())
	conn, err := s.dial(warden.address)
	must(t, err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	answers := bufio.NewReader(conn)
	ask := func(n int) {
		go conn.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\nHost: test\r\n\r\n"), n))
		for range n { // each is told of
			response, err := http.ReadResponse(answers, nil)
			must(t, err)
			if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode/100 != 5 {
				t.Fatalf("%s (%v) without upstream", response.Status, err)
			}
		}
	}
	ask(lines)
	if dropped := warden.figures(t).sum("wswarden_log_records_dropped_total", "", ""); dropped == 0 || dropped > lines {
		t.Errorf("of some %d lines, %v were dropped", lines, dropped)
	}
	before := process.memory(t)
	ask(lines)
	if grown := process.memory(t) - before; grown > 16<<20 {
		t.Errorf("it has grown by %d bytes with %d lines", grown, lines)
	}
	if err := warden.stop(); err != nil {
		t.Errorf("its end: %v", err)
	}
}

// The disk that the log is on is full, and then is not: what is told from then on is
// written.
func TestDiskOfTheLogIsFull(t *testing.T) {
	if !inProcess(t, unix.CLONE_NEWNS) {
		return
	}
	disk := t.TempDir()
	must(t, unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""))
	must(t, unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"))
	t.Cleanup(func() { must(t, unix.Unmount(disk, unix.MNT_DETACH)) })
	ballast := filepath.Join(disk, "ballast")
	_ = os.WriteFile(ballast, make([]byte, 128<<10), 0o600) // as much as there is room for
	path := filepath.Join(disk, "log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)

	s := emptyScene(t)
	upstream := s.listen(t, "127.0.0.1:0")
	warden, _ := startWarden(t, s.configuration(upstream, ""), log)
	must(t, log.Close())
	s.use(warden)
	all := s.open(sessions, nil)
	converse(t, all, len(usual))
	bye(t, all)
	warden.wantNothingLeft(t, map[string]int{"client_close": sessions}, map[string]int{"switched": sessions})
	must(t, os.Remove(ballast))

	all = s.open(sessions, nil)
	converse(t, all, len(usual))
	bye(t, all)
	warden.wantNothingLeft(t, map[string]int{"client_close": 2 * sessions}, map[string]int{"switched": 2 * sessions})
	if err := warden.stop(); err != nil {
		t.Errorf("its end: %v", err)
	}
	text, err := os.ReadFile(path)
	if got := bytes.Count(text, []byte(`"session ended"`)); got < sessions || got > 2*sessions {
		t.Errorf("%d sessions are told of after there was room (%v):\n%s", got, err, text)
	}
}
