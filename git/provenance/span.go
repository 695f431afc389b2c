package provenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Refusals of ranges: no answer, not a bad one.
var (
	ErrRevision   = errors.New("unknown revision")
	ErrEmptyRange = errors.New("there is no commit in this range")
	ErrShallow    = errors.New("the history of this clone ends inside the range")
	ErrPartial    = errors.New("this partial clone lacks objects that the answer needs")
	ErrAmbiguous  = errors.New("this name means more than one thing")
	ErrSeveral    = errors.New("several refs are named, and each commit is judged on one")
)

// An AmbiguousError names the refs that a revision could mean, and the commits that it could abbreviate. It wraps ErrAmbiguous.
type AmbiguousError struct {
	Rev  string
	Refs []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%v: %q: %s", ErrAmbiguous, e.Rev, strings.Join(e.Refs, ", "))
}

// Unwrap returns ErrAmbiguous.
func (e *AmbiguousError) Unwrap() error { return ErrAmbiguous }

// A RevisionError names a revision that is not here. It wraps ErrRevision.
type RevisionError struct{ Rev string }

func (e *RevisionError) Error() string { return fmt.Sprintf("%v: %q", ErrRevision, e.Rev) }

// Unwrap returns ErrRevision.
func (e *RevisionError) Unwrap() error { return ErrRevision }

// Span is the commits to look at: those reachable from Tips and not from Except.
type Span struct {
	Tips, Except []oid.ID
	Ranged       bool     // written as A..B: a range under review, rather than a history
	Names        []string // what the tips were named by; none where they were found otherwise
	Ref          string   // the ref under review; "" lets Names tell
	Apart        []oid.ID // of Except: what is left out since it is elsewhere, and the ref under review has not
}

// ParseSpan reads arguments of the forms REV, A..B, ..B, A.. and ^REV, as git-rev-list(1) does; no argument is HEAD.
func ParseSpan(s *git.Session, args ...string) (Span, error) {
	if len(args) == 0 {
		args = []string{"HEAD"}
	}
	var sp Span
	for _, a := range args {
		if strings.Contains(a, "...") {
			return Span{}, fmt.Errorf("%w: %q: a symmetric difference has no order to verify in; write A..B", ErrRevision, a)
		}
		from, to, ranged := strings.Cut(a, "..")
		if !ranged {
			if rest, not := strings.CutPrefix(a, "^"); not {
				id, err := resolve(s, rest)
				if err != nil {
					return Span{}, err
				}
				sp.Except, sp.Ranged = append(sp.Except, id), true
				continue
			}
			to = a
		} else {
			sp.Ranged = true
			if from == "" {
				from = "HEAD"
			}
			if to == "" {
				to = "HEAD"
			}
			id, err := resolve(s, from)
			if err != nil {
				return Span{}, err
			}
			sp.Except = append(sp.Except, id)
		}
		id, err := resolve(s, to)
		if err != nil {
			return Span{}, err
		}
		sp.Tips, sp.Names = append(sp.Tips, id), append(sp.Names, to)
	}
	return sp, nil
}

// ParseTip is ParseSpan of HEAD on a branch, or of a branch, without a look at any object: Git lets a branch point at a commit only. It is not ok
// for anything else, and where that can't be told; then ParseSpan says what is meant, or what is wrong.
func ParseTip(s *git.Session, rev string) (Span, bool) {
	ref, rest, err := named(s, rev)
	if err == nil && ref == "HEAD" {
		ref, err = s.HeadRef()
	}
	if err != nil || rest != "" || !strings.HasPrefix(ref, "refs/heads/") {
		return Span{}, false
	}
	refs, err := s.Tips(ref)
	if err != nil || len(refs) != 1 || refs[0].Name != ref {
		return Span{}, false
	}
	return Span{Tips: []oid.ID{refs[0].ID}, Names: []string{rev}}, true
}

