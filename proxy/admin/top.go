package admin

import "sort"

// top keeps the first of many, in an order, and needs memory for twice as many as it
// keeps.
type top[T any] struct {
	most    int
	compare func(a, b *T) int
	kept    []T
	sorted  bool // kept begins with the first of all so far, in their order
}

// add copies its argument, if that may be among the first.
func (t *top[T]) add(x *T) {
	if t.sorted && t.compare(x, &t.kept[t.most-1]) >= 0 {
		return
	}
	t.kept = append(t.kept, *x)
	if len(t.kept) >= 2*t.most {
		t.first()
		t.sorted = true
	}
}

// first returns the first of those that were added.
func (t *top[T]) first() []T {
	sort.Slice(t.kept, func(i, j int) bool { return t.compare(&t.kept[i], &t.kept[j]) < 0 })
	t.kept = t.kept[:min(len(t.kept), t.most)]
	return t.kept
}
