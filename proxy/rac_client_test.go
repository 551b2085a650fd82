package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// racClientVar in the environment makes this binary a client of the RAC system at
// that address, until it is killed or standard input ends.
const racClientVar = "WSWARDEN_TEST_RAC_CLIENT"

func init() {
	if address := os.Getenv(racClientVar); address != "" {
		if err := runRACClient(address); err != nil {
			fmt.Println(err)
		}
		os.Exit(1)
	}
}

func runRACClient(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	client := &peer{conn: conn.(*net.TCPConn), br: bufio.NewReader(conn), masks: true}
	frames := slices.Clone(handshake)
	for _, message := range subscribes {
		frames = append(frames, client.frame(text, message)...)
	}
	if _, err := conn.Write(frames); err != nil {
		return err
	}
	if _, err := http.ReadResponse(client.br, nil); err != nil {
		return err
	}
	for range 1 + len(subscribes) { // the welcome, and the answers
		if _, _, err := client.read(); err != nil {
			return err
		}
	}
	fmt.Println("subscribed")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startRACClient starts a client in a process of its own, and returns once it has
// been told that it is subscribed. accept is called meanwhile.
func startRACClient(t *testing.T, address string, accept func()) (kill func()) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), racClientVar+"="+address)
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
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it was killed
	})
	accept()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "subscribed\n" {
		t.Fatalf("the client says %q (%v)", line, err)
	}
	return func() {
		if err := cmd.Process.Kill(); err != nil { // SIGKILL where there are signals
			t.Fatal(err)
		}
	}
}
