package quota

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience bounds every wait for something that must come.
const patience = 10 * time.Second

// redisServer is a redis-server of the test's own, which keeps nothing.
type redisServer struct {
	t       testing.TB
	path    string
	port    int
	args    []string
	process *exec.Cmd
	client  *redis.Client // for looking into it
}

// startRedis starts a redis-server. Where there is none the test is skipped, but
// not in CI.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed")
		}
		t.Skip("redis-server is not installed (Debian: apt-get install redis-server): a real Redis is not tested")
	}
	s := &redisServer{t: t, path: path, args: args}
	for attempt := 0; ; attempt++ {
		s.port = freePort(t)
		if s.start() {
			break
		}
		if attempt == 3 {
			t.Fatal("redis-server does not start")
		}
	}
	t.Cleanup(func() {
		_ = s.client.Close()
		s.kill()
	})
	return s
}

func freePort(t testing.TB) int {
	t.Helper()
	// A cluster's bus listens 10,000 above.
	for {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := ln.Addr().(*net.TCPAddr).Port
		_ = ln.Close()
		if port < 55_000 {
			return port
		}
	}
}

// start starts it on its port, and reports whether it answers there.
func (s *redisServer) start() bool {
	dir := s.t.TempDir()
	s.process = exec.Command(s.path, append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--logfile", filepath.Join(dir, "log"),
	}, s.args...)...)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	if s.client == nil {
		s.client = redis.NewClient(&redis.Options{
			Addr: s.address(), Password: s.password(), Protocol: 2, DisableIdentity: true, DialerRetries: 1, MaxRetries: -1,
		})
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if s.client.Ping(context.Background()).Err() == nil {
			// Another one's server may have taken the port.
			info := s.client.Info(context.Background(), "server").Val()
			if strings.Contains(info, fmt.Sprintf("process_id:%d\r", s.process.Process.Pid)) {
				return true
			}
			break
		}
	}
	s.kill()
	_ = s.client.Close()
	s.client = nil
	return false
}

func (s *redisServer) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// restart starts it again, empty.
func (s *redisServer) restart() {
	s.t.Helper()
	if !s.start() {
		s.t.Fatal("redis-server does not start again")
	}
}

func (s *redisServer) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

func (s *redisServer) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func (s *redisServer) password() string {
	for i, arg := range s.args {
		if arg == "--requirepass" {
			return s.args[i+1]
		}
	}
	return ""
}

func (s *redisServer) url() string { return "redis://" + s.address() }

// startCluster starts three nodes that share the slots, and returns the URL.
func startCluster(t testing.TB) (url string, nodes []*redisServer) {
	t.Helper()
	ctx := context.Background()
	const slots, n = 16384, 3
	for i := range n {
		// A short timeout is also how soon the nodes agree at first.
		node := startRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "500")
		must(t, node.client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
		must(t, node.client.ClusterAddSlotsRange(ctx, i*slots/n, (i+1)*slots/n-1).Err())
		for _, other := range nodes {
			must(t, node.client.ClusterMeet(ctx, "127.0.0.1", strconv.Itoa(other.port)).Err())
		}
		nodes = append(nodes, node)
	}
	for _, node := range nodes {
		eventually(t, "the cluster to be whole", func() bool {
			info := node.client.ClusterInfo(ctx).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	for _, node := range nodes {
		must(t, node.client.ConfigSet(ctx, "cluster-node-timeout", "15000").Err())
	}
	return fmt.Sprintf("%s?addr=%s&addr=%s", nodes[0].url(), nodes[1].address(), nodes[2].address()), nodes
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what must come.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
