// Package cli is what all commands share: the world they run in ([Env]), how
// they fail ([Hint], [No], [Usage], [Code]), and the one function that starts
// them ([Main]). It is built on cobra.
//
// # Exit codes
//
//	0    yes, or done
//	1    no: forged, denied, unsealed, broken ([No])
//	2    no answer: usage, input or output, missing key, nothing to look at (any other error)
//	130  interrupted from the keyboard; 143 asked to end
//
// A command that runs another one passes that one's status on, and says 125 when
// it failed itself ([Code]).
//
// # Errors
//
// An error is told on standard error as "error: " and "hint: " lines. When the
// command was given --json it is one line of JSON there instead,
//
//	{"type":"error","code":2,"message":"…","hints":["…"]}
//
// so that standard output carries nothing but the records asked for.
package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
)

// An Env is the world a command runs in. Commands take everything from it and
// nothing from the process, so that tests and other programs can start them.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	Dir      string   // working directory, absolute
	Environ  []string // "KEY=value", later ones win
	Args0    string   // the name the program was started under
	Args     []string // the arguments after it
	Exe      string   // path of the program's own file; siblings are looked for next to it

	Now func() time.Time

	StdinTTY, StdoutTTY, StderrTTY bool
	Width                          int // columns of the terminal, 0 when there is none

	talk *say.Talker
}

// Process returns the environment of the running process.
func Process() *Env {
	dir, err := os.Getwd()
	if err != nil {
		dir = "." // the directory is gone; Git says so better than we could
	}
	exe, err := os.Executable()
	if err != nil {
		exe = ""
	}
	env := &Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		Dir: dir, Environ: os.Environ(),
		Args0: os.Args[0], Args: os.Args[1:], Exe: exe,
		Now:      time.Now,
		StdinTTY: isTTY(os.Stdin), StdoutTTY: isTTY(os.Stdout), StderrTTY: isTTY(os.Stderr),
	}
	for _, f := range []*os.File{os.Stderr, os.Stdout} {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			env.Width = w
			break
		}
	}
	return env
}

func isTTY(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Lookup returns the value of an environment variable and whether it is set.
func (e *Env) Lookup(key string) (string, bool) {
	for i := len(e.Environ) - 1; i >= 0; i-- {
		if k, v, ok := strings.Cut(e.Environ[i], "="); ok && k == key {
			return v, true
		}
	}
	return "", false
}

// Value returns the value of an environment variable, empty when it is not set.
func (e *Env) Value(key string) string {
	v, _ := e.Lookup(key)
	return v
}

// Read reads a file, or standard input for "-", but at most one byte more than most. It ends with ctx, too: nobody may be there who writes into
// a pipe, or types.
func (e *Env) Read(ctx context.Context, name string, most int64) ([]byte, error) {
	type read struct {
		b   []byte
		err error
	}
	done := make(chan read, 1)
	go func() {
		in := e.In
		if name != "-" {
			f, err := os.Open(e.Path(name))
			if err != nil {
				done <- read{err: err}
				return
			}
			defer func() { _ = f.Close() }()
			in = f
		}
		b, err := io.ReadAll(io.LimitReader(in, most+1))
		done <- read{b, err}
	}()
	select {
	case x := <-done:
		return x.b, x.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Path returns name as seen from the environment's directory.
func (e *Env) Path(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(e.Dir, name)
}

// Talk returns the talker on standard error.
func (e *Env) Talk() *say.Talker {
	if e.talk == nil {
		e.talk = say.New(e.Err, say.Options{
			Colour:   e.colour(e.StderrTTY),
			Progress: e.StderrTTY && e.Value("TERM") != "dumb",
			Width:    e.Width,
			Now:      e.Now,
		})
	}
	return e.talk
}

// Palette returns the colours for standard output.
func (e *Env) Palette() say.Palette { return say.Palette(e.colour(e.StdoutTTY)) }

// colour follows https://no-color.org: any value but the empty one turns it off.
func (e *Env) colour(tty bool) bool {
	return tty && e.Value("NO_COLOR") == "" && e.Value("TERM") != "dumb"
}

// Lines returns args, and for an argument "-" the lines of standard input in its
// place, without their line breaks ("\n" or "\r\n"); empty lines are left out.
// A line of more than 1 MiB is an error, and so is a "-" that brings none: what a pipe failed to
// name is not the same as nothing that was named.
func (e *Env) Lines(args []string) ([]string, error) {
	var out []string
	for _, a := range args {
		if a != "-" {
			out = append(out, a)
			continue
		}
		s := bufio.NewScanner(e.In)
		s.Buffer(nil, 1<<20)
		had := len(out)
		for s.Scan() {
			if l := s.Text(); l != "" {
				out = append(out, l)
			}
		}
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		if len(out) == had {
			return nil, Hint(errors.New("standard input named nothing"), "one name a line; without \"-\" the default is taken")
		}
	}
	return out, nil
}
