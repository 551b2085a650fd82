// Command centrifugo is a server of the library that Centrifugo is made of.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/centrifugal/centrifuge"

	"servers/internal/app"
)

func main() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		fail(err)
	}
	var a app.App
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "test"}}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(e centrifuge.SubscribeEvent, done centrifuge.SubscribeCallback) {
			if err := a.Subscribe(e.Channel); err != nil {
				done(centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			done(centrifuge.SubscribeReply{}, nil)
		})
		c.OnUnsubscribe(func(e centrifuge.UnsubscribeEvent) {
			if e.Code == centrifuge.UnsubscribeCodeClient {
				a.Unsubscribe(e.Channel)
			}
		})
		c.OnDisconnect(func(centrifuge.DisconnectEvent) { a.Close() })
	})
	if err := node.Run(); err != nil {
		fail(err)
	}
	handler := centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{Compression: true})
	a.Run(handler, func(topic, value string) {
		if _, err := node.Publish(topic, fmt.Appendf(nil, "%q", value)); err != nil {
			fail(err)
		}
	})
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
