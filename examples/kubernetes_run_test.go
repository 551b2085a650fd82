//go:build linux

package examples

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// project writes files as the kubelet does: each is a link through ..data, which is
// swapped when they change.
func project(t *testing.T, dir, version, name, text string) {
	t.Helper()
	write(t, filepath.Join(dir, version, name), text)
	_ = os.Symlink("..data/"+name, filepath.Join(dir, name)) // which is there the second time
	err := os.Symlink(version, filepath.Join(dir, "..tmp"))
	if err == nil {
		err = os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The sidecar of a pod, from its start before the application to its end before it.
func TestKubernetesRuns(t *testing.T) {
	_, sidecar, _ := readPod(t)
	text := configuration(t)
	dir := folder(t)
	project(t, dir+"/configuration", "..1", "wswarden.yaml", text)
	project(t, dir+"/token", "..1", "token", token+"\n")
	var mounts []mount
	for _, m := range sidecar.VolumeMounts {
		mounts = append(mounts, mount{filepath.Join(dir, m.Name), m.MountPath})
	}
	c := of(t, "wswarden", mounts...)
	for _, e := range sidecar.Env {
		c.Env = append(c.Env, e.Name+"="+e.Value)
	}
	wantChecked(t, c)
	c.Env = append(c.Env, atOnce)
	p := c.start(t)
	p.wantLog("serving")
	wantNobody(t, p)

	probed := func(p probe) int {
		at := slices.IndexFunc(sidecar.Ports, func(s struct {
			Name          string
			ContainerPort int
		}) bool {
			return s.Name == p.HTTPGet.Port
		})
		return get(t, fmt.Sprintf("http://127.0.0.1:%d%s", sidecar.Ports[at].ContainerPort, p.HTTPGet.Path), "")
	}
	if started, ready := probed(sidecar.StartupProbe), probed(sidecar.ReadinessProbe); started != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("before the application: startup %d, readiness %d", started, ready)
	}
	serveUpstream(t, "127.0.0.1:5000")
	eventually(t, "it to be ready", func() bool { return probed(sidecar.ReadinessProbe) == http.StatusOK })
	client := dial(t, "127.0.0.1:8080")
	client.wantEcho("hello")

	project(t, dir+"/configuration", "..2", "wswarden.yaml", strings.Replace(text, "idle: { timeout: 30m }", "idle: { timeout: 20m }", 1))
	p.wantLog("configuration reloaded")
	client.wantEcho("still here")
	if status := probed(sidecar.LivenessProbe); status != http.StatusOK {
		t.Errorf("liveness %d", status)
	}

	hook := c.exec(t, sidecar.Lifecycle.PreStop.Exec.Command...)
	var said bytes.Buffer
	hook.Stdout, hook.Stderr = &said, &said
	if err := hook.Start(); err != nil {
		t.Fatal(err)
	}
	client.wantClose(1012)
	p.wantExit(0)
	if err := hook.Wait(); err != nil {
		t.Errorf("preStop: %v\n%s", err, &said)
	}
}
