package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// grace is how long a child that was told to end may take before it is killed. Git uses it to
// remove its lock files.
const grace = 2 * time.Second

// process is one running git child. Its pipes are ours, not os/exec's, so that it can be reaped
// the moment it ends, whoever forgets to close it, without losing output that is still unread.
type process struct {
	args   []string
	ctx    context.Context
	cmd    *exec.Cmd
	in     *os.File // nil when the child's input was given at start
	w      *bufio.Writer
	out    *bufio.Reader
	outPip *os.File
	errs   tail
	done   chan struct{} // closed when the child is reaped
	err    error         // how it ended; valid after done
}

// start starts git with args after this package's own flags. With a nil stdin the child's input
// is empty; with [pipeInput] it is p.w.
func (r *Repo) start(ctx context.Context, env []string, stdin io.Reader, args ...string) (*process, error) {
	return r.startRaw(ctx, env, stdin, append(flags[:], args...), args)
}

// pipeInput asks start for a pipe that the caller writes to.
var pipeInput io.Reader = new(noReader)

type noReader struct{}

func (*noReader) Read([]byte) (int, error) { return 0, io.EOF }

func (r *Repo) startRaw(ctx context.Context, env []string, stdin io.Reader, argv, shown []string) (*process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start git %s: %w", shown[0], err)
	}
	p := &process{args: shown, ctx: ctx, done: make(chan struct{})}
	cmd := exec.CommandContext(ctx, r.bin, argv...)
	cmd.Dir = r.dir
	cmd.Env = env
	cmd.Stderr = &p.errs
	cmd.Cancel = func() error { return terminate(cmd.Process) }
	cmd.WaitDelay = grace
	group := unattended(ctx) && talksToRemotes(shown)
	if group {
		apart(cmd)
		cmd.Cancel = func() error { return terminateGroup(cmd.Process) }
	}
	p.cmd = cmd

	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start git %s: %w", shown[0], err)
	}
	cmd.Stdout = outW
	var inR *os.File
	if stdin == pipeInput {
		inR, p.in, err = os.Pipe()
		if err != nil {
			outR.Close()
			outW.Close()
			return nil, fmt.Errorf("start git %s: %w", shown[0], err)
		}
		cmd.Stdin = inR
		p.w = bufio.NewWriterSize(p.in, 32<<10)
	} else {
		cmd.Stdin = stdin
	}
	err = cmd.Start()
	outW.Close()
	if inR != nil {
		inR.Close()
	}
	if err != nil {
		outR.Close()
		if p.in != nil {
			p.in.Close()
		}
		return nil, fmt.Errorf("start git %s: %w", shown[0], err)
	}
	r.children.Add(1)
	p.outPip = outR
	p.out = bufio.NewReaderSize(outR, headerLimit+pathLimit)
	go func() {
		p.err = cmd.Wait()
		if group && ctx.Err() != nil {
			killGroup(cmd.Process)
		}
		close(p.done)
	}()
	return p, nil
}

// wait ends the child's input, lets it run to its end and returns how it ended: nil, a
// *CommandError, or the context's error.
func (p *process) wait() error {
	if p.in != nil {
		p.in.Close()
	}
	<-p.done
	p.outPip.Close()
	return p.exit()
}

// exit says how a child that is reaped ended.
func (p *process) exit() error {
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return nil
	case p.ctx.Err() != nil:
		return fmt.Errorf("git %s: %w", subcommand(p.args), context.Cause(p.ctx))
	case errors.As(p.err, &exit):
		return &CommandError{Args: p.args, Code: exit.ExitCode(), Stderr: p.errs.String()}
	}
	return fmt.Errorf("git %s: %w", p.args[0], p.err)
}

// subcommand is what git is told to do.
func subcommand(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-c":
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}
	return ""
}

// kill ends a child whose output nobody wants any more.
func (p *process) kill() {
	p.closePipes()
	_ = terminate(p.cmd.Process) // it may be gone already
	p.reap()
}

// close ends an idle child: the end of its input is its sign to go.
func (p *process) close() {
	p.closePipes()
	p.reap()
}

func (p *process) closePipes() {
	if p.in != nil {
		p.in.Close()
	}
	p.outPip.Close()
}

func (p *process) reap() {
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.cmd.Process.Kill()
		<-p.done
	}
}

// failure says why talking to the child failed with err: it reaps the child and prefers the
// child's own words, since a broken pipe or an early end says nothing.
func (p *process) failure(err error) error {
	p.closePipes()
	p.reap()
	if exit := p.exit(); exit != nil {
		return exit
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("git %s: %w", p.args[0], err)
}

// tail keeps the last bytes written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

const tailSize = 8 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, b...)
	if len(t.b) > tailSize {
		t.b = append(t.b[:0], t.b[len(t.b)-tailSize:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
