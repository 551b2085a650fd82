package observability

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait for something that must come.
const patience = 30 * time.Second

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// program is one that runs until the end of the test.
type program struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// start runs a program until its log has a line that fits, and returns what that
// line's parentheses have found; not ok: the program has ended before.
func start(t *testing.T, cmd *exec.Cmd, line *regexp.Regexp) (p *program, found string, ok bool) {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = &program{cmd, make(chan struct{})}
	log := bufio.NewReader(stderr)
	var said strings.Builder
	for !ok {
		text, err := log.ReadString('\n')
		said.WriteString(text)
		if m := line.FindStringSubmatch(text); m != nil {
			found, ok = m[1], true
		}
		if err != nil {
			t.Logf("%s says:\n%s", cmd.Path, said.String())
			break
		}
	}
	go func() {
		defer close(p.done)
		_, _ = io.Copy(io.Discard, log) // else it would wait for somebody to read
		_ = cmd.Wait()
	}()
	t.Cleanup(p.kill)
	return p, found, ok
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// freeAddress is one on which nobody listens, for programs that do not say which
// port they have got. Somebody else may be faster.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// wswarden is the real one, in front of an upstream of the test.
type wswarden struct {
	*program
	path           string // of the command
	address, admin string
	tokenFile      string
	file           string // of its configuration
}

const token = "a-token-that-nobody-guesses"

// startWswarden builds and runs wswarden with a configuration in which ADMIN and
// TOKEN stand for what is only known here.
func startWswarden(t *testing.T, configuration string) *wswarden {
	t.Helper()
	dir := t.TempDir()
	w := &wswarden{path: filepath.Join(dir, "wswarden"), tokenFile: filepath.Join(dir, "token"), file: filepath.Join(dir, "wswarden.yaml")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", w.path, "../..").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := os.WriteFile(w.tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.admin = freeAddress(t)
		text := strings.NewReplacer("ADMIN", w.admin, "TOKEN", w.tokenFile).Replace(configuration)
		if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var ok bool
		cmd := exec.Command(w.path, "serve", "--config", w.file)
		if w.program, w.address, ok = start(t, cmd, regexp.MustCompile(`"serving","listeners":\["([^"]+)"\]`)); ok {
			return w
		}
	}
	t.Fatal("wswarden does not start")
	return nil
}

// browser asks without keeping connections, which would outlive the test.
var browser = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// metrics are what Prometheus would read.
func (w *wswarden) metrics(t *testing.T) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v: %s", answer.Status, err, text)
	}
	return string(text)
}

// prometheus is the real one.
type prometheus struct{ address string }

// startPrometheus runs it with the example's configuration, five times a second.
func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	text := replaced(t, read(t, "prometheus.yml"),
		"targets: [127.0.0.1:9090]", "targets: ["+target+"]",
		"scrape_interval: 15s", "scrape_interval: 200ms",
		"evaluation_interval: 15s", "evaluation_interval: 200ms")
	path := copies(t, text, token)
	cmd := exec.Command(tool(t, "prometheus"), "--config.file="+path,
		"--storage.tsdb.path="+t.TempDir(), "--web.listen-address=127.0.0.1:0")
	_, address, ok := start(t, cmd, regexp.MustCompile(`"Listening on" address=(\S+)`))
	if !ok {
		t.Fatal("Prometheus does not start")
	}
	eventually(t, "Prometheus to be ready", func() bool {
		answer, err := browser.Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return &prometheus{address}
}

// sample is one of a query's result.
type sample struct {
	labels map[string]string
	value  float64
}

// ask asks Prometheus's API, and decodes the data of its answer.
func (p *prometheus) ask(ctx context.Context, path string, query url.Values, data any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	answer, err := browser.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	envelope := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(answer.Body).Decode(&envelope); err != nil {
		return fmt.Errorf("%s: %w", answer.Status, err)
	}
	if envelope.Error != "" {
		return fmt.Errorf("%s: %s", answer.Status, envelope.Error)
	}
	return nil
}

// query evaluates an expression, and returns what of its result is a number.
func (p *prometheus) query(t *testing.T, expr string) (numbers []sample) {
	t.Helper()
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any // a time, and a number as a text
		}
	}
	if err := p.ask(t.Context(), "/api/v1/query", url.Values{"query": {expr}}, &data); err != nil {
		t.Fatalf("%s\n%v", expr, err)
	}
	for _, result := range data.Result {
		text, _ := result.Value[1].(string)
		if value, err := strconv.ParseFloat(text, 64); err != nil {
			t.Fatalf("%s: value %v: %v", expr, result.Value[1], err)
		} else if !math.IsNaN(value) {
			numbers = append(numbers, sample{result.Metric, value})
		}
	}
	return numbers
}

// wait waits until an expression has a result.
func (p *prometheus) wait(t *testing.T, expr string) {
	t.Helper()
	eventually(t, expr, func() bool { return len(p.query(t, expr)) > 0 })
}
