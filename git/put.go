package git

import (
	"bytes"
	"fmt"

	"github.com/open-covenant/covenant-git/git/oid"
)

// A flush of more than these becomes a pack instead of loose objects.
const (
	looseObjects = 64
	looseBytes   = 8 << 20
)

// queued is an object that waits to be written.
type queued struct {
	kind string
	id   oid.ID
	body []byte
}

// Put queues an object and returns its name. Nothing is visible outside the session before
// [Session.Flush]. Kind is "blob", "tree", "commit" or "tag"; Flush fails on any other. The body is
// copied and not checked.
func (s *Session) Put(kind string, body []byte) oid.ID {
	id := s.repo.format.Hash(kind, body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.queueAt[id]; !ok {
		s.queueAt[id] = len(s.queue)
		s.queue = append(s.queue, queued{kind, id, bytes.Clone(body)})
		s.queueSize += int64(len(body))
	}
	return id
}

// queuedObject returns a queued object. Its Data is the caller's to keep.
func (s *Session) queuedObject(id oid.ID) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.queueAt[id]
	if !ok {
		return Object{}, false
	}
	q := s.queue[i]
	return Object{ID: q.id, Kind: q.kind, Size: int64(len(q.body)), Data: bytes.Clone(q.body)}, true
}

// Flush writes what is queued into the object store, or into the quarantine that
// GIT_OBJECT_DIRECTORY names: up to 64 objects of together 8 MiB as loose objects, more as one
// pack. When it returns nil all objects are there and the queue is empty. After an error some may
// be, which harms nothing, and the queue is as before.
func (s *Session) Flush() error {
	s.mu.Lock()
	queue, size := s.queue, s.queueSize
	s.mu.Unlock()
	if len(queue) == 0 {
		return nil
	}
	for _, q := range queue {
		if !isKind(q.kind) {
			return fmt.Errorf("write objects: %q is no kind of object", clip(q.kind))
		}
	}
	var err error
	if len(queue) <= looseObjects && size <= looseBytes {
		err = s.repo.writeLoose(queue)
	} else {
		err = s.repo.writePack(s.ctx, queue)
	}
	if err != nil {
		return fmt.Errorf("write %d objects: %w", len(queue), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := s.queue[len(queue):]
	s.queue, s.queueAt, s.queueSize = nil, map[oid.ID]int{}, 0
	for _, q := range rest {
		s.queueAt[q.id] = len(s.queue)
		s.queue = append(s.queue, q)
		s.queueSize += int64(len(q.body))
	}
	return nil
}
