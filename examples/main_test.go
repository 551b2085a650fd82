//go:build linux

// Package examples has the tests of what goes around wswarden: image, compose, kubernetes,
// systemd and releases. Everything runs as it would in production, as far as that can be
// done without an engine, a cluster, or systemd as the first process.
package examples

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

const (
	// longest bounds every wait for what must happen.
	longest = 30 * time.Second

	// Variables of the environment, by which this program knows what it is: a process
	// that becomes a container's, the tests in their namespaces, or what starts these.
	containerVar = "EXAMPLES_CONTAINER"
	imagesVar    = "EXAMPLES_IMAGES" // the folder of the images
	deniedVar    = "EXAMPLES_DENIED" // why there are no namespaces
)

// TestMain builds the images, and runs the tests in namespaces of their own: the files'
// fixed ports are free there, and what is mounted vanishes.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(containerVar) != "":
		fmt.Fprintln(os.Stderr, "container:", become(os.Getenv(containerVar)))
		os.Exit(125)
	case os.Getenv(imagesVar) == "":
		code, err := runInside()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
	if os.Getenv(deniedVar) == "" {
		if err := loopbackUp(); err != nil {
			fmt.Fprintln(os.Stderr, "loopback:", err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

// runInside runs this program again, in namespaces if that is allowed, and returns its
// exit code.
func runInside() (code int, err error) {
	images, err := os.MkdirTemp("", "wswarden-images")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(images)) }()
	if err := os.Chmod(images, 0o755); err != nil { // containers are somebody else
		return 1, err
	}
	if err := buildImages(images); err != nil {
		return 1, err
	}
	tests := func(denied string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Env = append(os.Environ(), imagesVar+"="+images, deniedVar+"="+denied)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd
	}
	cmd := tests("")
	cmd.SysProcAttr = namespaces()
	if err := cmd.Start(); err != nil {
		cmd = tests(err.Error())
		if err := cmd.Start(); err != nil {
			return 1, err
		}
	}
	if err := cmd.Wait(); cmd.ProcessState == nil {
		return 1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// nobody is whom containers run as, as USER in the Dockerfile and runAsUser in
// kubernetes/deployment.yaml say.
const nobody = 65532

// namespaces are those of the tests: within them they are root, and root makes nobody
// another user than itself.
func namespaces() *syscall.SysProcAttr {
	self := func(id int) []syscall.SysProcIDMap {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
		if os.Getuid() == 0 {
			ids = append(ids, syscall.SysProcIDMap{ContainerID: nobody, HostID: nobody, Size: 1})
		}
		return ids
	}
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UidMappings: self(os.Getuid()),
		GidMappings: self(os.Getgid()),
	}
}

// loopbackUp is what a new network namespace needs.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// needNamespaces skips a test that cannot be done without.
func needNamespaces(t *testing.T) {
	t.Helper()
	if denied := os.Getenv(deniedVar); denied != "" {
		skip(t, "no namespaces (%s): allow unprivileged user namespaces, as sysctl kernel.apparmor_restrict_unprivileged_userns=0 does on Ubuntu", denied)
	}
}

// skip skips a test for want of a tool, except where it must not be missing.
func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// images are the Dockerfiles, by the image's name, seen from the context.
var images = map[string]string{
	"wswarden": "Dockerfile",
	"rac":      "examples/compose/rac.Dockerfile",
}

// buildImages builds all of them, each into a folder of its name.
func buildImages(folder string) error {
	built := make(chan error)
	for name, file := range images {
		go func() {
			_, err := build("..", file, filepath.Join(folder, name))
			if err != nil {
				err = fmt.Errorf("%s: %w", file, err)
			}
			built <- err
		}()
	}
	var errs []error
	for range images {
		errs = append(errs, <-built)
	}
	return errors.Join(errs...)
}

// buildArgs are those that an engine gives.
var buildArgs = map[string]string{"TARGETOS": "linux", "TARGETARCH": runtime.GOARCH, "VERSION": "v0.0.0-test"}
