// Command bench measures the bars of docs/benchmarks.md: ratios to plain Git in
// one run, with child processes counted. It decides speed; no test does.
//
// usage: go run ./cmd/internal/bench [-quick] [-only commits|audit|evidence|intent|agents] BIN
//
// BIN is the folder with covenant and covenant-hook. The exit code is 1 when the
// ledgers show that no decision ran, or something that was measured was wrong; a
// missed bar is told, and is not an error: machines differ. So a bar in
// milliseconds that a few processes are held to is given at a pace: see [bench.pace].
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	quick := flag.Bool("quick", false, "small repositories only")
	only := flag.String("only", "", "of commits, and what verifies them: commits; of the log: audit; of runs against a tree: evidence; of work: intent; of agents' tools: agents; else everything")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: bench [-quick] [-only commits|audit|evidence|intent|agents] BIN")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *quick, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(bin string, quick bool, only string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "covenant-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b := &bench{bin: bin, dir: dir}
	if b.gitVersion, err = b.out(dir, nil, "git", "version"); err != nil {
		return err
	}
	if err := b.buildEmpty(); err != nil {
		return err
	}
	fmt.Printf("%s; medians; ratios within this run\n\n", strings.TrimSpace(b.gitVersion))
	steps := []func() error{b.startup, func() error { return b.commits(20, 100) }}
	if !quick {
		steps = append(steps, func() error { return b.commits(20, 10000) }, func() error { return b.commits(50000, 100) })
	}
	steps = append(steps, func() error { return b.authority(10) })
	if !quick {
		steps = append(steps, func() error { return b.authority(10_000) })
	}
	steps = append(steps, func() error { return b.verify(1000, 500*time.Millisecond) })
	if !quick {
		steps = append(steps, func() error { return b.verify(10000, 5*time.Second) })
	}
	steps = append(steps, func() error { return b.wide(1000, 5, time.Second) }, func() error { return b.wide(1000, 15, 1500*time.Millisecond) }, b.storage, b.writers)
	auditFrom := len(steps)
	steps = append(steps, func() error { return b.audit(1) }, func() error { return b.audit(10_000) })
	if !quick {
		steps = append(steps, func() error { return b.audit(100_000) })
	}
	steps = append(steps, b.auditStorage)
	evidenceFrom := len(steps)
	steps = append(steps, func() error { return b.evidence(20, 100) })
	if !quick {
		steps = append(steps, func() error { return b.evidence(50000, 100) })
	}
	intentFrom := len(steps)
	steps = append(steps, func() error { return b.work(100) })
	if !quick {
		steps = append(steps, func() error { return b.work(10_000) })
	}
	agentsFrom := len(steps)
	steps = append(steps, func() error { return b.agents(20, 0) })
	if !quick {
		steps = append(steps, func() error { return b.agents(50_000, 100_000) })
	}
	switch only {
	case "agents":
		steps = steps[agentsFrom:]
	case "commits":
		steps = steps[:auditFrom]
	case "audit":
		steps = steps[auditFrom:evidenceFrom]
	case "evidence":
		steps = steps[evidenceFrom:intentFrom]
	case "intent":
		steps = steps[intentFrom:agentsFrom]
	}
	for _, s := range steps {
		if err := s(); err != nil {
			return err
		}
	}
	return nil
}

type bench struct {
	bin, dir   string
	gitVersion string
	empty      string // a program that does nothing
	repos      int
}

// row prints one measured line against its bar.
func row(what, got, bar string, ok bool) {
	mark := "ok"
	if !ok {
		mark = "MISSED"
	}
	fmt.Printf("%-66s %-38s bar %-22s %s\n", what, got, bar, mark)
}

// paceOf is what an empty Go program took from start to end on the machine where the bars in milliseconds were set.
const paceOf = 1500 * time.Microsecond

// buildEmpty builds the program that tells the pace.
func (b *bench) buildEmpty() error {
	b.empty = filepath.Join(b.dir, "empty")
	source := b.empty + ".go"
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return err
	}
	_, err := b.out(b.dir, append(os.Environ(), "GO111MODULE=off", "CGO_ENABLED=0"), "go", "build", "-o", b.empty, source)
	return err
}

// pace is how much slower than that machine this one starts a program right now: at least 1, so that no bar becomes higher than it is.
func (b *bench) pace() (float64, error) {
	var took []time.Duration
	for range 25 {
		start := time.Now()
		if _, err := b.out(b.dir, nil, b.empty); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start))
	}
	return max(1, float64(median(took))/float64(paceOf)), nil
}

