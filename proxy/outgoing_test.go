package proxy

import (
	"testing"

	"wswarden/proxy/wsframe"
)

// room is a peer that takes so many bytes more.
type room struct {
	left int
	took []byte
}

func (r *room) Write(p []byte) (int, error) {
	n := min(len(p), r.left)
	r.left -= n
	r.took = append(r.took, p[:n]...)
	return n, nil
}

// What waits for a peer ends in a message whose rest will not come. Behind the last
// whole frame a close frame may follow; a farewell only behind a whole message.
func TestFinishCutsOff(t *testing.T) {
	whole := wsframe.Append(nil, wsframe.Client, wsframe.Text, [4]byte{}, []byte("whole"))
	begun := wsframe.Append(nil, wsframe.Client, wsframe.Text, [4]byte{}, []byte("begun"))
	begun[0] &^= 0x80 // another fragment follows
	stream := append(append([]byte(nil), whole...), begun...)
	tests := []struct {
		name, farewell string
		taken          int // bytes of the stream, before the end
		want           string
		parted         bool
	}{
		{"none taken", "bye", 0, string(whole) + "byeclose", true},
		{"a part of the whole message", "bye", 3, string(whole) + "byeclose", true},
		{"the whole message", "bye", len(whole), string(whole) + "byeclose", true},
		{"a part of the other", "bye", len(whole) + 1, string(stream) + "close", false},
		{"all", "bye", len(stream), string(stream) + "close", false},
		{"no farewell", "", 0, string(stream) + "close", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			peer := &room{left: test.taken}
			var o outgoing
			var end wsframe.Position
			end.Skip(stream, len(stream))
			if err := o.pass(peer, stream, end); err != nil {
				t.Fatal(err)
			}
			peer.left = 1000
			ok, parted, err := o.finish(peer, []byte(test.farewell), []byte("close"))
			if !ok || parted != test.parted || err != nil || string(peer.took) != test.want {
				t.Errorf("%v, %v, %v: %q, want %q", ok, parted, err, peer.took, test.want)
			}
		})
	}
}
