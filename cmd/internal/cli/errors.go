package cli

import (
	"errors"
	"fmt"
)

// The exit codes that have a name; the package comment explains them.
const (
	ExitYes      = 0
	ExitNo       = 1
	ExitNoAnswer = 2
	ExitOwn      = 125 // a command that runs another one failed itself
)

// A hinted error carries what to do next.
type hinted struct {
	error
	lines []string
}

func (h hinted) Unwrap() error { return h.error }

// Hint returns err with lines that say what to type next. A nil err stays nil.
// Hints of wrapped errors are kept; the outer ones are told first.
func Hint(err error, lines ...string) error {
	if err == nil {
		return nil
	}
	return hinted{err, lines}
}

// Hints returns the hints that err and the errors it wraps carry, outer ones
// first.
func Hints(err error) []string {
	var lines []string
	for err != nil {
		switch e := err.(type) { //nolint:errorlint // this is the walk over the chain itself
		case hinted:
			lines, err = append(lines, e.lines...), e.error
		case interface{ Unwrap() []error }:
			for _, sub := range e.Unwrap() {
				lines = append(lines, Hints(sub)...)
			}
			return lines
		default:
			err = errors.Unwrap(err)
		}
	}
	return lines
}

// A coded error ends the program with a status of its own.
type coded struct {
	err    error // nil: everything was said already
	code   int
	passed bool // it is another program's, and stays whatever signal came
}

func (c coded) Error() string {
	if c.err == nil {
		return fmt.Sprintf("exit status %d", c.code)
	}
	return c.err.Error()
}

func (c coded) Unwrap() error { return c.err }

// No returns err as the answer "no", exit code 1. With a nil err nothing more is
// told: the command printed its findings already.
func No(err error) error { return coded{err: err, code: ExitNo} }

// Code returns err with an exit code. With a nil err nothing is told, which
// passes on the status of another program; code 0 then is success.
func Code(code int, err error) error {
	if err == nil && code == 0 {
		return nil
	}
	return coded{err: err, code: code}
}

// Status passes on the status of a program that was run: nothing is told, and it stays what it is also where a signal came
// while that ran, which then was passed on as well.
func Status(code int) error {
	if code == 0 {
		return nil
	}
	return coded{code: code, passed: true}
}

func isStatus(err error) bool {
	var c coded
	return errors.As(err, &c) && c.passed
}

// A usageError is a wrong way to call a command.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// Usage returns an error that says how a command was called wrongly: exit code 2,
// with a hint at the command's help.
func Usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// ExitCode returns the exit code that err stands for; nil is 0.
func ExitCode(err error) int {
	var c coded
	switch {
	case err == nil:
		return ExitYes
	case errors.As(err, &c):
		return c.code
	}
	return ExitNoAnswer
}
