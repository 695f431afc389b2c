package gate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"runtime"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

const reinstall = "covenant and covenant-gate must be of one installation: install all programs again"

func missing(program string, err error) *Error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no program covenant-gate at %q", program)
	}
	return &Error{Failure: pluginapi.Missing, Hint: "covenant-gate must be in the directory of covenant: install all programs again", Err: err}
}

// started is a covenant-gate that waits for its document.
type started struct {
	in     *io.PipeWriter
	out    chan ran
	ended  chan struct{} // closed when the process is gone
	cancel context.CancelFunc
}

type ran struct {
	b   []byte
	err error
}

// Start starts covenant-gate ahead of the next [Gate.Ask], so that it and the built-in
// checker are ready when the question is. Where the resident host is used it does
// nothing. A gate that was started must be closed.
func (g *Gate) Start(ctx context.Context) {
	if g.Resident || g.ahead != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	s := &started{in: w, out: make(chan ran, 1), ended: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(s.ended)
		b, err := g.exec(ctx, "decide", r, s.out)
		_ = r.CloseWithError(io.ErrClosedPipe)
		select {
		case s.out <- ran{b, err}:
		default: // the answer is out already
		}
	}()
	g.ahead = s
}

// ending is how long a covenant-gate that has answered may take to end its plugins. A variable for the tests.
var ending = 5 * time.Second

// Close ends a covenant-gate that was started and not asked, and gives one that was asked the time to end its plugins.
func (g *Gate) Close() {
	if s := g.ahead; s != nil {
		g.ahead = nil
		s.cancel()
		_ = s.in.Close()
		<-s.ended
	}
	if s := g.asked; s != nil {
		g.asked = nil
		end := time.AfterFunc(ending, s.cancel)
		<-s.ended
		end.Stop()
		s.cancel()
	}
}

// run runs covenant-gate decide, or asks the one that was started.
func (g *Gate) run(ctx context.Context, doc []byte) ([]byte, error) {
	s := g.ahead
	if s == nil {
		return g.exec(ctx, "decide", bytes.NewReader(doc), nil)
	}
	g.ahead, g.asked = nil, s
	go func() {
		_, err := s.in.Write(doc)
		_ = s.in.CloseWithError(err)
	}()
	select {
	case r := <-s.out:
		return r.b, r.err
	case <-ctx.Done():
		s.cancel()
		<-s.ended
		return nil, &Error{Failure: pluginapi.Timeout, Err: fmt.Errorf("covenant-gate: %w", ctx.Err())}
	}
}

// exec runs covenant-gate to its end, for what it is to do. early gets the answer as soon as all of it is there, before covenant-gate
// has ended what it started; nil: nobody waits for it.
func (g *Gate) exec(ctx context.Context, what string, doc io.Reader, early chan<- ran) ([]byte, error) {
	// When this thread ends the kernel ends the child, where it can.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, g.Program, what) //nolint:gosec // the program of our own installation
	cmd.Env = append([]string{}, g.Env...)
	cmd.Stdin = doc
	out, said := &bounded{left: MaxDocument}, &bounded{left: 4096}
	if early != nil {
		// It writes one line, and nothing when it fails.
		out.line = func(b []byte) { early <- ran{bytes.Clone(b), nil} }
	}
	cmd.Stdout, cmd.Stderr = out, said
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error { return end(cmd.Process) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case err == nil && out.over:
		return nil, &Error{Failure: pluginapi.Garbage, Err: fmt.Errorf("covenant-gate wrote more than %d bytes", MaxDocument)}
	case err == nil:
		return out.buf.Bytes(), nil
	case ctx.Err() != nil:
		return nil, &Error{Failure: pluginapi.Timeout, Err: fmt.Errorf("covenant-gate: %w", ctx.Err())}
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound):
		return nil, missing(g.Program, err)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return nil, &Error{Failure: pluginapi.Handshake, Hint: reinstall, Err: fmt.Errorf("covenant-gate: %w", err)}
	}
	return nil, &Error{Failure: pluginapi.Failed, Err: fmt.Errorf("covenant-gate: %w: %.1000s", err, bytes.TrimSpace(said.buf.Bytes()))}
}

// bounded keeps the first bytes that are written to it, and takes all.
type bounded struct {
	buf  bytes.Buffer
	left int
	over bool
	line func([]byte) // called once, with the first line when it is whole; nil: not wanted
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.over = b.over || n < len(p)
	b.buf.Write(p[:n])
	if b.line != nil && !b.over && bytes.IndexByte(p[:n], '\n') >= 0 {
		b.line(b.buf.Bytes())
		b.line = nil
	}
	return len(p), nil
}
