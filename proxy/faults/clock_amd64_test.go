//go:build linux

package faults

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"wswarden/proxy/admin/api"
)

// Somebody sets the clock while sessions live: no rule and no count follows.
func TestClockIsSet(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		name string
		step time.Duration
	}{
		{"forward", time.Hour},
		{"back", -time.Hour},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			clock := newClock(t)
			s := emptyScene(t)
			upstream := s.listen(t, "127.0.0.1:0")
			warden, process := startWarden(t, s.configuration(upstream, pings+`,
				idle: { timeout: 10m }, first_message: { timeout: 10m }, lifetime: { max: 30m },
				handshakes: { per_ip_rate: 100 }, messages: { rate: 100 }, connections: { per_ip: 100 }`), nil, clockVar+"="+clock.path)
			before := process.descriptors(t)
			s.use(warden)
			all := s.open(sessions, nil)
			converse(t, all, 1)

			clock.set(t, f.step)
			all = append(all, s.open(sessions, nil)...)
			wantPings(t, all)
			converse(t, all, 3)
			var page api.Page
			if err := json.Unmarshal(warden.ask(t, "/v1/sessions"), &page); err != nil || len(page.Sessions) != len(all) {
				t.Fatalf("%d sessions are listed (%v), want %d", len(page.Sessions), err, len(all))
			}
			for _, s := range page.Sessions {
				if off := time.Since(s.Active) + f.step; off.Abs() > time.Minute {
					t.Errorf("a session was active at %s, which is off by %s", s.Active, off)
				}
				for what, seconds := range map[string]api.Seconds{"age": s.Age, "idle": s.Idle, "ping": s.Ping} {
					if seconds < 0 || seconds > 60 {
						t.Errorf("%s of a session: %v s", what, seconds)
					}
				}
			}

			clock.set(t, 0)
			wantPings(t, all)
			converse(t, all, len(usual))
			bye(t, all)
			s.wantCounted(all, "client_close")
			got := warden.figures(t)
			for _, name := range []string{"wswarden_session_duration_seconds_sum", "wswarden_ping_round_trip_seconds_sum", "wswarden_release_seconds_sum"} {
				if sum := got.sum(name, "", ""); sum < 0 || sum > 60*float64(len(all)) {
					t.Errorf("%s is %v", name, sum)
				}
			}
			within(t, "all descriptors are closed", func() bool { return process.descriptors(t) == before })
			if err := warden.stop(); err != nil {
				t.Errorf("its end: %v", err)
			}
		})
	}
}

// wantPings waits until each client was pinged, and answers.
func wantPings(t *testing.T, all []*session) {
	t.Helper()
	for _, s := range all {
		s.client.hush()
	}
	for _, s := range all {
		within(t, "a client was pinged", func() bool { return s.client.pinged() || ended(s.client) })
		s.client.unhush()
	}
}

// clock is a process's that reads the time of the wall, and adds what the test has
// written to a file.
type clock struct{ path string }

const clockVar = "WSWARDEN_FAULTS_CLOCK"

func newClock(t *testing.T) *clock {
	c := &clock{filepath.Join(t.TempDir(), "clock")}
	if err := os.WriteFile(c.path, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// set puts the clock forward, or back.
func (c *clock) set(t *testing.T, by time.Duration) {
	t.Helper()
	file, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(by/time.Second)), 0); err != nil {
		t.Fatal(err)
	}
}

// vdsoClockGettime is where Go's runtime finds the system's clock_gettime.
//
//go:linkname vdsoClockGettime runtime.vdsoClockgettimeSym
var vdsoClockGettime uintptr

// useClock has this process see the wall's clock as the file says that it was started
// with. All that runs in the process sees it so; the monotonic clock goes on as it is.
func useClock() error {
	path := os.Getenv(clockVar)
	if path == "" {
		return nil
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	step, err := unix.Mmap(int(file.Fd()), 0, 8, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	if vdsoClockGettime == 0 {
		return fmt.Errorf("the system has no clock_gettime of its own")
	}
	code := []byte{
		0x57,                   // push rdi: the clock
		0x56,                   // push rsi: its timespec
		0x48, 0x83, 0xec, 0x08, // sub rsp, 8: the stack is aligned to 16
		0x48, 0xb8, // mov rax, the system's
	}
	code = binary.LittleEndian.AppendUint64(code, uint64(vdsoClockGettime))
	code = append(code,
		0xff, 0xd0, // call rax
		0x48, 0x83, 0xc4, 0x08, // add rsp, 8
		0x5e,       // pop rsi
		0x5f,       // pop rdi
		0x85, 0xff, // test edi, edi: CLOCK_REALTIME
		0x75, 0x10, // jne to the end
		0x48, 0xb9) // mov rcx, the step
	code = binary.LittleEndian.AppendUint64(code, uint64(uintptr(unsafe.Pointer(&step[0]))))
	code = append(code,
		0x48, 0x8b, 0x09, // mov rcx, [rcx]
		0x48, 0x01, 0x0e, // add [rsi], rcx: the seconds
		0xc3) // ret
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	copy(page, code)
	if err := unix.Mprotect(page, unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return err
	}
	vdsoClockGettime = uintptr(unsafe.Pointer(&page[0]))
	return nil
}