// FullRef is the full name of a ref that need not be there: a name that does not begin with "refs/" is a branch's. No name stays none.
func FullRef(name string) string {
	if name == "" || strings.HasPrefix(name, "refs/") {
		return name
	}
	return "refs/heads/" + name
}

// UnderReview returns the ref whose commits are looked at: the one that was said,
// else the one that the tips were named by, as git-rev-parse(1) finds it. Of a
// remote-tracking branch it is the branch at the remote. It is "" where only
// objects were named, or different refs.
func (sp Span) UnderReview(s *git.Session) (string, error) {
	_, ref, err := sp.underReview(s)
	return ref, err
}

// underReview returns what the ref is called here, too.
func (sp Span) underReview(s *git.Session) (here, ref string, err error) {
	if sp.Ref != "" {
		return sp.Ref, sp.Ref, nil
	}
	for i, name := range sp.Names {
		h, r, err := reviewed(s, name)
		if err != nil {
			return "", "", err
		}
		if i > 0 && r != ref {
			return "", "", nil
		}
		here, ref = h, r
	}
	return here, ref, nil
}

// together refuses, with ErrSeveral, to look at commits of several refs at once where one of them is protected: none of them would be held
// to what is demanded there.
func (sp Span) together(s *git.Session, root *Root) error {
	if sp.Ref != "" || len(sp.Names) < 2 {
		return nil
	}
	refs := map[string]bool{}
	protected := ""
	for _, name := range sp.Names {
		_, ref, err := reviewed(s, name)
		if err != nil {
			return err
		}
		if refs[ref] = true; root.Policy.Protects(ref) {
			protected = ref
		}
	}
	if protected == "" || len(refs) < 2 {
		return nil
	}
	return fmt.Errorf("%w: %s, and %s is protected", ErrSeveral, strings.Join(sp.Names, ", "), protected)
}

// RefOf returns the ref that commits are for which go on from a revision: the branch or tag that it names, of a remote the one there; "" for none.
func RefOf(s *git.Session, rev string) (string, error) {
	_, ref, err := reviewed(s, rev)
	return ref, err
}

// reviewed returns the ref that a revision names, and the one that its commits are for.
func reviewed(s *git.Session, rev string) (here, ref string, err error) {
	here, _, err = named(s, rev)
	if err != nil {
		return "", "", err
	}
	if here == "HEAD" {
		ref, err = s.HeadRef()
		return ref, ref, err
	}
	if !strings.HasPrefix(here, "refs/remotes/") {
		return here, here, nil
	}
	return here, trackedBy(s.Repo().Config(), here), nil
}

// HasRef reports whether a ref is here, or a remote-tracking branch of it.
func HasRef(s *git.Session, ref string) (bool, error) {
	h, err := HeadOf(s, ref)
	if err != nil || !h.ID.IsZero() {
		return err == nil, err
	}
	refs, err := s.Refs("refs/remotes/")
	return slices.ContainsFunc(refs, func(r git.Ref) bool { return trackedBy(s.Repo().Config(), r.Name) == ref }), err
}

// trackedBy returns the branch that a remote-tracking branch is of, "" where that is not told: as the fetch refspecs of the remotes say, since a remote's name may have slashes; of a
// remote that is gone, what follows the first one.
func trackedBy(config git.Config, here string) string {
	best, ref := 0, ""
	for _, key := range config.Keys("remote.") {
		if !strings.HasSuffix(strings.ToLower(key), ".fetch") {
			continue
		}
		for _, spec := range config.All(key) {
			from, to, ok := strings.Cut(strings.TrimPrefix(spec, "+"), ":")
			before, after, pattern := strings.Cut(to, "*")
			switch name, begins := strings.CutPrefix(here, before); {
			case !ok || len(before) <= best:
			case !pattern && to == here:
				best, ref = len(to), from
			case pattern && begins && strings.HasSuffix(name, after):
				best, ref = len(before), strings.Replace(from, "*", strings.TrimSuffix(name, after), 1)
			}
		}
	}
	if ref == "" {
		_, branch, _ := strings.Cut(strings.TrimPrefix(here, "refs/remotes/"), "/")
		ref = "refs/heads/" + branch
	}
	if !strings.HasPrefix(ref, "refs/") || ref == "refs/heads/" || ref == "refs/heads/HEAD" {
		return ""
	}
	return ref
}

