package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/install"
)

// out runs a program and returns what it wrote.
func (b *bench) out(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...) //nolint:gosec // our own programs and git
	cmd.Dir, cmd.Env = dir, env
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 2 && strings.HasSuffix(name, "covenant-hook") {
		err = nil // started without a repository it has no answer; starting is what is measured
	}
	if err != nil {
		return "", fmt.Errorf("%s %q: %w\n%s", filepath.Base(name), args, err, errs.String())
	}
	return string(out), nil
}

// rss runs a program and returns its peak memory in KiB.
func (b *bench) rss(dir string, env []string, name string, args ...string) (int64, error) {
	cmd := exec.Command(name, args...) //nolint:gosec // our own program
	cmd.Dir, cmd.Env = dir, env
	if err := cmd.Run(); err != nil {
		return 0, err
	}
	return peak(cmd.ProcessState), nil
}

// repo is a governed repository of the bench.
type repo struct {
	b    *bench
	dir  string
	env  []string
	made int // commits made by governed
}

// repo makes a repository: files, then a sealed history with merges, renames, deletions and modes.
func (b *bench) repo(files, history int) (*repo, error) {
	b.repos++
	base := filepath.Join(b.dir, fmt.Sprintf("r%d", b.repos))
	home := filepath.Join(base, "home")
	r := &repo{b: b, dir: filepath.Join(base, "repo")}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	r.env = []string{
		"PATH=" + b.bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=" + home, "XDG_CONFIG_HOME=" + home, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com",
	}
	if _, err := b.out(b.dir, r.env, "git", "init", "-q", "-b", "main", r.dir); err != nil {
		return nil, err
	}
	for _, kv := range [][2]string{{"user.name", "Ada"}, {"user.email", "ada@example.com"}, {"gc.auto", "0"}} {
		if _, err := b.out(r.dir, r.env, "git", "config", kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	if err := r.fastImport(func(w *strings.Builder) {
		fmt.Fprintf(w, "commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 4\nbase\n", 1767225600)
		for i := range files {
			body := fmt.Sprintf("file %d\n%s", i, strings.Repeat("a line of text\n", 20))
			fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", fileName(i), len(body), body)
		}
	}); err != nil {
		return nil, err
	}
	if _, err := b.out(r.dir, r.env, "git", "reset", "-q", "--hard"); err != nil {
		return nil, err
	}
	if _, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "init", "--operator", "ada"); err != nil {
		return nil, err
	}
	if err := r.fastImport(func(w *strings.Builder) { writeHistory(w, files, history) }); err != nil {
		return nil, err
	}
	if err := r.seal(); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"reset", "-q", "--hard"}, {"repack", "-q", "-adf"}, {"pack-refs", "--all"}, {"prune-packed"}, {"update-index", "-q", "--refresh"}} {
		if _, err := b.out(r.dir, r.env, "git", args...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func fileName(i int) string { return fmt.Sprintf("d%03d/f%05d.txt", i%997, i) }

// writeHistory streams commits: most change a file, every 10th a side branch is
// merged, and now and then one is renamed, deleted or made executable.
func writeHistory(w *strings.Builder, files, history int) {
	when := 1767225601
	head := func(ref string, n int) {
		when++
		fmt.Fprintf(w, "commit %s\nmark :%d\ncommitter Ada <ada@example.com> %d +0000\ndata %d\nc%07d\n", ref, n, when, 8, n)
	}
	change := func(n int) {
		body := fmt.Sprintf("changed %d\n%s", n, strings.Repeat("a line of text\n", 20))
		fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", fileName(n%files), len(body), body)
	}
	from := "refs/heads/main^0"
	for n := 1; n <= history; n++ {
		side := n%10 == 9 && n < history
		if side { // a side branch of one commit, merged by the next
			head("refs/heads/side", n)
			fmt.Fprintf(w, "from %s\n", from)
			fmt.Fprintf(w, "M 100644 inline side/s%d.txt\ndata 2\ns\n\n", n)
			n++
			head("refs/heads/main", n)
			fmt.Fprintf(w, "from %s\nmerge :%d\nM 100644 inline side/s%d.txt\ndata 2\ns\n\n", from, n-1, n-1)
			from = fmt.Sprintf(":%d", n)
			continue
		}
		head("refs/heads/main", n)
		fmt.Fprintf(w, "from %s\n", from)
		change(n)
		switch n % 25 {
		case 3:
			fmt.Fprintf(w, "M 100644 inline moved/a%d.txt\ndata 2\nm\n\n", n)
		case 4:
			fmt.Fprintf(w, "R moved/a%d.txt moved/b%d.txt\n", n-1, n-1)
		case 5:
			fmt.Fprintf(w, "D moved/b%d.txt\n", n-2)
		case 6:
			fmt.Fprintf(w, "M 100755 inline run.sh\ndata 2\nx\n\n")
		case 7:
			fmt.Fprintf(w, "M 100644 inline run.sh\ndata 2\nx\n\n")
		}
		from = fmt.Sprintf(":%d", n)
	}
}

// writeWide streams commits on top of one, each of which changes a line in several files of 200.
func writeWide(w *strings.Builder, base string, n, files int) {
	const lines = 200
	from := base
	for i := 1; i <= n; i++ {
		fmt.Fprintf(w, "commit refs/heads/main\nmark :%d\ncommitter Ada <ada@example.com> %d +0000\ndata 1\nw\nfrom %s\n", i, 1767225700+i, from)
		var body strings.Builder
		for k := range lines {
			last := i - (i-k+lines)%lines // the newest that changed it
			fmt.Fprintf(&body, "line %d, changed by %d\n", k, max(last, 0))
		}
		for j := range files {
			name := (i*7 + j) % 100
			if j == 0 {
				name = 0
			}
			fmt.Fprintf(w, "M 100644 inline %s\ndata %d\n%s\n", fileName(name), body.Len(), body.String())
		}
		from = fmt.Sprintf(":%d", i)
	}
}

func (r *repo) fastImport(write func(*strings.Builder)) error {
	var w strings.Builder
	write(&w)
	cmd := exec.Command("git", "fast-import", "--quiet", "--force")
	cmd.Dir, cmd.Env, cmd.Stdin = r.dir, r.env, strings.NewReader(w.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git fast-import: %w\n%s", err, out)
	}
	return nil
}

// seal seals the whole history as its hooks would have, with the library.
func (r *repo) seal() error {
	ctx := context.Background()
	repo, err := git.Open(ctx, git.Options{Dir: r.dir, Env: r.env})
	if err != nil {
		return err
	}
	s := repo.Session(ctx)
	defer func() { _ = s.Close() }()
	pin, err := provenance.Pin(s, "")
	if err != nil {
		return err
	}
	root, err := provenance.OpenRoot(s, pin)
	if err != nil {
		return err
	}
	a := capability.Fold(provenance.Persons(root), nil, nil)
	hand, err := provenance.ChooseHand(repo, a, provenance.Choice{ConfigDir: filepath.Join(filepath.Dir(r.dir), "home", "covenant"), Attended: true})
	if err != nil {
		return err
	}
	k := &provenance.Sealer{Session: s, Root: root, Authority: a, Hand: hand, Now: time.Now}
	commits, err := provenance.Commits(s, string(root.Governed[0].Commit.String())+"..main")
	if err != nil {
		return err
	}
	for len(commits) > 0 {
		n := min(256, len(commits))
		if _, err := k.Seal(ctx, prov.Witness, "refs/heads/main", commits[:n]); err != nil {
			return err
		}
		commits = commits[n:]
	}
	return nil
}

// grants introduces an agent, coder, and gives it and others that many grants in all.
func (r *repo) grants(n int) error {
	for _, name := range []string{"coder", "other"} {
		if _, err := r.b.out(r.dir, r.env, filepath.Join(r.b.bin, "covenant"), "identity", "new", name, "--kind", "agent"); err != nil {
			return err
		}
	}
	ctx := context.Background()
	repo, err := git.Open(ctx, git.Options{Dir: r.dir, Env: r.env})
	if err != nil {
		return err
	}
	s := repo.Session(ctx)
	defer func() { _ = s.Close() }()
	pin, err := provenance.Pin(s, "")
	if err != nil {
		return err
	}
	f, err := provenance.LoadAuthority(ctx, s, pin)
	if err != nil {
		return err
	}
	hand, err := provenance.ChooseHand(repo, f.Authority, provenance.Choice{ConfigDir: filepath.Join(filepath.Dir(r.dir), "home", "covenant"), Attended: true})
	if err != nil {
		return err
	}
	k := &provenance.Sealer{Session: s, Root: f.Root, Authority: f.Authority, Hand: hand, Moment: "bench", Now: time.Now}
	var items []provenance.Item
	for i := range n {
		name := "other"
		if i == n/2 {
			name = "coder"
		}
		p, _ := f.Authority.ByName(name)
		items = append(items, provenance.Item{Type: capability.Granted, Subject: "capability.granted", Body: capability.Grant{
			Action: capability.Commit, Scope: capability.Scope{Version: 1, Paths: []string{"**"}}, Serial: fmt.Sprintf("%032x", i),
			Subject: capability.Subject{Accountable: "ada", Emails: p.Emails, Key: p.Keys[0].String(), Kind: p.Kind, Name: name},
		}})
	}
	_, err = k.Record(ctx, provenance.CapabilityTopic, items...)
	return err
}

func (r *repo) commit(n int, hooks bool) error {
	f, err := os.OpenFile(filepath.Join(r.dir, fileName(0)), os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // our own repository
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, "line", n)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	args := []string{"commit", "-q", "-a", "-m", fmt.Sprint("commit ", n)}
	if !hooks {
		args = append([]string{"-c", "core.hooksPath=" + os.DevNull}, args...)
		for _, m := range install.Moments { // those of the configuration, in Git 2.54 and later
			args = append([]string{"-c", "hook.covenant-" + m + ".enabled=false"}, args...)
		}
	}
	_, err = r.b.out(r.dir, r.env, "git", args...)
	return err
}

func (r *repo) commitFive(n int) error {
	for i := range 5 {
		f, err := os.OpenFile(filepath.Join(r.dir, fileName((n*7+i*3)%20)), os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // our own repository
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(f, "line", n, i)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	_, err := r.b.out(r.dir, r.env, "git", "commit", "-q", "-a", "-m", fmt.Sprint("five ", n))
	return err
}

// decisions counts the decisions that the ledgers show.
func (r *repo) decisions() (int, error) {
	out, err := r.b.out(r.dir, r.env, "git", "log", "--format=%s", "--glob=refs/covenant/ledger/*")
	return strings.Count(out, "gate.decided allow"), err
}

// children counts the git processes that ran during f, by Git's own tracing.
func (r *repo) children(f func() error) (int, error) {
	dir, err := os.MkdirTemp(r.b.dir, "trace-")
	if err != nil {
		return 0, err
	}
	env := r.env
	r.env = append(append([]string{}, env...), "GIT_TRACE2_EVENT="+dir)
	err = f()
	r.env = env
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(dir)
	return len(entries), err
}

// writers has 8 processes make 25 commits each from 4 linked worktrees at once.
func (b *bench) writers() error {
	r, err := b.repo(20, 10)
	if err != nil {
		return err
	}
	const processes, each, trees = 8, 25, 4
	for i := range trees {
		if _, err := b.out(r.dir, r.env, "git", "worktree", "add", "-q", "-b", fmt.Sprint("wt", i), filepath.Join(filepath.Dir(r.dir), fmt.Sprint("wt", i))); err != nil {
			return err
		}
	}
	ledgers := func() (int, error) {
		out, err := b.out(r.dir, r.env, "git", "for-each-ref", "--format=x", "refs/covenant/ledger/provenance")
		return strings.Count(out, "x"), err
	}
	had, err := ledgers()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make(chan error, processes*each)
	start := time.Now()
	for p := range processes {
		wg.Go(func() {
			dir := filepath.Join(filepath.Dir(r.dir), fmt.Sprint("wt", p%trees))
			for i := range each {
				for try := 0; ; try++ { // two processes of one worktree contend for Git's own index lock
					_, err := b.out(dir, r.env, "git", "commit", "-q", "--allow-empty", "-m", fmt.Sprint("p", p, " ", i))
					if err == nil {
						break
					}
					if try == 200 {
						errs <- err
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	close(errs)
	for err := range errs {
		return err
	}
	sealed := 0
	for i := range trees {
		out, err := b.out(r.dir, r.env, filepath.Join(b.bin, "covenant"), "verify", "--no-cache", "--json", fmt.Sprint("main..wt", i))
		if err != nil {
			return fmt.Errorf("a commit was lost: %w", err)
		}
		sealed += strings.Count(out, `"verdict":"sealed"`)
	}
	row("8 processes × 25 commits from 4 worktrees", fmt.Sprintf("%d sealed, %s a commit", sealed, ms(took/(processes*each))), "200 sealed", sealed == processes*each)
	if have, err := ledgers(); err != nil || have > had+1 {
		return fmt.Errorf("one key on one clone has %d ledgers, %w", have-had, cmp.Or(err, errors.New("and should have one")))
	}
	if sealed != processes*each {
		return fmt.Errorf("%d of %d commits are sealed", sealed, processes*each)
	}
	return nil
}
