package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/envelope/evidence"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// quiet are settings under which what Git says of a work tree depends on the work tree only.
var quiet = []string{
	"-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.ignoreStat=false", "-c", "core.hooksPath=" + os.DevNull, "-c", "core.sparseCheckout=false",
	"-c", "core.trustctime=true", "-c", "core.checkStat=default", // a size and a time that were set are no content
	"-c", "core.ignoreCase=false", // nor is a name another one
	"-c", "core.fileMode=" + strconv.FormatBool(posix), "-c", "core.symlinks=" + strconv.FormatBool(posix),
}

// posix tells whether files have modes, and links are links, whatever a configuration says of that.
const posix = runtime.GOOS != "windows"

// pointers are settings under which files in Git LFS are their pointers, here and now: with an empty process Git asks no other filter, and
// what is required it would miss.
var pointers = []string{"-c", "filter.lfs.process=", "-c", "filter.lfs.clean=", "-c", "filter.lfs.smudge=", "-c", "filter.lfs.required=false"}

// equals reports whether the work tree is the tree of HEAD exactly: nothing is staged, changed, or there and neither tracked nor
// ignored; no file is one that Git was told not to look at, or sees through a filter; and what it converts is as it would check it out.
// That is returned, too.
func equals(ctx context.Context, r *git.Repo) (bool, seen, error) {
	var wg sync.WaitGroup
	var blind bool
	var through seen
	var blindErr, throughErr error
	wg.Go(func() { blind, blindErr = flagged(ctx, r) })
	wg.Go(func() {
		through, throughErr = between(ctx, &place{repo: r, top: r.WorkTree(), where: evidence.Worktree}, settingsThen(r))
	})
	out, err := r.Run(ctx, nil, append(slices.Clone(quiet), "status", "--porcelain=v2", "-z", "--untracked-files=normal", "--ignore-submodules=none", "--no-renames")...)
	wg.Wait()
	if err = errors.Join(err, blindErr, throughErr); err != nil || len(out) > 0 || blind || through.filters != "" {
		return false, seen{}, err
	}
	fresh, err := checkedOut(ctx, r, through.converted)
	return fresh, through, err
}

// seen is what stands between files and what Git sees of them.
type seen struct {
	filters   string // and the files that they are for
	converted []converted
}

// A converted file has other bytes than the tree has, by ends of lines, $Id$ or an encoding, and is to Git what the tree has.
type converted struct {
	path string
	blob string
	file string // where it is
	size int64
	sum  string // of its bytes

	other bool // its encoding is said
}

func between(ctx context.Context, p *place, set map[string]string, settings ...string) (out seen, err error) {
	if out.filters, err = filters(ctx, p.repo, set, settings...); err == nil {
		out.converted, err = conversions(ctx, p, set, settings...)
	}
	return out, err
}

func (s seen) same(o seen) bool {
	return s.filters == o.filters && slices.EqualFunc(s.converted, o.converted, func(a, b converted) bool { return a.path == b.path && a.sum == b.sum })
}

// conversions lists the files that Git converts. What it does to ends of lines and to $Id$ only ever takes bytes away: so a length tells whether it
// does. That of an encoding says nothing.
func conversions(ctx context.Context, p *place, set map[string]string, settings ...string) ([]converted, error) {
	list := func(specs ...string) ([]string, error) {
		if p.where == evidence.Worktree && (set["filter."+evidence.LFS+".clean"] != "" || set["filter."+evidence.LFS+".process"] != "") {
			specs = append(specs, ":(exclude,top,attr:filter="+evidence.LFS+")") // its pointer says what a file has; another filter of that name is told as one
		}
		b, err := p.repo.Run(ctx, nil, slices.Concat(settings, []string{"ls-files", "-s", "-z", "--full-name", "--", ":/"}, specs)...)
		return strings.FieldsFunc(string(b), func(c rune) bool { return c == 0 }), err
	}
	specs := []string{":(exclude,top,attr:!text !eol !crlf !ident !working-tree-encoding)"}
	if !slices.Contains([]string{"", "0", "false", "no", "off"}, strings.ToLower(set[autoCRLF])) {
		specs = nil
	}
	var wg sync.WaitGroup
	var encoded []string
	var encodedErr error
	wg.Go(func() { encoded, encodedErr = list(":(exclude,top,attr:!working-tree-encoding)") })
	entries, err := list(specs...)
	wg.Wait()
	if err = errors.Join(err, encodedErr); err != nil || len(entries) == 0 {
		return nil, err
	}
	otherwise := map[string]bool{}
	for _, entry := range encoded {
		otherwise[entry] = true
	}
	var out []converted
	var asked bytes.Buffer
	for _, entry := range entries {
		meta, path, _ := strings.Cut(entry, "\t") // mode, id, stage
		file := filepath.Join(p.top, filepath.FromSlash(path))
		st, err := os.Lstat(file)
		if err != nil || !st.Mode().IsRegular() {
			continue // Git says so
		}
		blob, _, _ := strings.Cut(meta[strings.IndexByte(meta, ' ')+1:], " ")
		out = append(out, converted{path: path, blob: blob, file: file, size: st.Size(), other: otherwise[entry]})
		asked.WriteString(blob + "\n")
	}
	sizes, err := p.repo.Run(ctx, &asked, slices.Concat(settings, []string{"cat-file", "--batch-check=%(objectsize)", "--buffer"})...)
	if err != nil {
		return nil, err
	}
	kept := out[:0]
	for _, c := range out {
		has, rest, _ := bytes.Cut(sizes, []byte("\n"))
		if sizes = rest; c.other || string(has) != strconv.FormatInt(c.size, 10) {
			c.sum, _ = sumOf(c.file) // what can't be read is to nobody what the tree has
			kept = append(kept, c)
		}
	}
	return kept, nil
}

