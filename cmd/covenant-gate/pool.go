package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"sync"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
)

// pool is checkers that run. A checker runs from the bytes that its digest was taken of,
// so one that is running need not be looked at again.
type pool struct {
	ctx  context.Context // of starts: that one client hangs up must not fail the others
	most int

	mu      sync.Mutex
	running map[key]*checker
	clock   int // of uses
	closed  bool
}

// key tells checkers apart. A checker is a pure function of what it is asked; that one process
// does not see two configurations is for those that are not quite.
type key struct {
	path, digest string
	config       [sha256.Size]byte
}

type checker struct {
	start sync.Once
	proc  *pluginwire.Process
	err   error
	used  int // the clock's last reading
	users int
	asked bool
	drop  bool // closed by its last user
}

func newPool(ctx context.Context, most int) *pool {
	return &pool{ctx: ctx, most: most, running: make(map[key]*checker)}
}

func keyOf(program pluginwire.Program, config map[string]string) key {
	b, _ := json.Marshal(config) // a map of strings, written in the order of its keys
	return key{program.Path, program.Digest, sha256.Sum256(b)}
}

// acquire returns a checker for this use, started or about to be.
func (p *pool) acquire(k key) (*checker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("shutting down")
	}
	c := p.running[k]
	if c == nil {
		if len(p.running) >= p.most {
			p.evict()
		}
		c = &checker{}
		p.running[k] = c
	}
	p.clock++
	c.used = p.clock
	c.users++
	return c, nil
}

// evict closes the checker that was not used for longest.
func (p *pool) evict() {
	var oldest key
	var found *checker
	for k, c := range p.running {
		if c.users == 0 && (found == nil || c.used < found.used) {
			oldest, found = k, c
		}
	}
	if found != nil {
		delete(p.running, oldest)
		found.close()
	}
}

// release ends a use. A checker that failed is closed when nobody uses it any more.
func (p *pool) release(k key, c *checker, failed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.users--
	if failed || p.closed {
		c.drop = true
		if p.running[k] == c {
			delete(p.running, k)
		}
	}
	if c.drop && c.users == 0 {
		c.close()
	}
}

func (c *checker) close() {
	if c.proc != nil {
		c.proc.Close()
	}
}

func (p *pool) ready(c *checker, program pluginwire.Program) error {
	c.start.Do(func() { c.proc, c.err = pluginwire.Start(p.ctx, program) })
	return c.err
}

// warm starts a checker.
func (p *pool) warm(program pluginwire.Program) {
	k := keyOf(program, nil)
	c, err := p.acquire(k)
	if err != nil {
		return
	}
	err = p.ready(c, program)
	p.release(k, c, err != nil)
}

// ask asks a checker, and once more when it turns out that it ended since it was last asked.
func (p *pool) ask(ctx context.Context, program pluginwire.Program, config map[string]string, requests []*pluginapi.Request) ([]pluginapi.Answer, error) {
	k := keyOf(program, config)
	for {
		answers, again, err := p.try(ctx, k, program, config, requests)
		if !again {
			return answers, err
		}
	}
}

func (p *pool) try(ctx context.Context, k key, program pluginwire.Program, config map[string]string, requests []*pluginapi.Request) (answers []pluginapi.Answer, again bool, err error) {
	c, err := p.acquire(k)
	if err != nil {
		return nil, false, err
	}
	if err := p.ready(c, program); err != nil {
		p.release(k, c, true)
		return nil, false, err
	}
	p.mu.Lock()
	before := c.asked
	c.asked = true
	p.mu.Unlock()
	answers, err = c.proc.Check(ctx, config, requests)
	var e *pluginapi.Error
	failed := errors.As(err, &e) && e.Failure != pluginapi.Failed
	p.release(k, c, failed)
	return answers, failed && before && e.Failure == pluginapi.Died && ctx.Err() == nil, err
}

// close ends all checkers, also those in use.
func (p *pool) close() {
	p.mu.Lock()
	var all []*checker
	for k, c := range p.running {
		all = append(all, c)
		delete(p.running, k)
	}
	p.closed = true
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() {
			c.start.Do(func() { c.err = errors.New("shutting down") }) // waits for a start that is under way
			c.close()
		})
	}
	wg.Wait()
}
