package quota

import "sync"

// Topics counts the sessions that are on a topic. Topics are told apart by keys
// that are spread evenly, such as a hash with a seed. The zero Topics is ready
// and counts none. All goroutines may use it: what they wait for is another's
// step in a map, in one of many shards.
type Topics struct {
	shards [shards]shard
}

const shards = 64

type shard struct {
	mu       sync.Mutex
	sessions map[uint64]int // never zero; nil if there are none
	_        [48]byte       // a shard has a cache line of its own
}

// Take counts one session more on the topic, unless there are max already, and
// reports whether it has. A max of zero is no limit.
func (t *Topics) Take(key uint64, max int) bool {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.sessions[key]
	if max > 0 && n >= max {
		return false
	}
	if s.sessions == nil {
		s.sessions = make(map[uint64]int)
	}
	s.sessions[key] = n + 1
	return true
}

// Give takes back what one Take has counted.
func (t *Topics) Give(key uint64) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.sessions[key]; {
	case n > 1:
		s.sessions[key] = n - 1
	case len(s.sessions) == 1 && n == 1:
		s.sessions = nil // a map does not shrink by itself
	default:
		delete(s.sessions, key)
	}
}

// Sessions returns how many sessions are on the topic.
func (t *Topics) Sessions(key uint64) int {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[key]
}

// Len returns how many topics have a session.
func (t *Topics) Len() (n int) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		n += len(s.sessions)
		s.mu.Unlock()
	}
	return n
}

func (t *Topics) shard(key uint64) *shard { return &t.shards[key%shards] }
