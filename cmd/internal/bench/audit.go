package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// events writes a file of n events as tools send them.
func (r *repo) events(n int) (string, error) {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"kind":"tool_call_completed","tool":"grep","outcome":"ok","duration_ms":%d,"arguments_sha256":"%x","session":"s%d"}`+"\n", i%997, sha256.Sum256(fmt.Append(nil, i)), i/100)
	}
	file := filepath.Join(filepath.Dir(r.dir), fmt.Sprintf("events-%d.jsonl", n))
	return file, os.WriteFile(file, []byte(b.String()), 0o600)
}

// record appends n events, each as an entry, or all as segments.
func (r *repo) record(n int, args ...string) error {
	file, err := r.events(n)
	if err != nil {
		return err
	}
	_, err = r.b.out(r.dir, r.env, "sh", append([]string{"-c", `f=$1; shift; exec "$0" audit append "$@" <"$f" >/dev/null`, filepath.Join(r.b.bin, "covenant"), file}, args...)...)
	return err
}

func (r *repo) covenant(args ...string) (string, error) {
	return r.b.out(r.dir, r.env, filepath.Join(r.b.bin, "covenant"), args...)
}

// audit measures the log of a repository with that many entries.
func (b *bench) audit(entries int) error {
	r, err := b.repo(20, 10)
	if err != nil {
		return err
	}
	if entries > 1 {
		if err := r.record(entries); err != nil {
			return err
		}
	}
	i := 0
	one, plain, err := pair(20,
		func() error { _, err := r.covenant("audit", "append", "-m", "one more"); return err },
		func() error {
			i++
			if _, err := b.out(r.dir, r.env, "git", "update-ref", fmt.Sprintf("refs/bench/%d", i), "HEAD"); err != nil {
				return err
			}
			_, err := r.covenant("version")
			return err
		})
	if err != nil {
		return err
	}
	ratio := float64(median(one)) / float64(median(plain))
	row(fmt.Sprintf("audit append of one event, %d entries", entries), fmt.Sprintf("%.2f × update-ref and a start (%s)", ratio, ms(median(one))), "≤ 2 ×", ratio <= 2)
	if entries < 1000 {
		return nil
	}
	start := time.Now()
	if _, err := r.covenant("audit", "checkpoint"); err != nil {
		return err
	}
	first := time.Since(start)
	var cold, again, proof, next []time.Duration
	for range 3 {
		start := time.Now()
		if _, err := r.covenant("audit", "verify", "--no-cache"); err != nil {
			return err
		}
		cold = append(cold, time.Since(start))
	}
	out, err := r.covenant("audit", "log", "--json", "-n", "50", "--kind", "note")
	if err != nil {
		return err
	}
	_, id, _ := strings.Cut(out, `"id":"`)
	id, _, _ = strings.Cut(id, `"`)
	for i := range 12 {
		for _, m := range []struct {
			into *[]time.Duration
			args []string
		}{{&again, []string{"audit", "verify"}}, {&proof, []string{"audit", "prove", id}}} {
			start := time.Now()
			if _, err := r.covenant(m.args...); err != nil {
				return err
			}
			if i > 1 {
				*m.into = append(*m.into, time.Since(start))
			}
		}
	}
	for range 5 {
		if _, err := r.covenant("audit", "append", "-m", "before the next"); err != nil {
			return err
		}
		start := time.Now()
		if _, err := r.covenant("audit", "checkpoint"); err != nil {
			return err
		}
		next = append(next, time.Since(start))
	}
	bar := 10 * time.Second * time.Duration(entries) / 100_000
	row(fmt.Sprintf("audit verify, %d entries, cold", entries), ms(median(cold)), "≤ "+bar.String(), median(cold) <= bar)
	if err := b.held(fmt.Sprintf("audit verify, %d entries, nothing new", entries), median(again), "", 25*time.Millisecond); err != nil {
		return err
	}
	if err := b.held(fmt.Sprintf("audit prove, %d entries", entries), median(proof), "", 50*time.Millisecond); err != nil {
		return err
	}
	row(fmt.Sprintf("audit checkpoint, %d entries: the first, the next", entries), ms(first)+", "+ms(median(next)), "-", true)
	return nil
}

// auditStorage measures what an entry, made by an act of its own, and an event of a segment take when packed.
func (b *bench) auditStorage() error {
	r, err := b.repo(20, 10)
	if err != nil {
		return err
	}
	measure := func(what string, n, bar int, record func() error) error {
		before, err := r.packed()
		if err != nil {
			return err
		}
		if err := record(); err != nil {
			return err
		}
		after, err := r.packed()
		if err != nil {
			return err
		}
		per := (after - before) / n
		row(what, fmt.Sprintf("%d bytes", per), fmt.Sprintf("≤ %d bytes", bar), per <= bar)
		return nil
	}
	const n = 300
	err = measure("an audit entry, packed", n, 600, func() error {
		for i := range n {
			line := fmt.Sprintf(`{"kind":"tool_call_completed","tool":"grep","outcome":"ok","duration_ms":%d,"arguments_sha256":"%x","session":"s%d"}`, i, sha256.Sum256(fmt.Append(nil, "x", i)), i/100)
			if _, err := b.out(r.dir, r.env, "sh", "-c", `printf '%s\n' "$1" | "$0" audit append`, filepath.Join(b.bin, "covenant"), line); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return measure("an event of a segment, packed", 5000, 250, func() error { return r.record(5000, "--segment") })
}

// packed returns the bytes of the repository's packs.
func (r *repo) packed() (int, error) {
	if _, err := r.b.out(r.dir, r.env, "git", "gc", "-q", "--prune=now"); err != nil {
		return 0, err
	}
	out, err := r.b.out(r.dir, r.env, "git", "cat-file", "--batch-all-objects", "--batch-check=%(objectsize:disk)")
	sum := 0
	for line := range strings.Lines(out) {
		var n int
		if _, err := fmt.Sscan(line, &n); err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, err
}
