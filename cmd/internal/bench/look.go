package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// looks measures commands that tell of a few commits, each after one commit more than the last time: what is remembered of the
// whole is of no use then.
func (r *repo) looks(history int, bar time.Duration) error {
	n := 0
	grow := func() error {
		n++
		if err := os.WriteFile(filepath.Join(r.dir, fileName(0)), fmt.Appendf(nil, "look %d\n", n), 0o600); err != nil {
			return err
		}
		if _, err := r.b.out(r.dir, r.env, "git", "commit", "-q", "-a", "-m", fmt.Sprint("look ", n)); err != nil {
			return err
		}
		_, err := r.covenant("provenance", "seal", "HEAD")
		return err
	}
	for _, args := range [][]string{{"log", "-3"}, {"show", "HEAD"}, {"review", "list"}, {"identity", "list"}, {"review", "comment", "--ref", "main", "HEAD~1..HEAD"}} {
		var took []time.Duration
		for i := range 6 {
			if err := grow(); err != nil {
				return err
			}
			start := time.Now()
			if _, err := r.covenant(args...); err != nil {
				return err
			}
			if i > 0 { // the first reads all
				took = append(took, time.Since(start))
			}
		}
		name := strings.Join(args[:min(2, len(args))], " ")
		if err := r.b.held(fmt.Sprintf("%s after one commit more, %d sealed commits", name, history), median(took), "", bar); err != nil {
			return err
		}
	}
	return r.pushes(history, max(bar, 100*time.Millisecond)) // Git is started twice: the record is pushed alone
}

// pushes measures what our hook adds to a push of one commit; the record goes with it.
func (r *repo) pushes(history int, bar time.Duration) error {
	bare := r.dir + "-remote.git"
	for _, args := range [][]string{{"clone", "-q", "--bare", r.dir, bare}, {"remote", "add", "there", bare}, {"config", "covenant.there.publish", "true"}} {
		if _, err := r.b.out(r.dir, r.env, "git", args...); err != nil {
			return err
		}
	}
	n := 0
	push := func(args ...string) func() error {
		return func() error {
			_, err := r.b.out(r.dir, r.env, "git", append([]string{"push", "-q", "there"}, args...)...)
			return err
		}
	}
	var plain, ours []time.Duration
	for i := range 6 {
		for _, one := range []struct {
			into *[]time.Duration
			push func() error
		}{{&plain, push("--no-verify", "HEAD:refs/heads/plain")}, {&ours, push("HEAD:refs/heads/main")}} {
			n++
			if _, err := r.b.out(r.dir, r.env, "git", "commit", "-q", "--allow-empty", "-m", fmt.Sprint("push ", n)); err != nil {
				return err
			}
			start := time.Now()
			if err := one.push(); err != nil {
				return err
			}
			if i > 0 {
				*one.into = append(*one.into, time.Since(start))
			}
		}
	}
	what := fmt.Sprintf("governed minus plain push of a commit, %d sealed commits", history)
	return r.b.held(what, median(ours)-median(plain), fmt.Sprintf(" (%.2f ×)", float64(median(ours))/float64(median(plain))), bar)
}
