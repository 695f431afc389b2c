package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// handoff compares what it takes to hand 20 changed files over, 5 of them new, with git stash -u.
func (r *repo) handoff(files int) error {
	list, err := r.b.out(r.dir, r.env, "git", "ls-files")
	if err != nil {
		return err
	}
	names := strings.Fields(list)
	if len(names) < 15 {
		return errors.New("the repository has too few files")
	}
	n := 0
	dirty := func() error {
		n++
		var errs []error
		for i := range 15 {
			errs = append(errs, os.WriteFile(filepath.Join(r.dir, names[i*len(names)/15]), fmt.Appendf(nil, "change %d of %d\n", n, i), 0o600))
		}
		for i := range 5 {
			errs = append(errs, os.WriteFile(filepath.Join(r.dir, fmt.Sprint("new", i)), fmt.Appendf(nil, "new %d of %d\n", n, i), 0o600))
		}
		return errors.Join(errs...)
	}
	clean := func() error {
		_, err := r.b.out(r.dir, r.env, "git", "reset", "-q", "--hard")
		if err == nil {
			_, err = r.b.out(r.dir, r.env, "git", "clean", "-fdq")
		}
		return err
	}
	var stashed, handed []time.Duration
	for i := range 8 {
		for _, one := range []struct {
			into *[]time.Duration
			run  func() error
		}{
			{&stashed, func() error { _, err := r.b.out(r.dir, r.env, "git", "stash", "-q", "-u"); return err }},
			{&handed, func() error { _, err := r.covenant("handoff", "create"); return err }},
		} {
			if err := dirty(); err != nil {
				return err
			}
			start := time.Now()
			if err := one.run(); err != nil {
				return err
			}
			if i > 0 { // the first is a warm-up
				*one.into = append(*one.into, time.Since(start))
			}
			if err := clean(); err != nil {
				return err
			}
		}
	}
	out, err := r.covenant("handoff", "list", "--json")
	if err != nil {
		return err
	}
	if got := strings.Count(out, "\n"); got != 8 {
		return fmt.Errorf("%d handoffs are recorded, of 8", got)
	}
	ratio := float64(median(handed)) / float64(median(stashed))
	row(fmt.Sprintf("handoff create / git stash -u, %d files, 20 changed", files), fmt.Sprintf("%.2f (%s / %s)", ratio, ms(median(handed)), ms(median(stashed))), "≤ 2 ×", ratio <= 2)
	return nil
}
