// Command geth is a server and a client of geth's JSON-RPC, with subscriptions.
//
//	geth server
//	geth client URL
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/rpc"

	"servers/internal/app"
)

func main() {
	if os.Args[1] == "server" {
		serve()
	} else {
		call(os.Args[2])
	}
}

// feeds is the service eth: what eth_subscribe calls.
type feeds struct {
	app app.App

	mu   sync.Mutex
	live map[string]func(value string)
}

// Feed is subscribed to by eth_subscribe("feed", topic).
func (f *feeds) Feed(ctx context.Context, topic string) (*rpc.Subscription, error) {
	notifier, ok := rpc.NotifierFromContext(ctx)
	if !ok {
		return nil, rpc.ErrNotificationsUnsupported
	}
	if err := f.app.Subscribe(topic); err != nil {
		return nil, err
	}
	s := notifier.CreateSubscription()
	f.mu.Lock()
	f.live[topic] = func(value string) { _ = notifier.Notify(s.ID, value) }
	f.mu.Unlock()
	go func() {
		<-s.Err() // also where the connection has ended
		f.app.Unsubscribe(topic)
	}()
	return s, nil
}

func serve() {
	f := &feeds{live: make(map[string]func(string))}
	server := rpc.NewServer()
	server.SetBatchLimits(1000, 25_000_000) // as a node has it
	if err := server.RegisterName("eth", f); err != nil {
		panic(err)
	}
	websocket := server.WebsocketHandler([]string{"*"})
	f.app.Run(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		websocket.ServeHTTP(w, r)
		f.app.Close()
	}), func(topic, value string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.live[topic](value)
	})
}

func call(url string) {
	client, err := rpc.Dial(url)
	if err != nil {
		panic(err)
	}
	fmt.Println("ready plain")
	subscriptions := make(map[string]*rpc.ClientSubscription)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		topic := words[1]
		if words[0] == "unsubscribe" {
			subscriptions[topic].Unsubscribe()
			continue
		}
		values := make(chan string)
		s, err := client.EthSubscribe(context.Background(), values, "feed", topic)
		var refused rpc.Error
		if errors.As(err, &refused) {
			fmt.Printf("refused %s by EthSubscribe: %v (%d)\n", topic, refused, refused.ErrorCode())
			continue
		} else if err != nil {
			panic(err)
		}
		subscriptions[topic] = s
		fmt.Println("subscribed", topic)
		go func() {
			for {
				select {
				case value := <-values:
					fmt.Println("data", topic, value)
				case <-s.Err():
					return
				}
			}
		}()
	}
}
