package policies

import "slices"

// usedMost IDs are remembered, the latest.
const usedMost = 1024

// usedIDs are the hashes of the IDs that a session's subscriptions have had. The zero
// usedIDs has none, and takes no memory.
type usedIDs struct {
	hashes []uint64
	oldest int // where it is, once there are usedMost
}

func (u *usedIDs) has(id uint64) bool { return slices.Contains(u.hashes, id) }

func (u *usedIDs) add(id uint64) {
	if len(u.hashes) < usedMost {
		u.hashes = append(u.hashes, id)
		return
	}
	u.hashes[u.oldest] = id
	u.oldest = (u.oldest + 1) % usedMost
}
