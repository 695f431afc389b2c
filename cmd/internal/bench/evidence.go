package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// evidence measures what it costs that a command that does nothing is recorded, in the work tree and in a checkout.
func (b *bench) evidence(files, history int) error {
	r, err := b.repo(files, history)
	if err != nil {
		return err
	}
	plain := func() error { _, err := b.out(r.dir, r.env, "true"); return err }
	for _, c := range []struct {
		what string
		args []string
		bar  time.Duration // 0: none
	}{{"in the work tree", nil, 40 * time.Millisecond}, {"in a checkout", []string{"--clean"}, 0}} {
		args := append(append([]string{"evidence", "run", "--name", "bench"}, c.args...), "--", "true")
		recorded := func() error { _, err := r.covenant(args...); return err }
		with, without, err := pair(15, recorded, plain)
		if err != nil {
			return err
		}
		kids, err := r.children(recorded)
		if err != nil {
			return err
		}
		var extra []time.Duration
		for i := range with {
			extra = append(extra, with[i]-without[i])
		}
		what, note := fmt.Sprintf("evidence run -- true minus true, %s, %d files", c.what, files), fmt.Sprintf(" (%d git children)", kids)
		if c.bar == 0 {
			row(what, ms(median(extra))+note, "-", true)
		} else if err := b.held(what, median(extra), note, c.bar); err != nil {
			return err
		}
	}
	out, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "evidence", "list", "--json")
	if err != nil {
		return err
	}
	if n := strings.Count(out, `"result":"passed"`); n != 34 {
		return fmt.Errorf("%d runs are recorded, of 34", n)
	}
	return r.handoff(files)
}