// held prints a time that a few processes took, of which note says more, against a bar at the machine's pace.
func (b *bench) held(what string, d time.Duration, note string, bar time.Duration) error {
	pace, err := b.pace()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("≤ %d ms", bar.Milliseconds())
	if pace > 1 {
		text += fmt.Sprintf(", at pace %.2f", pace)
	}
	row(what, ms(d)+note, text, float64(d) <= float64(bar)*pace)
	return nil
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// pair times two things in turn, n times each.
func pair(n int, a, b func() error) (ta, tb []time.Duration, err error) {
	for i := range n + 1 {
		for j, f := range []func() error{a, b} {
			start := time.Now()
			if err := f(); err != nil {
				return nil, nil, err
			}
			if d := time.Since(start); i > 0 { // the first is a warm-up
				if j == 0 {
					ta = append(ta, d)
				} else {
					tb = append(tb, d)
				}
			}
		}
	}
	return ta, tb, nil
}

func (b *bench) startup() error {
	for _, p := range []struct {
		name string
		args []string
		bar  float64
	}{{"covenant", []string{"version"}, 4}, {"covenant-hook", []string{"version"}, 2}} {
		ta, tb, err := pair(40,
			func() error { _, err := b.out(b.dir, nil, filepath.Join(b.bin, p.name), p.args...); return err },
			func() error { _, err := b.out(b.dir, nil, "git", "--version"); return err })
		if err != nil {
			return err
		}
		r := float64(median(ta)) / float64(median(tb))
		row(p.name+" doing nothing / git --version", fmt.Sprintf("%.2f (%s / %s)", r, ms(median(ta)), ms(median(tb))), fmt.Sprintf("≤ %.0f ×", p.bar), r <= p.bar)
	}
	return nil
}

// commits compares a governed commit with a plain one on a repository of that many files and commits.
func (b *bench) commits(files, history int) error {
	r, err := b.repo(files, history)
	if err != nil {
		return err
	}
	return r.governed(fmt.Sprintf("%d files, %d commits", files, history), 45*time.Millisecond)
}

// governed measures what governance adds to a commit. It fails when the ledger shows that no
// decision ran, or one that no subprocess made.
func (r *repo) governed(what string, bar time.Duration) error {
	before, err := r.decisions()
	if err != nil {
		return err
	}
	commit := func(hooks bool) func() error {
		return func() error {
			r.made++
			return r.commit(r.made, hooks)
		}
	}
	const runs = 15
	governed, plain, err := pair(runs, commit(true), commit(false))
	if err != nil {
		return err
	}
	after, err := r.decisions()
	if err != nil {
		return err
	}
	if after-before != runs+1 {
		return fmt.Errorf("the ledger shows %d decisions for %d governed commits", after-before, runs+1)
	}
	kg, err := r.children(commit(true))
	if err != nil {
		return err
	}
	kp, err := r.children(commit(false))
	if err != nil {
		return err
	}
	var extra []time.Duration
	for i := range governed {
		extra = append(extra, governed[i]-plain[i])
	}
	e := median(extra)
	return r.b.held("governed minus plain commit, "+what, e, fmt.Sprintf(" (%.2f ×, %d git children)", float64(median(governed))/float64(median(plain)), kg-kp), bar)
}

// authority measures an agent that commits and asks under as many grants, cold and through the resident host.
func (b *bench) authority(grants int) error {
	r, err := b.repo(20, 100)
	if err != nil {
		return err
	}
	if err := r.grants(grants); err != nil {
		return err
	}
	r.env = append(r.env, "COVENANT_IDENTITY=coder")
	what := fmt.Sprintf("an agent, %d grants", grants)
	if err := r.governed(what, 45*time.Millisecond); err != nil {
		return err
	}
	check := func(warm bool) (time.Duration, error) {
		var took []time.Duration
		for range 12 {
			if !warm {
				if err := os.RemoveAll(filepath.Join(r.dir, ".git", "covenant", "cache")); err != nil {
					return 0, err
				}
			}
			start := time.Now()
			if _, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "capability", "check", "-q", "--action", "repo.commit", "--path", fileName(0), "--ref", "refs/heads/main"); err != nil {
				return 0, err
			}
			took = append(took, time.Since(start))
		}
		return median(took[1:]), nil
	}
	for _, c := range []struct {
		name string
		warm bool
		bar  time.Duration
	}{{"warm", true, 10 * time.Millisecond}, {"cold", false, 25 * time.Millisecond}} {
		if !c.warm && grants > 100 {
			continue // cold is reading them all
		}
		d, err := check(c.warm)
		if err != nil {
			return err
		}
		if err := b.held(fmt.Sprintf("capability check, %s, %d grants", c.name, grants), d, "", c.bar); err != nil {
			return err
		}
	}
	if grants > 100 {
		return nil
	}
	if _, err := b.out(r.dir, r.env, "git", "config", "covenant.host", "true"); err != nil {
		return err
	}
	return r.governed(what+", resident host", 30*time.Millisecond)
}

