package evidence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"
)

// Refusals of commands, as env(1) tells them apart.
var (
	ErrNotFound      = errors.New("no such command")
	ErrNotExecutable = errors.New("it can't be executed")
)

// grace is how long a command that was told to end may take, and how long its output is waited for when it has ended.
const grace = 3 * time.Second

// A command is one process to run, with all that it starts.
type command struct {
	path    string // of the program
	argv    []string
	dir     string
	env     []string
	out     io.Writer // gets standard output
	err     io.Writer // gets standard error
	timeout time.Duration
	signals <-chan os.Signal // are passed on
	now     func() time.Time
}

// ended says how a command ended.
type ended struct {
	exit        int
	signal      string
	left        bool // it left processes behind
	timedOut    bool
	interrupted bool // a signal was passed on
	took        time.Duration
}

// run starts the command, passes signals on, and returns when neither it nor anything that it started runs any more. Standard
// input is empty: a run that reads what somebody types can't be repeated. It has a session of its own, so it has no terminal.
func (c *command) run(ctx context.Context) (ended, error) {
	outR, outW, err := os.Pipe()
	if err != nil {
		return ended{}, err
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		outR.Close()
		outW.Close()
		return ended{}, err
	}
	defer outR.Close()
	defer errR.Close()
	cmd := &exec.Cmd{Path: c.path, Args: c.argv, Dir: c.dir, Env: c.env, Stdout: outW, Stderr: errW}
	family := newFamily(cmd)
	started, done := make(chan error, 1), make(chan struct{})
	begin := c.now()
	go func() {
		runtime.LockOSThread() // who started it must live as long: see attributes
		err := cmd.Start()
		outW.Close()
		errW.Close()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended stands in its state
			close(done)
		}
	}()
	if err := <-started; err != nil {
		family.end()
		return ended{}, fmt.Errorf("%w: %w", ErrNotExecutable, err)
	}
	var copying sync.WaitGroup
	for _, p := range []struct {
		r *os.File
		w io.Writer
	}{{outR, c.out}, {errR, c.err}} {
		copying.Go(func() { _, _ = io.CopyBuffer(struct{ io.Writer }{p.w}, struct{ io.Reader }{p.r}, make([]byte, 32<<10)) })
	}
	var e ended
	e.wait(ctx, c, family, done)
	e.took = c.now().Sub(begin)
	e.left = family.end()
	late := time.AfterFunc(grace, func() { // what holds the pipes got away from us
		_ = outR.SetReadDeadline(time.Unix(1, 0))
		_ = errR.SetReadDeadline(time.Unix(1, 0))
	})
	copying.Wait()
	e.left = !late.Stop() || e.left
	e.exit, e.signal = status(cmd.ProcessState)
	return e, nil
}

// wait returns when the command's own process has ended.
func (e *ended) wait(ctx context.Context, c *command, f *family, done <-chan struct{}) {
	var timeout, last <-chan time.Time
	if c.timeout > 0 {
		timeout = time.After(c.timeout)
	}
	cancelled := ctx.Done()
	for {
		select {
		case <-done:
			return
		case s := <-c.signals:
			e.interrupted = true
			f.signal(s)
		case <-timeout:
			e.timedOut, timeout = true, nil
			f.terminate()
			last = time.After(grace)
		case <-cancelled:
			cancelled, e.interrupted = nil, true
			f.terminate()
			last = time.After(grace)
		case <-last:
			last = nil
			f.kill()
		}
	}
}

// find returns the path of a program as exec does: a name without a slash is looked for on the environment's PATH, any other is
// as seen from the directory.
func find(name, dir string, environ []string) (string, error) {
	var places []string
	if strings.ContainsRune(name, '/') || strings.ContainsRune(name, filepath.Separator) {
		places = []string{""}
	} else {
		places = filepath.SplitList(lookup(environ, "PATH"))
	}
	var denied error
	for _, p := range places {
		file := filepath.Join(cmp.Or(p, "."), name)
		if p == "" && len(places) == 1 {
			file = name
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		st, err := os.Stat(file)
		switch {
		case err != nil || st.IsDir():
		case runtime.GOOS != "windows" && st.Mode()&0o111 == 0:
			denied = fmt.Errorf("%w: %q has no execute permission", ErrNotExecutable, file)
		default:
			return file, nil
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fmt.Errorf("%w: %q", ErrNotFound, name)
}

func lookup(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(environ[i], "="); ok && k == name {
			return v
		}
	}
	return ""
}
