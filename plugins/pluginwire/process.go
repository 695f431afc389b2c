package pluginwire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

const (
	maxFirstLine = 4096     // of the handshake, in bytes; a certificate of AutoMTLS takes 900
	maxStderr    = 16 << 10 // kept of what a plugin writes to standard error
	saidInError  = 400      // of which an error repeats so much
)

// process is the subprocess, as a runner of go-plugin's. That library is shown the first line
// of standard output, which was checked, and nothing else; the rest is read and dropped here, so
// that neither a flood nor a child that keeps a pipe open holds anybody up.
type process struct {
	name  string
	image *image
	args  []string
	env   []string
	dir   string // where its sockets may be
	ctx   context.Context

	pid    int
	line   string
	err    error // of Start
	stderr tail
	heard  chan struct{} // closed when standard error was read to its end; nil before it is read

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when it was waited for
}

// Start starts the process and waits for its first line.
func (p *process) Start(context.Context) error {
	p.err = p.start()
	return p.err
}

func (p *process) start() error {
	fail := func(f pluginapi.Failure, err error) error { return &pluginapi.Error{Failure: f, Err: p.say(err)} }
	if err := p.ctx.Err(); err != nil {
		return fail(pluginapi.Timeout, err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return fail(pluginapi.Handshake, err)
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		outR.Close()
		outW.Close()
		return fail(pluginapi.Handshake, err)
	}
	p.ended = make(chan struct{})
	started := make(chan error, 1)
	go p.live(started, outW, errW, func() {
		// A child of it may hold the pipes; what it had to say itself has been written.
		time.AfterFunc(50*time.Millisecond, func() {
			outR.Close()
			errR.Close()
		})
	})
	if err := <-started; err != nil {
		close(p.ended)
		outR.Close()
		errR.Close()
		if errors.Is(err, os.ErrNotExist) {
			return fail(pluginapi.Missing, err)
		}
		return fail(pluginapi.Handshake, err)
	}
	heard := make(chan struct{})
	p.heard = heard
	go func() {
		defer close(heard)
		_, _ = io.Copy(&p.stderr, errR)
		errR.Close()
	}()
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReaderSize(outR, maxFirstLine)
		line, err := r.ReadSlice('\n')
		if err != nil && len(line) == maxFirstLine {
			line = line[:80] // too long to be one
		}
		first <- string(line)
		_, _ = io.Copy(io.Discard, r)
		outR.Close()
	}()
	select {
	case p.line = <-first:
	case <-p.ctx.Done():
		p.kill()
		return fail(pluginapi.Timeout, errors.New("no handshake in time"))
	}
	if f, err := p.checkLine(); err != nil {
		if p.line == "" && p.endsSoon() {
			f, err = pluginapi.Died, errors.New("it ended without a handshake")
		}
		p.kill()
		return fail(f, err)
	}
	return nil
}

// live is the process's whole life, on one thread: the kernel kills the child when the
// thread that started it ends (see attributes).
func (p *process) live(started chan<- error, outW, errW *os.File, after func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, err := p.launch(outW, errW)
	outW.Close()
	errW.Close()
	if err != nil {
		started <- err
		return
	}
	p.mu.Lock()
	p.cmd, p.pid = cmd, cmd.Process.Pid
	p.mu.Unlock()
	started <- nil
	ending(cmd)
	p.mu.Lock() // kill sends no signal to a number that may be somebody else's
	killGroup(p.pid)
	_ = cmd.Wait()
	close(p.ended)
	p.mu.Unlock()
	forget(p.pid)
	after()
}

// launch starts the image. Another thread's fork may hold a fresh copy open for writing
// for a moment, and then the kernel says that the text is busy.
func (p *process) launch(outW, errW *os.File) (*exec.Cmd, error) {
	for try := 0; ; try++ {
		cmd := &exec.Cmd{
			Path: p.image.path, Args: append([]string{p.image.name}, p.args...), Env: p.env, Dir: root(),
			Stdout: outW, Stderr: errW, ExtraFiles: p.image.files, SysProcAttr: attributes(),
		}
		err := spawn(cmd)
		if err == nil {
			return cmd, nil
		}
		if p.image.fallback(err) {
			continue
		}
		if !textBusy(err) || try == 20 {
			return nil, err
		}
		time.Sleep(time.Duration(try+1) * time.Millisecond)
	}
}