func (b *bench) verify(history int, bar time.Duration) error {
	r, err := b.repo(20, history)
	if err != nil {
		return err
	}
	var cold, again []time.Duration
	var rss int64
	for range 5 {
		start := time.Now()
		kb, err := b.rss(r.dir, r.env, filepath.Join(b.bin, "covenant"), "verify", "--no-cache", "--json", "main")
		if err != nil {
			return err
		}
		cold, rss = append(cold, time.Since(start)), max(rss, kb)
	}
	for i := range 12 {
		start := time.Now()
		if _, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "verify", "-q", "main"); err != nil {
			return err
		}
		if i > 1 {
			again = append(again, time.Since(start))
		}
	}
	kids, err := r.children(func() error {
		_, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "verify", "--no-cache", "-q", "main")
		return err
	})
	if err != nil {
		return err
	}
	start := time.Now()
	if _, err := b.out(r.dir, r.env, "git", "log", "--raw", "--no-renames", "--format=%H", "main"); err != nil {
		return err
	}
	plain := time.Since(start)
	row(fmt.Sprintf("verify, %d sealed commits, cold", history),
		fmt.Sprintf("%s (%.1f × git log --raw, %d MiB)", ms(median(cold)), float64(median(cold))/float64(plain), rss/1024), "≤ "+bar.String(), median(cold) <= bar && rss <= 200*1024)
	row(fmt.Sprintf("verify, %d sealed commits, git children", history), fmt.Sprint(kids), "≤ 4", kids <= 4)
	if history > 1000 {
		return r.looks(history, 300*time.Millisecond)
	}
	if err := b.held(fmt.Sprintf("verify, %d sealed commits, nothing new", history), median(again), "", 25*time.Millisecond); err != nil {
		return err
	}
	return r.looks(history, 60*time.Millisecond)
}

// wide is a range of commits that change several files each, as a pull request; and, of the first of these, who made its lines.
func (b *bench) wide(n, files int, bar time.Duration) error {
	r, err := b.repo(100, 1)
	if err != nil {
		return err
	}
	base, err := b.out(r.dir, r.env, "git", "rev-parse", "main")
	if err != nil {
		return err
	}
	if err := r.fastImport(func(w *strings.Builder) { writeWide(w, strings.TrimSpace(base), n, files) }); err != nil {
		return err
	}
	if err := r.seal(); err != nil {
		return err
	}
	for _, args := range [][]string{{"reset", "-q", "--hard"}, {"repack", "-q", "-adf"}, {"pack-refs", "--all"}, {"prune-packed"}} {
		if _, err := b.out(r.dir, r.env, "git", args...); err != nil {
			return err
		}
	}
	var cold []time.Duration
	for range 5 {
		start := time.Now()
		if _, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "verify", "--no-cache", "--json", strings.TrimSpace(base)+"..main"); err != nil {
			return err
		}
		cold = append(cold, time.Since(start))
	}
	row(fmt.Sprintf("verify, a range of %d commits of %d files each, cold", n, files), ms(median(cold)), "≤ "+bar.String(), median(cold) <= bar)
	plain, ours, err := pair(9, func() error {
		_, err := b.out(r.dir, r.env, "git", "blame", fileName(0))
		return err
	}, func() error {
		_, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "blame", fileName(0))
		return err
	})
	if err != nil {
		return err
	}
	ratio := float64(median(ours)) / float64(median(plain))
	row(fmt.Sprintf("covenant blame / git blame, %d commits", n), fmt.Sprintf("%.2f (%s / %s)", ratio, ms(median(ours)), ms(median(plain))), "≤ 2 ×", ratio <= 2)
	return nil
}

// storage is what a sealed commit with five changed files adds, packed.
func (b *bench) storage() error {
	r, err := b.repo(20, 10)
	if err != nil {
		return err
	}
	const n = 300
	for i := range n {
		if err := r.commitFive(i); err != nil {
			return err
		}
	}
	if _, err := b.out(r.dir, r.env, "git", "gc", "-q", "--prune=now"); err != nil {
		return err
	}
	out, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "stats", "--storage")
	if err != nil {
		return err
	}
	var bytes int
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(line, "bytes"); ok {
			_, _ = fmt.Sscan(rest, &bytes)
		}
	}
	per := bytes / (n + 10)
	row("a sealed commit with 5 changed files, packed", fmt.Sprintf("%d bytes", per), "≤ 4096 bytes", per > 0 && per <= 4096)
	return nil
}
