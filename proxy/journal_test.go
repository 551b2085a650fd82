package proxy

import (
	"context"
	"log/slog"
	"strings"
	"testing"
)

// stuck is a log that takes nothing until it is released, and then keeps what it
// is told.
type stuck struct {
	slog.Handler
	release chan struct{}
	told    *[]string
}

func (s stuck) Handle(_ context.Context, r slog.Record) error {
	<-s.release
	*s.told = append(*s.told, r.Message)
	return nil
}

func TestJournalNeverBlocks(t *testing.T) {
	t.Parallel()
	log := stuck{slog.NewTextHandler(nil, nil), make(chan struct{}), new([]string)}
	j := newJournal(log)
	logger := slog.New(j).With("with", "attributes").WithGroup("and a group")
	const more = 100
	for range cap(j.entries) + more {
		slog.New(j).Info("record")
	}
	logger.Info("dropped as well")
	j.close() // it gives up waiting

	close(log.release)
	<-j.done
	last := (*log.told)[len(*log.told)-1]
	if dropped := cap(j.entries) + more + 1 - (len(*log.told) - 1); dropped < more {
		t.Errorf("%d records dropped, at least %d did not fit", dropped, more)
	}
	if !strings.Contains(strings.Join(*log.told, "\n"), "records dropped") {
		t.Errorf("nobody is told of what was dropped; last: %q", last)
	}
}

func TestJournalWritesAllBeforeItCloses(t *testing.T) {
	log := stuck{slog.NewTextHandler(nil, nil), make(chan struct{}), new([]string)}
	close(log.release)
	j := newJournal(log)
	for range 1000 {
		slog.New(j).Info("record")
	}
	j.close()
	if len(*log.told) != 1000 {
		t.Errorf("%d records written", len(*log.told))
	}
}