// checkLine refuses a first line that leads anywhere but to a socket of our directory.
func (p *process) checkLine() (pluginapi.Failure, error) {
	parts := strings.Split(strings.TrimSpace(p.line), "|")
	if len(parts) < 5 || len(parts) > 7 || !strings.HasSuffix(p.line, "\n") {
		return pluginapi.Garbage, fmt.Errorf("%.80q is no handshake", p.line)
	}
	if parts[0] != "1" || parts[1] != strconv.Itoa(pluginapi.Version) {
		return pluginapi.OtherVersion, fmt.Errorf("it speaks %.20q, version %.20q, not 1, version %d", parts[0], parts[1], pluginapi.Version)
	}
	if parts[4] != "grpc" {
		return pluginapi.OtherVersion, fmt.Errorf("it speaks %.20q, not grpc", parts[4])
	}
	if err := p.checkAddress(parts[2], parts[3]); err != nil {
		return pluginapi.Garbage, err
	}
	return "", nil
}

func (p *process) checkAddress(network, address string) error {
	switch network {
	case "unix":
		if rel, err := filepath.Rel(p.dir, address); err == nil && filepath.IsLocal(rel) && rel != "." {
			return nil
		}
	case "tcp":
		if runtime.GOOS == "windows" && strings.HasPrefix(address, "127.0.0.1:") {
			return nil
		}
	}
	return fmt.Errorf("it would be asked at %.20s %.80q", network, address)
}

// kill ends the process and its group.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil && !p.gone() {
		killGroup(p.pid)
		_ = p.cmd.Process.Kill()
	}
}

// reap waits for the end of a killed process, and ends what it left behind.
func (p *process) reap() {
	if p.ended != nil {
		<-p.ended
		sweep()
	}
}

func (p *process) gone() bool {
	if p.ended == nil {
		return true
	}
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// endsSoon gives a process that closed its end a moment to end.
func (p *process) endsSoon() bool {
	if p.ended == nil {
		return true
	}
	select {
	case <-p.ended:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// endsWithin reports whether a failed call failed because the process ended. When our own time was up it did not.
func (p *process) endsWithin(ctx context.Context, err error) bool {
	if ctx.Err() != nil || status.Code(err) != codes.Unavailable {
		return p.gone()
	}
	return p.endsSoon()
}

// say adds to an error what the process wrote to standard error. Of one that ended, it waits a moment for the rest.
func (p *process) say(err error) error {
	if p.heard != nil && p.gone() {
		select {
		case <-p.heard:
		case <-time.After(100 * time.Millisecond): // a child of its own may hold the end
		}
	}
	if s := p.stderr.String(); s != "" {
		return fmt.Errorf("%w; it wrote %q", err, s)
	}
	return err
}

// What go-plugin asks of a runner.

func (p *process) Stdout() io.ReadCloser { return io.NopCloser(strings.NewReader(p.line)) }
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }
func (p *process) Name() string          { return p.name }
func (p *process) ID() string            { return strconv.Itoa(p.pid) }

func (p *process) Diagnose(context.Context) string { return "" }

func (p *process) Wait(context.Context) error {
	<-p.ended
	return nil
}

func (p *process) Kill(context.Context) error {
	p.kill()
	return nil
}

func (p *process) PluginToHost(network, address string) (host, at string, err error) {
	return network, address, p.checkAddress(network, address)
}

func (p *process) HostToPlugin(network, address string) (plugin, at string, err error) {
	return network, address, nil
}

// tail keeps the first bytes that are written to it, and takes all.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b[:min(len(b), maxStderr-t.buf.Len())])
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := bytes.TrimSpace(t.buf.Bytes())
	return string(b[:min(len(b), saidInError)])
}