// named splits a revision into the ref it begins with, by its full name, or HEAD, and what follows. The ref is "" where it begins
// with none. A name that more than one ref has, or a ref and an abbreviated commit, is an *AmbiguousError: Git would choose, and who puts a tag beside a branch knows which.
func named(s *git.Session, rev string) (ref, rest string, err error) {
	if _, err := oid.Parse(rev); err == nil {
		return "", rev, nil
	}
	base := rev
	for _, whole := range []bool{true, false} {
		if !whole {
			if base = rev[:suffix(rev)]; base == rev {
				return "", rev, nil
			}
		}
		if base == "HEAD" || base == "@" {
			return "HEAD", rev[len(base):], nil
		}
		if _, err := oid.Parse(base); err == nil || base == "" {
			return "", rev, nil
		}
		found, err := called(s, base)
		switch {
		case err != nil:
			return "", "", err
		case len(found) > 1:
			return "", "", &AmbiguousError{base, found}
		case len(found) == 1:
			if objects, err := abbreviated(s, base); err != nil || len(objects) > 0 {
				return "", "", cmp.Or(err, error(&AmbiguousError{base, append(found, objects...)}))
			}
			return found[0], rev[len(base):], nil
		}
	}
	return "", rev, nil
}

// abbreviates is how many digits make a name that is like an abbreviated one of an object: Git's own are no shorter, and ours longer.
const abbreviates = 7

// abbreviated returns the commits that a name may abbreviate. Who calls a ref so has it taken for one of them: Git finds refs first.
func abbreviated(s *git.Session, name string) ([]string, error) {
	if len(name) < abbreviates || strings.Trim(name, "0123456789abcdefABCDEF") != "" {
		return nil, nil
	}
	objects, err := s.Abbreviated(name)
	var ids []string
	for _, id := range objects {
		if _, err := s.Commit(id.String() + "^{commit}"); err == nil && len(ids) < 4 {
			ids = append(ids, id.String())
		}
	}
	return ids, err
}

// suffix returns where what follows a name in a revision begins, by gitrevisions(7).
func suffix(rev string) int {
	for i := range len(rev) {
		if strings.IndexByte("~^:", rev[i]) >= 0 || strings.HasPrefix(rev[i:], "@{") {
			return i
		}
	}
	return len(rev)
}

// called returns the refs that a name could mean to git-rev-parse(1).
func called(s *git.Session, name string) ([]string, error) {
	ask := []string{"refs/" + name, "refs/tags/" + name, "refs/heads/" + name, "refs/remotes/" + name, "refs/remotes/" + name + "/HEAD"}
	if strings.HasPrefix(name, "refs/") {
		ask = append([]string{name}, ask...)
	}
	ask = slices.DeleteFunc(ask, func(ref string) bool { return !git.ValidRef(ref) })
	if len(ask) == 0 {
		return nil, nil
	}
	refs, err := s.Tips(ask...)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, r := range refs {
		if slices.Contains(ask, r.Name) {
			found = append(found, r.Name)
		}
	}
	if slices.Contains(found, name) { // a full name means itself
		return []string{name}, nil
	}
	return found, nil
}

func resolve(s *git.Session, rev string) (oid.ID, error) {
	if rev == "" || strings.HasPrefix(rev, "-") {
		return oid.ID{}, fmt.Errorf("%w: %q", ErrRevision, rev)
	}
	ref, rest, err := named(s, rev)
	if err != nil {
		return oid.ID{}, err
	}
	if ref != "" || !strings.HasPrefix(rest, ":/") { // what is looked for in messages goes to the end
		rest += "^{commit}"
	}
	c, err := s.Commit(ref + rest)
	if errors.Is(err, git.ErrMissing) {
		return oid.ID{}, &RevisionError{rev}
	}
	if err != nil {
		return oid.ID{}, fmt.Errorf("%w: %q: %w", ErrRevision, rev, err)
	}
	return c.ID, nil
}