func sumOf(file string) (string, error) {
	f, err := open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return string(sum.Sum(nil)), err
}

// maxConverted is how many files, and bytes, that Git converts are compared with what it would check out: more take as long as a checkout.
const (
	maxConverted      = 1024
	maxConvertedBytes = 64 << 20
)

// checkedOut reports whether files have the bytes that Git gives them when it checks them out.
func checkedOut(ctx context.Context, r *git.Repo, list []converted) (bool, error) {
	if len(list) == 0 || len(list) > maxConverted {
		return len(list) == 0, nil
	}
	const head = "is "
	var asked, want bytes.Buffer
	for _, c := range list {
		st, err := os.Lstat(c.file)
		if err != nil || int64(want.Len())+st.Size() > maxConvertedBytes || strings.Contains(c.path, "\n") {
			return false, nil //nolint:nilerr // it is not there any more
		}
		b, err := os.ReadFile(c.file)
		if err != nil {
			return false, err
		}
		fmt.Fprintf(&asked, "%s %s\n", c.blob, c.path)
		fmt.Fprintf(&want, "%s%s\n%s\n", head, c.blob, b) // no blob has its own id in it
	}
	out, err := r.Run(ctx, &asked, append(slices.Clone(quiet), "cat-file", "--filters", "--batch="+head+"%(objectname)")...)
	return err == nil && bytes.Equal(out, want.Bytes()), nil
}

// filters lists the filters of Git's through which files are compared with the tree, of those that are set, and these files; "" where there are
// none. Those of Git LFS are known: their pointers name what a file has.
func filters(ctx context.Context, r *git.Repo, set map[string]string, settings ...string) (string, error) {
	var out strings.Builder
	args := append(slices.Clone(settings), "ls-files", "-z", "--full-name", "--")
	for _, key := range slices.Sorted(maps.Keys(set)) {
		at, does := strings.LastIndexByte(key, '.'), set[key]
		name := strings.TrimPrefix(key[:at], "filter.")
		if does == "" || key == autoCRLF || key[at:] != ".clean" && key[at:] != ".process" || name == evidence.LFS && strings.HasPrefix(does, "git-lfs ") {
			continue
		}
		fmt.Fprintf(&out, "%s %q\n", key, does)
		if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			args = append(args, ":/") // no pattern takes that name: it may be any file's
			continue
		}
		args = append(args, ":(top,attr:filter="+name+")")
	}
	if out.Len() == 0 {
		return "", nil
	}
	files, err := r.Run(ctx, nil, args...)
	if err != nil || len(files) == 0 {
		return "", err
	}
	out.Write(files)
	return out.String(), nil
}

// autoCRLF converts files of which no attribute says anything.
const autoCRLF = "core.autocrlf"

// settingsThen are the settings of filters, and [autoCRLF], when a repository was opened, settingsNow those that there are now.
func settingsThen(r *git.Repo) map[string]string {
	c, out := r.Config(), map[string]string{}
	if _, set := c.Get(autoCRLF); set && c.Bool(autoCRLF, true) {
		out[autoCRLF] = "true"
	}
	for _, key := range c.Keys("filter.") {
		out[key], _ = c.Get(key)
	}
	return out
}

func settingsNow(ctx context.Context, r *git.Repo, settings []string) (map[string]string, error) {
	all, err := r.Run(ctx, nil, append(slices.Clone(settings), "config", "-z", "--list")...)
	out := map[string]string{}
	for entry := range strings.SplitSeq(string(all), "\x00") {
		if key, does, valued := strings.Cut(entry, "\n"); strings.HasPrefix(key, "filter.") || key == autoCRLF {
			if out[key] = does; !valued {
				out[key] = "true"
			}
		}
	}
	return out, err
}

// flagged reports whether the index marks a file as one that Git is not to look at.
func flagged(ctx context.Context, r *git.Repo, settings ...string) (bool, error) {
	out, err := r.Run(ctx, nil, append(slices.Clone(settings), "ls-files", "-v", "-z", "--full-name", ":/")...)
	for entry := range bytes.SplitSeq(out, []byte{0}) {
		if len(entry) > 0 && entry[0] != 'H' {
			return true, err
		}
	}
	return false, err
}

// same are settings under which Git looks where it did when the command began, whatever that pointed it at since.
func (p *place) same() []string {
	return []string{"--git-dir=" + p.repo.GitDir(), "--work-tree=" + p.top}
}

// changed reports whether tracked files differ from the tree, or are hidden from who asks that: when the command began none was, but by filters
// and conversions that there were.
func (p *place) changed(ctx context.Context, tree oid.ID) (bool, error) {
	for _, dir := range []string{p.top, p.repo.GitDir()} {
		if _, err := os.Stat(dir); err != nil {
			return false, fmt.Errorf("what the command ran in is gone: %w", err)
		}
	}
	same := p.same()
	settings := slices.Concat(same, quiet)
	if p.where == evidence.Checkout {
		settings = append(settings, pointers...)
	}
	var wg sync.WaitGroup
	var through seen
	var throughErr error
	wg.Go(func() {
		var set map[string]string
		if set, throughErr = settingsNow(ctx, p.repo, same); throughErr == nil {
			through, throughErr = between(ctx, p, set, same...)
		}
	})
	out, err := p.repo.Run(ctx, nil, append(settings, "diff", "--raw", "-z", "--no-ext-diff", "--no-textconv", "--no-relative", "--ignore-submodules=none", "--no-renames", tree.String(), "--")...)
	blind := false
	if err == nil && len(out) == 0 {
		blind, err = flagged(ctx, p.repo, same...)
	}
	wg.Wait()
	return len(out) > 0 || blind || !through.same(p.seen), errors.Join(err, throughErr)
}
