// Package app is what stands behind the servers: it holds what clients subscribe to
// until they unsubscribe, and speaks with the test as peer.js does.
package app

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
)

// ErrForbidden is for the topic that nobody may subscribe to.
var ErrForbidden = errors.New("not for you")

// App is what an application holds. That clients leave is nothing to it.
type App struct {
	mu   sync.Mutex
	held []string
}

// Subscribe holds a topic; ErrForbidden for the one that is.
func (a *App) Subscribe(topic string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if topic == "forbidden" {
		fmt.Println("forbid", topic)
		return ErrForbidden
	}
	a.held = append(a.held, topic)
	fmt.Println("subscribe", topic)
	return nil
}

// Unsubscribe gives a topic up.
func (a *App) Unsubscribe(topic string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.held, topic); i >= 0 {
		a.held = slices.Delete(a.held, i, i+1)
	}
	fmt.Println("unsubscribe", topic)
}

// Close tells of the end of a connection.
func (a *App) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Println("close")
}

// Run serves until standard input ends.
func (a *App) Run(handler http.Handler, publish func(topic, value string)) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("listening", listener.Addr())
	go func() { _ = http.Serve(listener, handler) }()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch words := strings.Fields(lines.Text()); words[0] {
		case "publish":
			publish(words[1], words[2])
		case "holds":
			a.mu.Lock()
			fmt.Println(strings.Join(append([]string{"holds"}, a.held...), " "))
			a.mu.Unlock()
		}
	}
}