// One is the span of a single commit.
func One(c git.Commit) Span { return Span{Tips: []oid.ID{c.ID}, Except: c.Parents} }

// VerifyOne judges a single commit as its history has it: where what it was taken into could speak for it, that is looked at
// too, and where it is no part of the branch HEAD is on, the branches that it is part of.
// name is what it was named by: the ref under review, as of a span; an object's name leaves the branch HEAD is on.
func VerifyOne(ctx context.Context, s *git.Session, c git.Commit, name string, o Options) (*Report, verdict.Result, error) {
	one := func(sp Span, o Options) (*Report, verdict.Result, error) {
		rep, err := Verify(ctx, s, sp, o)
		if err != nil {
			return nil, verdict.Result{}, err
		}
		for r, err := range rep.Results {
			return rep, r, err
		}
		return nil, verdict.Result{}, ErrEmptyRange
	}
	narrow := One(c)
	narrow.Names = []string{name}
	if ref, err := narrow.UnderReview(s); err == nil && ref == "" {
		narrow.Names = []string{"HEAD"}
	}
	rep, r, err := one(narrow, o)
	if err != nil || r.Verdict.OK() {
		return rep, r, err
	}
	if o.Cache == nil { // else it may be what was remembered, which is not all
		o.Facts = rep.Facts
	}
	o.Only = map[oid.ID]bool{c.ID: true}
	for i, sp := range narrow.around(ctx, s, &c, rep.Facts) {
		switch again, ar, err := one(sp, o); {
		case err != nil:
		case ar.Verdict.OK():
			return again, ar, nil
		case i == 0:
			rep, r = again, ar
		}
	}
	return rep, r, nil
}

// homes is how many branches a commit is looked for in.
const homes = 8

// around is what a commit is part of: the branch that was named, with what was admitted of it; then, of a commit that is not
// on it and was named as an object, other branches that have it.
func (sp Span) around(ctx context.Context, s *git.Session, c *git.Commit, f *Facts) []Span {
	wide := Span{Tips: []oid.ID{c.ID}, Names: sp.Names}
	here, _, err := sp.underReview(s)
	elsewhere := err == nil && sp.Names[0] == "HEAD" // named so, or for want of a ref
	if err == nil && here != "" {
		if refs, err := s.Tips(here); err == nil && len(refs) == 1 {
			if has, err := Forward(ctx, s, c.ID, refs[0].ID); err == nil && has {
				wide.Tips, elsewhere = []oid.ID{refs[0].ID}, false // maybe by a merge
			}
		}
	}
	for _, a := range f.Admitted {
		if !a.New.IsZero() && !slices.Contains(wide.Tips, a.New) {
			wide.Tips = append(wide.Tips, a.New)
		}
	}
	out := []Span{wide}
	if !elsewhere {
		return out
	}
	names, err := s.Repo().Run(ctx, nil, "for-each-ref", "--format=%(refname)", "--count="+strconv.Itoa(homes), "--contains="+c.ID.String(), "refs/heads", "refs/remotes")
	if err != nil {
		return out
	}
	for name := range strings.FieldsSeq(string(names)) {
		if refs, err := s.Tips(name); err == nil && len(refs) == 1 && name != here {
			out = append(out, Span{Tips: []oid.ID{refs[0].ID}, Names: []string{name}})
		}
	}
	return out
}

