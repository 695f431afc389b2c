package cli

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"syscall"
)

// Page runs f with standard output going through the pager that Git would take (GIT_PAGER, core.pager, PAGER), where
// standard output is a terminal. Without one, or with "cat", f writes straight on. Whoever leaves the pager early ends f.
func (e *Env) Page(ctx context.Context, f func() error) error {
	if !e.StdoutTTY || e.Value("TERM") == "dumb" {
		return f()
	}
	ask := exec.CommandContext(ctx, "git", "var", "GIT_PAGER")
	ask.Dir, ask.Env = e.Dir, e.Environ
	b, err := ask.Output()
	program := strings.TrimSpace(string(b))
	if err != nil || program == "" || program == "cat" {
		return f() //nolint:nilerr // what can't page prints
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", program) //nolint:gosec // the user's own, as Git runs it
	cmd.Dir, cmd.Env = e.Dir, e.Environ
	for name, value := range map[string]string{"LESS": "FRX", "LV": "-c"} {
		if _, set := e.Lookup(name); !set {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Stdout, cmd.Stderr = e.Out, e.Err
	in, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return f() //nolint:nilerr // likewise
	}
	out := e.Out
	e.Out = in
	err = f()
	e.Out = out
	_ = in.Close()
	_ = cmd.Wait()
	if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}
