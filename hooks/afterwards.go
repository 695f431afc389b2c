package hooks

import (
	"math"
	"os"
	"time"
)

// Afterwards is how a stop in a large work tree ends, where looking at all of its files takes longer than an agent should wait: it is answered, and looked at by
// another process. What changed after the answer is no business of that stop's.
type Afterwards struct {
	// Go has another process do the rest, that outlives this one. nil: it is done here.
	Go func(answered time.Time) error
	// Answered is when, for who does the rest; else zero.
	Answered time.Time
}

// rest reports whether this is the process that does the rest.
func (a *Afterwards) rest() bool { return !a.Answered.IsZero() }

// until is the last moment that is looked at, in milliseconds since 1970.
func (a *Afterwards) until() int64 {
	if a.rest() {
		return a.Answered.UnixMilli()
	}
	return math.MaxInt64
}

// restLock names the lock of who does the rest of a stop.
const restLock = "stop.lock"

// largeIndex is the size of an index, in bytes, whose work tree is large: some ten thousand files.
const largeIndex = 1 << 20

// later leaves the rest of a stop to another process, where the work tree is large. It returns false where it is to be done here.
func (b *bench) later() bool {
	if b.t.Stop.Go == nil || b.workTree() == "" {
		return false
	}
	st, err := os.Stat(b.s.Repo().IndexFile())
	return err == nil && st.Size() > largeIndex && b.t.Stop.Go(b.in.Now()) == nil
}