// Commits returns what seal arguments name: REV is one commit, A..B a range, oldest first, each once.
func Commits(s *git.Session, args ...string) ([]git.Commit, error) {
	if len(args) == 0 {
		args = []string{"HEAD"}
	}
	var out []git.Commit
	seen := map[oid.ID]bool{}
	for _, a := range args {
		sp, err := ParseSpan(s, a)
		if err != nil {
			return nil, err
		}
		q := git.LogQuery{Revs: sp.Revs()}
		if !sp.Ranged {
			q.Max = 1
		}
		for c, err := range s.Log(q) {
			if err != nil {
				return nil, err
			}
			if !seen[c.ID] {
				seen[c.ID] = true
				out = append(out, c)
			}
		}
	}
	if len(out) == 0 {
		return nil, ErrEmptyRange
	}
	return out, nil
}

// Sealed returns which of the commits have a seal that holds now, whoever made it.
// ref is the one that they are for, "" when it is not known.
func (f *Facts) Sealed(ctx context.Context, s *git.Session, ref string, commits []git.Commit, o Options) (map[oid.ID]bool, error) {
	want, good := map[oid.ID]bool{}, map[oid.ID]bool{}
	sp := Span{Ref: ref}
	for _, c := range commits {
		if slices.ContainsFunc(f.SealsOf(c.ID), func(x verdict.Candidate) bool { return x.Seal != nil }) {
			want[c.ID] = true
			sp.Tips = append(sp.Tips, c.ID)
		}
	}
	return good, judgeSome(ctx, s, sp, commits, want, o, func(r *verdict.Result) {
		refused := map[string]bool{}
		for _, w := range r.Warnings {
			if w.Code == verdict.SealRefused {
				refused[w.Object] = true
			}
		}
		seals := f.SealsOf(r.Commit)
		for i := range seals { // it holds whichever seal counts
			x := &seals[i]
			good[r.Commit] = good[r.Commit] || r.Verdict.OK() && x.Seal != nil && !refused[string(x.ID)]
		}
	})
}

// Revs are the span's commits as the arguments of git-rev-list(1): tips, and what is left out with a caret.
func (sp Span) Revs() []string {
	out := make([]string, 0, len(sp.Tips)+len(sp.Except))
	for _, id := range sp.Tips {
		out = append(out, id.String())
	}
	for _, id := range sp.Except {
		out = append(out, "^"+id.String())
	}
	return out
}

// Select returns those commits of the span that git-rev-list(1) picks, given options that pick
// and paths as they are seen from where we are.
func (sp Span) Select(ctx context.Context, s *git.Session, options, paths []string) (map[oid.ID]bool, error) {
	args := append(append([]string{"rev-list"}, options...), sp.Revs()...)
	args = append(append(args, "--"), paths...)
	out, err := s.Repo().Run(ctx, nil, args...)
	if errors.As(err, new(*git.CommandError)) && s.Repo().Partial() && len(sp.Tips) > 0 {
		none := append([]string{"rev-list", "--max-count=0", sp.Tips[0].String(), "--"}, paths...) // that reads no tree
		if _, wrong := s.Repo().Run(ctx, nil, none...); wrong == nil {
			err = fmt.Errorf("%w: %w", ErrPartial, err)
		}
	}
	if err != nil {
		return nil, err
	}
	picked := map[oid.ID]bool{}
	for line := range strings.Lines(string(out)) {
		id, err := oid.Parse(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("git rev-list: %w", err)
		}
		picked[id] = true
	}
	return picked, nil
}

// walk returns the commits of the span, parents before children, in the order the log brought them.
func (f *Facts) walk(sp Span, order []oid.ID) []git.Commit {
	in := f.reach(sp.Tips)
	var out []git.Commit
	for _, id := range order {
		if in[id] {
			out = append(out, f.commits[id])
		}
	}
	return out
}

// reach returns what is reachable from tips among the commits the log brought.
func (f *Facts) reach(tips []oid.ID) map[oid.ID]bool {
	in := make(map[oid.ID]bool, len(f.commits))
	todo := append([]oid.ID(nil), tips...)
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		c, ok := f.commits[id]
		if !ok || in[id] {
			continue
		}
		in[id] = true
		todo = append(todo, c.Parents...)
	}
	return in
}
