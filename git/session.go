package git

import (
	"context"
	"slices"
	"sync"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Session is one piece of work on a repository: it keeps one long-lived child that reads objects, one
// that compares trees, and the objects that wait to be written. It has one owner, who closes it. Its methods may be
// called while a sequence of the same session is being read; a child that is busy is not shared,
// another is started.
type Session struct {
	repo *Repo
	ctx  context.Context

	mu   sync.Mutex
	idle map[string]*process // waiting children by purpose
	ends []*process          // children that were told to end

	queue     []queued
	queueAt   map[oid.ID]int // position in queue
	queueSize int64
	view      *view
}

// Session returns a session that ends with ctx. It starts no child.
func (r *Repo) Session(ctx context.Context) *Session {
	s := &Session{repo: r, ctx: ctx, idle: map[string]*process{}, queueAt: map[oid.ID]int{}}
	if p := r.ready.Swap(nil); p != nil {
		s.idle[readPurpose] = p
	}
	return s
}

// Repo returns the repository the session works on.
func (s *Session) Repo() *Repo { return s.repo }

// Children returns how many git processes the repository was made to start so far, by this and
// other sessions, [Open] included.
func (s *Session) Children() int { return int(s.repo.children.Load()) }

// Close ends the children and forgets what was queued and not flushed. It is safe to call twice. A
// closed session may be used again; it starts new children.
func (s *Session) Close() error {
	s.mu.Lock()
	idle, ends, v := s.idle, s.ends, s.view
	s.idle, s.ends, s.view = map[string]*process{}, nil, nil
	s.queue, s.queueAt, s.queueSize = nil, map[oid.ID]int{}, 0
	s.mu.Unlock()
	for _, p := range idle {
		p.closePipes()
	}
	for _, p := range idle {
		p.reap()
	}
	for _, p := range ends {
		p.reap()
	}
	return v.remove()
}

// end tells a child to end and does not wait for it; [Session.Close] does.
func (s *Session) end(p *process) {
	p.closePipes()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = slices.DeleteFunc(s.ends, func(p *process) bool {
		select {
		case <-p.done:
			return true
		default:
			return false
		}
	})
	s.ends = append(s.ends, p)
}

// Warm starts the child that reads objects, so that it is ready when it is asked. If it can't be started,
// that is told of when it is.
func (s *Session) Warm() { s.warm(readPurpose, s.reader) }

// WarmDiff is Warm for the child that compares trees.
func (s *Session) WarmDiff() { s.warm(diffPurpose, s.differ) }

func (s *Session) warm(purpose string, start func() (*process, error)) {
	if p, err := start(); err == nil {
		s.give(purpose, p)
	}
}

// take hands out the idle child for a purpose, or starts one that reads our commands.
func (s *Session) take(purpose string, env []string, args ...string) (*process, error) {
	s.mu.Lock()
	p := s.idle[purpose]
	delete(s.idle, purpose)
	s.mu.Unlock()
	if p != nil {
		select {
		case <-p.done:
			p.close()
		default:
			return p, nil
		}
	}
	return s.repo.start(s.ctx, env, pipeInput, args...)
}

// give puts a child that is in step with us back for the next use.
func (s *Session) give(purpose string, p *process) {
	s.mu.Lock()
	old := s.idle[purpose]
	s.idle[purpose] = p
	s.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// readEnv is the environment of children that read objects.
func (s *Session) readEnv() ([]string, error) {
	if !s.repo.view {
		return s.repo.env, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view == nil {
		v, err := s.repo.makeView()
		if err != nil {
			return nil, err
		}
		s.view = v
	}
	return s.view.env, nil
}
