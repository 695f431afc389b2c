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
	cancel context.CancelFunc
}

type ran struct {
	b   []byte
	err error
}

// Start starts covenant-gate ahead of the next [Gate.Ask], so that it and the built-in
// checker are ready when the question is. Where the resident host is used it does
// nothing. A gate that was started and is not asked must be closed.
func (g *Gate) Start(ctx context.Context) {
	if g.Resident || g.ahead != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	s := &started{in: w, out: make(chan ran, 1), cancel: cancel}
	go func() {
		b, err := g.exec(ctx, r)
		_ = r.CloseWithError(io.ErrClosedPipe)
		s.out <- ran{b, err}
	}()
	g.ahead = s
}

// Close ends a covenant-gate that was started and not asked.
func (g *Gate) Close() {
	if s := g.ahead; s != nil {
		g.ahead = nil
		s.cancel()
		_ = s.in.Close()
		<-s.out
	}
}

// run runs covenant-gate decide, or asks the one that was started.
func (g *Gate) run(ctx context.Context, doc []byte) ([]byte, error) {
	s := g.ahead
	if s == nil {
		return g.exec(ctx, bytes.NewReader(doc))
	}
	g.ahead = nil
	defer s.cancel()
	go func() {
		_, err := s.in.Write(doc)
		_ = s.in.CloseWithError(err)
	}()
	select {
	case r := <-s.out:
		return r.b, r.err
	case <-ctx.Done():
		s.cancel()
		<-s.out
		return nil, &Error{Failure: pluginapi.Timeout, Err: fmt.Errorf("covenant-gate: %w", ctx.Err())}
	}
}

func (g *Gate) exec(ctx context.Context, doc io.Reader) ([]byte, error) {
	// When this thread ends the kernel ends the child, where it can.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, g.Program, "decide") //nolint:gosec // the program of our own installation
	cmd.Env = append([]string{}, g.Env...)
	cmd.Stdin = doc
	out, said := &bounded{left: MaxDocument}, &bounded{left: 4096}
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
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.left)
	b.left -= n
	b.over = b.over || n < len(p)
	b.buf.Write(p[:n])
	return len(p), nil
}
