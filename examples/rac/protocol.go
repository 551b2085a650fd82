package main

import (
	"encoding/json"
	"time"
)

// message is any JSON message that the RAC backend and its portals exchange.
type message struct {
	Type      string   `json:"type"`
	ClientID  string   `json:"clientId,omitempty"`
	Message   string   `json:"message,omitempty"`
	Payload   *payload `json:"payload,omitempty"`
	IrctcID   string   `json:"irctcId,omitempty"`
	TTEID     string   `json:"tteId,omitempty"`
	Role      string   `json:"role,omitempty"`
	Timestamp string   `json:"timestamp,omitempty"`
}

type payload struct {
	PNR      string   `json:"pnr,omitempty"`
	Train    string   `json:"train,omitempty"`
	Upgrades []string `json:"upgrades,omitempty"`
}

func (m message) encode() []byte {
	data, err := json.Marshal(m)
	if err != nil {
		panic(err) // a struct of strings has no value that JSON refuses
	}
	return data
}

// now is the time as the backend writes it into its messages.
func now() string { return time.Now().UTC().Format(time.RFC3339) }
