//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wswarden/config"
	"wswarden/policies/dialects"
)

// burnRole makes the test program a process that uses CPU time.
const burnRole = "burn"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case echoRole:
		fmt.Fprintln(os.Stderr, serveEcho(echoListener))
		os.Exit(1)
	case burnRole:
		burn()
	default:
		var err error
		if workshop, err = os.MkdirTemp("", "benchmark-test-"); err != nil {
			panic(err)
		}
		code := m.Run()
		os.RemoveAll(workshop)
		os.Exit(code)
	}
}

// built returns wswarden, which is built once for all tests.
func built(t *testing.T) string {
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

var build = sync.OnceValues(func() (string, error) {
	return targets[0].find(context.Background(), workshop)
})

// workshop is a folder that is removed after the tests.
var workshop string

func TestOptions(t *testing.T) {
	parse := func(t *testing.T, line string) options {
		o, err := parseOptions(strings.Fields(line), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	t.Run("the default is seven rounds of everything", func(t *testing.T) {
		o := parse(t, "")
		if o.rounds != 7 || o.work.sessions != 9000 || len(o.only) != len(targets) || len(o.cases) != len(cases) {
			t.Errorf("%+v", o)
		}
	})
	t.Run("quick gives way to what is given", func(t *testing.T) {
		if o := parse(t, "-rounds 5 -quick"); o.rounds != 5 || o.work.sessions >= 9000 {
			t.Errorf("%+v", o)
		}
	})
	t.Run("targets, cases and arguments are lists", func(t *testing.T) {
		o := parse(t, "-only nginx,direct -cases bulk -wswarden-args=--verbose")
		if !slices.Equal(o.only, []string{"nginx", direct}) || !slices.Equal(o.cases, []string{caseBulk}) ||
			!slices.Equal(o.wswardenArgs, []string{"--verbose"}) {
			t.Errorf("%+v", o)
		}
	})
	t.Run("the soak is of twenty minutes, and none of the cases", func(t *testing.T) {
		if o := parse(t, "-cases soak"); o.duration != 20*time.Minute || slices.Contains(cases, caseSoak) {
			t.Errorf("%+v", o)
		}
	})
	for _, refused := range []string{"-only apache", "-reloads 0", "-cases echo,", "-output xml", "-rounds 0", "-sessions -1", "-cases soak,echo", "-duration 0s", "nginx", "-unknown"} {
		t.Run("refused: "+refused, func(t *testing.T) {
			if o, err := parseOptions(strings.Fields(refused), io.Discard); err == nil {
				t.Errorf("%+v", o)
			}
		})
	}
}

// The examples of RFC 6455 §1.3 and §5.7.
func TestWire(t *testing.T) {
	key, _ := hex.DecodeString("37fa213d")
	for _, test := range []struct {
		name, want string
		got        []byte
	}{
		{"unmasked", "810548656c6c6f", appendFrame(nil, 1, nil, []byte("Hello"))},
		{"masked", "818537fa213d7f9f4d5158", appendFrame(nil, 1, key, []byte("Hello"))},
		{"256 bytes", "827e0100", appendFrame(nil, opBinary, nil, make([]byte, 256))[:4]},
		{"64 KiB", "827f0000000000010000", appendFrame(nil, opBinary, nil, make([]byte, 65536))[:10]},
	} {
		if got := hex.EncodeToString(test.got); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if got := acceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept key %s", got)
	}
}

// The messages that are to be read say nothing of subscriptions, and no two are
// alike.
func TestNews(t *testing.T) {
	dialect, err := config.Default().Dialect("rac")
	if err != nil {
		t.Fatal(err)
	}
	var reader dialects.Reader
	seen := make(map[string]bool)
	for client := range echoConnections {
		_, frame := news(client, echoMessage)
		payload := frame[len(frame)-echoMessage:]
		if !json.Valid(payload) || seen[string(payload)] {
			t.Errorf("client %d: %s", client, payload)
		}
		seen[string(payload)] = true
		for _, direction := range []dialects.Direction{dialects.ClientToUpstream, dialects.UpstreamToClient} {
			reader.Begin(dialect, direction, false, payload)
			for r := reader.Next(); r != nil; r = reader.Next() {
				if r.Kind != dialects.Other {
					t.Errorf("%s: kind %d", payload, r.Kind)
				}
			}
		}
	}
}

func TestEcho(t *testing.T) {
	upstream, err := startEcho(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer upstream.stop()

	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			l, err := newLoad(t.Context(), upstream.address, 3, noise, size)
			if err != nil {
				t.Fatal(err)
			}
			latencies, err := l.run(t.Context(), 10)
			if err != nil || len(latencies) != 10 {
				t.Errorf("%d echoes, %v", len(latencies), err)
			}
			if err := l.close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}

	conn, err := openSession(t.Context(), upstream.address, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	frame, want := noise(7, 300)
	t.Run("bytes one by one", func(t *testing.T) {
		for i := range frame[1:] {
			if _, err := conn.Write(frame[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := exchange(conn, frame[len(frame)-1:], want); err != nil {
			t.Error(err)
		}
	})
	t.Run("several frames at once", func(t *testing.T) {
		if err := exchange(conn, bytes.Repeat(frame, 5), bytes.Repeat(want, 5)); err != nil {
			t.Error(err)
		}
	})
	t.Run("a ping is answered", func(t *testing.T) {
		if err := exchange(conn, appendFrame(nil, opPing, []byte("mask"), []byte("hi")), appendFrame(nil, opPong, nil, []byte("hi"))); err != nil {
			t.Error(err)
		}
	})
	t.Run("a wrong echo is found", func(t *testing.T) {
		if err := exchange(conn, frame, bytes.Repeat([]byte{0}, len(want))); err == nil {
			t.Error("no error")
		}
	})
	t.Run("the close handshake ends it", func(t *testing.T) {
		if err := closeSession(conn); err != nil {
			t.Error(err)
		}
	})
}

func TestTargets(t *testing.T) {
	program := built(t)
	for _, target := range targets {
		t.Run(target.name, func(t *testing.T) {
			o := options{
				rounds: 1, work: work{echoes: 1000, messages: 50, handshakes: 50, sessions: 50, echoing: 100, reloads: 10}, settle: time.Millisecond,
				only: []string{target.name}, cases: cases, wswarden: program, before: program,
			}
			var progress strings.Builder
			results, err := run(t.Context(), o, &progress)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(progress.String(), "skipped") {
				if target.isWswarden() || os.Getenv("CI") == "true" {
					t.Fatal(progress.String())
				}
				t.Skip(progress.String())
			}
			for _, f := range figures {
				if f.Case == caseListing {
					continue // has rows of its own: see TestListing
				}
				measured := target.takes(f.Case) && (target.name != direct || f != echoCPU) && (target.name != plain || f != tlsResumed)
				if got := results[f][target.name]; measured != (len(got) == 1) {
					t.Errorf("%s: %v", f.Key, got)
				}
			}
		})
	}
}

// A crowd of two pages is listed in every way.
func TestListing(t *testing.T) {
	o := options{
		rounds: 2, work: work{echoes: 1000, messages: 1, handshakes: 1, sessions: 1500, echoing: 1, reloads: 1},
		only: []string{crowd}, cases: []string{caseListing}, wswarden: built(t),
	}
	results, err := run(t.Context(), o, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for f, names := range map[figure][]string{
		listingP50:   {crowd, listed, relisted, paged},
		listingP99:   {crowd, listed, relisted, paged},
		listingTime:  {listed, relisted, paged},
		listingMost:  {listed, relisted, paged},
		listingAlone: {relisted, paged},
		listingCPU:   {relisted, paged},
	} {
		if len(results[f]) != len(names) {
			t.Errorf("%s: %v", f.Key, results[f])
		}
		for _, name := range names {
			if values := results[f][name]; len(values) != 2 || slices.Min(values) <= 0 {
				t.Errorf("%s of %s: %v", f.Key, name, values)
			}
		}
	}
}

// What is lost between two peers, comes twice, in another order or changed, is found by
// both of them.
func TestNumbered(t *testing.T) {
	mine := numbered{number: 7, texts: true}
	message := func(number int) func() (byte, []byte) {
		return func() (byte, []byte) { return mine.message(number) }
	}
	changed := func() (byte, []byte) {
		opcode, payload := mine.message(2)
		payload[len(payload)-5]++
		return opcode, payload
	}
	another := func() (byte, []byte) {
		_, payload := mine.message(2)
		return opBinary, payload
	}
	for name, test := range map[string]struct {
		third func() (byte, []byte)
		wrong bool
	}{
		"none":                   {message(2), false},
		"one is lost":            {message(3), true},
		"one comes twice":        {message(1), true},
		"a byte is another":      {changed, true},
		"it is of another type":  {another, true},
		"another session's came": {func() (byte, []byte) { return numbered{number: 8, texts: true}.message(2) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := numbersFor([]byte("GET /numbered/reading/7 HTTP/1.1\r\n"))
			client := &numberedClient{numbered: mine, sent: 3}
			for i := range 2 {
				opcode, payload := mine.message(i)
				if answer, _ := upstream.answer(finBit|opcode, payload); answer[0]&0xF == opClose {
					t.Fatalf("%q", answer)
				}
				if err := client.arrived(finBit|opcode, payload, new(phase)); err != nil {
					t.Fatal(err)
				}
			}
			opcode, payload := test.third()
			if answer, _ := upstream.answer(finBit|opcode, payload); test.wrong != (answer[0]&0xF == opClose) {
				t.Errorf("upstream answers %q", answer)
			}
			if err := client.arrived(finBit|opcode, payload, new(phase)); test.wrong != (err != nil) {
				t.Errorf("the client says %v", err)
			}
		})
	}
	t.Run("fragments are one message", func(t *testing.T) {
		upstream := numbersFor([]byte("GET /numbered/reading/7 HTTP/1.1\r\n"))
		for i := range 200 {
			answered := 0
			for frames := mine.frames(nil, nil, i, forFragments); len(frames) > 0; {
				header, payload := bareFrame(frames)
				answer, _ := upstream.answer(frames[0], frames[header:header+payload])
				if len(answer) > 0 && answer[0]&0xF != opClose {
					answered++
				}
				frames = frames[header+payload:]
			}
			if answered != 1 {
				t.Fatalf("message %d is answered %d times", i, answered)
			}
		}
	})
}

// An admin API that says too little, and none at all.
func TestAnswersThatAreWrong(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path != "/v1/sessions":
			http.NotFound(w, r)
		case r.Header.Get("Accept") == "application/x-ndjson":
			io.WriteString(w, "{}\n{}\n")
		default:
			io.WriteString(w, `{"sessions":[{"id":"0000000000000001"}],"matched":1}`)
		}
	}))
	defer server.Close()
	p := &process{admin: server.Listener.Addr().String()}
	for _, test := range []struct {
		name string
		list func(context.Context, *process, int) error
		has  int
	}{{"stream", stream, 2}, {"pages", pages, 1}} {
		if err := test.list(t.Context(), p, test.has); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if err := test.list(t.Context(), p, test.has+1); err == nil {
			t.Errorf("%s: a session is missing, and nobody says so", test.name)
		}
	}
	if err := watch(t.Context(), p)(); err == nil {
		t.Error("there are no events, and nobody says so")
	}
	server.Close()
	if err := watch(t.Context(), p)(); err == nil {
		t.Error("nobody answers, and nobody says so")
	}
}

// burn uses 50 ms of CPU time on each of some threads, which end, and tells
// how much this process has used by its own clock.
func burn() {
	for range 4 {
		done := make(chan bool)
		go func() {
			defer close(done)
			runtime.LockOSThread() // never unlocked: the thread ends too
			for start := clock(unix.CLOCK_THREAD_CPUTIME_ID); clock(unix.CLOCK_THREAD_CPUTIME_ID)-start < 50*time.Millisecond; {
			}
		}()
		<-done
	}
	fmt.Println(int64(clock(unix.CLOCK_PROCESS_CPUTIME_ID)))
	io.Copy(io.Discard, os.Stdin)
}

func clock(id int32) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(id, &now); err != nil {
		panic(err)
	}
	return time.Duration(now.Nano())
}

func TestCPUTimeCountsEndedThreadsOfDescendants(t *testing.T) {
	// A shell between makes the process that burns a grandchild.
	cmd := exec.Command("sh", "-c", `"$0"; true`, os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+burnRole)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told int64
	if _, err := fmt.Fscan(bufio.NewReader(stdout), &told); err != nil {
		t.Fatal(err)
	}
	got, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		t.Error(err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if want := time.Duration(told); want < 200*time.Millisecond || got < want || got > want+time.Second {
		t.Errorf("%v, and the process says %v", got, want)
	}
}

func TestMemoryGrows(t *testing.T) {
	const size = 64 << 20
	before, err := memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(block)
	for i := 0; i < size; i += 4096 {
		block[i] = 1
	}
	after, err := memory(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Some of the rest may have been given back meanwhile.
	if grown := after - before; grown < size/1024/2 {
		t.Errorf("grown by %v KiB", grown)
	}
}

func TestReport(t *testing.T) {
	r := make(results)
	for _, v := range []float64{12, 10, 14.25} {
		r.add(echoCPU, wswarden, v)
		r.add(echoCPU, "nginx", 1.5*v)
	}
	r.add(echoP50, direct, 1.23456)
	r.add(echoP50, direct, 2)
	r.add(listingP99, crowd, 10)
	r.add(listingP99, paged, 12)
	r.add(listingTime, paged, 100)

	var table strings.Builder
	if err := r.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	const want = `                median       min       max   to wswarden
CPU seconds per million echoes of 128 bytes
  wswarden       12.00     10.00     14.25          1.00
  nginx          18.00     15.00     21.38          1.50
Latency of these echoes, p50, ms
  direct          1.62      1.23      2.00             -
Latency of echoes in a crowd, and while that is listed, p99, ms
  crowd          10.00     10.00     10.00          1.00
  paged          12.00     12.00     12.00          1.20
Milliseconds until a listing is complete meanwhile
  paged         100.00    100.00    100.00             -
`
	if table.String() != want {
		t.Errorf("%s", table.String())
	}

	var encoded bytes.Buffer
	if err := r.writeJSON(&encoded); err != nil {
		t.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal(encoded.Bytes(), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 6 || rows[1].Key != "echo_cpu" || rows[1].Target != "nginx" || rows[1].Ratio != 1.5 || len(rows[1].Values) != 3 {
		t.Errorf("%+v", rows)
	}
}
