package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// maxPiped is how long a payload may be that waits in a pipe until the other process reads it.
const maxPiped = 4 << 10

// afterwards has the rest of a stop done by another process, which outlives this one and whatever started it, and writes to nobody.
func afterwards(exe, name string, moment agent.Moment, payload []byte, answered time.Time) error {
	in, err := handed(payload)
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := exec.Command(exe, name, string(moment), strconv.FormatInt(answered.UnixMilli(), 10)) //nolint:gosec // ourselves
	cmd.Stdin, cmd.SysProcAttr = in, apart()
	return cmd.Start()
}

// handed is a payload for a process that reads it when this one is gone.
func handed(payload []byte) (*os.File, error) {
	if len(payload) > maxPiped {
		return unlinked(payload)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = w.Write(payload)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// restOf reads when a stop was answered whose rest is to be done, from the arguments that afterwards gives.
func restOf(args []string) (answered time.Time, ok bool) {
	if len(args) != 4 || agent.Moment(args[2]) != agent.Stop && agent.Moment(args[2]) != agent.SessionEnd {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(args[3], 10, 64)
	return time.UnixMilli(n), err == nil && n > 0
}
