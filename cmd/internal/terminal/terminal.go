// Package terminal asks people on the terminal that started us, wherever the
// standard streams go.
package terminal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// ErrNone says that there is no terminal to ask on. It wraps identity.ErrPassphrase, which it is where one was to be asked for.
var ErrNone error = none{}

type none struct{}

func (none) Error() string { return "there is no terminal to ask on" }

func (none) Unwrap() error { return identity.ErrPassphrase }

// An InterruptedError says that a signal came while somebody was asked.
type InterruptedError struct{ Signal os.Signal }

func (e *InterruptedError) Error() string { return "interrupted while somebody was asked" }

// Interrupted returns the signal.
func (e *InterruptedError) Interrupted() os.Signal { return e.Signal }

// waited returns what somebody types who read asks, or ends with the first signal: a reader that waits for a person hears of none.
func waited[T any](read func() (T, error)) (out T, err error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	type typed struct {
		out T
		err error
	}
	done := make(chan typed, 1)
	go func() {
		out, err := read()
		done <- typed{out, err}
	}()
	select {
	case x := <-done:
		return x.out, x.err
	case s := <-signals:
		return out, &InterruptedError{s}
	}
}

func open() (*os.File, error) {
	name := "/dev/tty"
	if runtime.GOOS == "windows" {
		name = "CONIN$"
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, ErrNone
	}
	return f, nil
}

// Attended reports whether a terminal is there.
func Attended() bool {
	f, err := open()
	if err != nil {
		return false
	}
	return f.Close() == nil
}

// Passphrase asks for the passphrase of a key, without echo.
func Passphrase(what string) ([]byte, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fd := int(f.Fd())
	as, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	b, err := waited(func() ([]byte, error) {
		if _, err := fmt.Fprintf(f, "Passphrase for %s: ", what); err != nil {
			return nil, err
		}
		return term.ReadPassword(fd)
	})
	if by := (*InterruptedError)(nil); errors.As(err, &by) {
		_ = term.Restore(fd, as) // it shows what is typed again
	}
	_, _ = fmt.Fprintln(f)
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	return b, nil
}

// Confirm asks a question and reports whether the answer is yes; anything else is no.
// Without a terminal the error is ErrNone.
func Confirm(question string) (bool, error) {
	answer, err := Ask(question + " [y/N]")
	answer = strings.ToLower(answer)
	return answer == "y" || answer == "yes", err
}

// Choose asks until the answer is one of the letters, or begins with one; none is the answer of who says nothing.
func Choose(question, letters string, none rune) (rune, error) {
	for range 8 {
		answer, err := Ask(question)
		if err != nil || answer == "" {
			return none, err
		}
		if first := []rune(strings.ToLower(answer))[0]; strings.ContainsRune(letters, first) {
			return first, nil
		}
	}
	return none, nil
}

// Ask asks a question, and returns a line of at most 4 KiB. Without a terminal the error is ErrNone.
func Ask(question string) (string, error) {
	f, err := open()
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	line, err := waited(func() (string, error) {
		if _, err := fmt.Fprintf(f, "%s ", question); err != nil {
			return "", err
		}
		return bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// ConfigDir returns the user's configuration directory of this program.
func ConfigDir(lookup func(string) (string, bool)) string {
	if d, ok := lookup("COVENANT_CONFIG_HOME"); ok && d != "" {
		return d
	}
	if d, ok := lookup("XDG_CONFIG_HOME"); ok && filepath.IsAbs(d) {
		return filepath.Join(d, "covenant")
	}
	if runtime.GOOS == "windows" {
		if d, ok := lookup("AppData"); ok && d != "" {
			return filepath.Join(d, "covenant")
		}
	}
	home, _ := lookup("HOME")
	if home == "" {
		home, _ = lookup("USERPROFILE")
	}
	return filepath.Join(home, ".config", "covenant")
}
