package sync

import (
	"errors"
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/git"
)

// A saidError is an error of git without the command line, which names every ref that is sent.
type saidError struct {
	error
	text string
}

func (e saidError) Error() string { return e.text }
func (e saidError) Unwrap() error { return e.error }

// Said returns err with git's own words in the place of the command line that failed. It wraps err.
func Said(err error) error {
	var failed *git.CommandError
	if !errors.As(err, &failed) {
		return err
	}
	var lines []string
	for line := range strings.Lines(failed.Stderr) {
		if line = strings.TrimPrefix(strings.TrimSpace(line), "fatal: "); line != "" {
			lines = append(lines, line)
		}
	}
	words := strings.Join(lines, "; ")
	if words == "" {
		words = fmt.Sprintf("exit status %d", failed.Code)
	}
	return saidError{err, strings.Replace(err.Error(), failed.Error(), "git: "+words, 1)}
}
