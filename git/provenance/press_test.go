package provenance_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// press is a repository in which branches are worked on, and brought to main by who knows nothing of us.
type press struct {
	*world
	ranges  []string // that are looked at besides
	tipOnly bool     // nothing but all of the history is
}

func newPress(t *testing.T) *press {
	t.Helper()
	w := newWorld(t, "sha1")
	w.write("README", "from before\n")
	w.git("add", ".")
	w.made("before")
	w.found()
	p := &press{world: w}
	p.grant("alice", "coder", func(g *capability.Grant) { g.Scope = scope(t, `{"version":1,"paths":["src/**"]}`) })
	p.grant("alice", "helper", func(g *capability.Grant) { g.Scope = scope(t, `{"version":1,"paths":["docs/**"]}`) })
	p.sealed("alice", "src/a=ground", "src/b=ground", "docs/d=ground")
	p.git("tag", "ground")
	return p
}

// put makes a commit on HEAD of "path=content"; without content the path goes.
func (p *press) put(changes ...string) oid.ID {
	p.t.Helper()
	for _, c := range changes {
		path, content, _ := strings.Cut(c, "=")
		if content == "" {
			p.git("rm", "-q", path)
			continue
		}
		p.write(path, content+"\n")
		p.git("add", path)
	}
	return p.made(strings.Join(changes, " "))
}

// sealed is put by somebody who seals it.
func (p *press) sealed(who string, changes ...string) oid.ID {
	p.t.Helper()
	id := p.put(changes...)
	p.seal(who, prov.Witness, "HEAD")
	return id
}

// agent gives mallory a name and a narrow grant: what it seals is for its own branches.
func (p *press) agent() {
	p.t.Helper()
	p.grant("alice", "mallory", func(g *capability.Grant) {
		g.Scope = scope(p.t, `{"version":1,"paths":["src/**"],"refs":["refs/heads/agent/*"]}`)
	})
}

// sealedOn is sealed on another branch than main.
func (p *press) sealedOn(who, ref string, changes ...string) oid.ID {
	p.t.Helper()
	id := p.put(changes...)
	k := p.sealer(p.session(), who)
	commits, err := provenance.Commits(k.Session, "HEAD")
	if err == nil {
		_, err = k.Seal(context.Background(), prov.Witness, ref, commits)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// lies seals HEAD by somebody who may not.
func (p *press) lies(who string) {
	p.t.Helper()
	k := p.sealer(p.session(), who)
	k.Asker = generous(p.held(who))
	commits, err := provenance.Commits(k.Session, "HEAD")
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := k.Seal(context.Background(), prov.Witness, "refs/heads/main", commits); err != nil {
		p.t.Fatal(err)
	}
}

// held is a line of grants of somebody's.
func (p *press) held(who string) generous {
	p.t.Helper()
	f, err := provenance.Load(context.Background(), p.session(), p.pin)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, g := range f.Authority.Grants() {
		if g.Granted.Subject.Name == who {
			return generous{g.ID}
		}
	}
	p.t.Fatalf("%s holds nothing", who)
	return nil
}

func (p *press) on(branch string) { p.t.Helper(); p.git("switch", "-q", branch) }

func (p *press) branch(name, at string) { p.t.Helper(); p.git("switch", "-q", "-c", name, at) }

func (p *press) squash(branch string) oid.ID {
	p.t.Helper()
	p.git("merge", "-q", "--squash", branch)
	return p.made("squash " + branch)
}

func (p *press) merge(args ...string) oid.ID {
	p.t.Helper()
	p.git(append([]string{"merge", "-q", "--no-ff", "-m", "merge"}, args...)...)
	return p.head("merge")
}

func (p *press) revert(who, rev string) oid.ID {
	p.t.Helper()
	p.git("revert", "--no-edit", rev)
	id := p.head("revert")
	p.seal(who, prov.Witness, "HEAD")
	return id
}

func (p *press) squashed(work ...string) oid.ID { p.t.Helper(); return p.squashedBy("coder", work...) }

// squashedBy brings a branch of sealed commits to main by a button.
func (p *press) squashedBy(who string, work ...string) oid.ID {
	p.t.Helper()
	p.branch("work", "HEAD")
	for _, c := range work {
		p.sealed(who, strings.Fields(c)...)
	}
	p.on("main")
	id := p.squash("work")
	p.git("branch", "-q", "-D", "work")
	return id
}

func (p *press) verdict(id oid.ID, rev string) verdict.Result {
	p.t.Helper()
	res, _, err := p.verify(false, rev)
	if err != nil {
		p.t.Fatal(err)
	}
	r, ok := res[id]
	if !ok {
		p.t.Fatalf("%s is not in %s", id, rev)
	}
	return r
}

// gone squashes a branch by a button and deletes it.
func (p *press) gone(branch string) oid.ID {
	p.t.Helper()
	id := p.squash(branch)
	p.git("branch", "-q", "-D", branch)
	return id
}

// takes makes a commit of what a branch has at some paths, as a squash of a branch that another one's squash is below.
func (p *press) takes(branch string, paths ...string) oid.ID {
	p.t.Helper()
	p.git(append([]string{"checkout", "-q", branch, "--"}, paths...)...)
	return p.made("squash " + branch)
}

// everywhere gives mallory all that coder has.
func (p *press) everywhere() {
	p.t.Helper()
	p.grant("alice", "mallory", nil)
}

// A claim is a change that a seal of a commit which never was lists.
func claim(path, from, to string) prov.Change {
	return prov.Change{Path: path, Status: "M", Old: from, New: to, OldMode: "100644", NewMode: "100644"}
}

type row struct {
	name string
	make func(p *press) oid.ID
	want verdict.Verdict
}

// rows holds for each commit that all of history and a range, with a memory and without, say the same.
func rows(t *testing.T, list []row) {
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPress(t)
			id := c.make(p)
			if !p.tipOnly {
				p.ranges = append(p.ranges, id.String()+"^1.."+id.String())
			}
			for _, rev := range append(p.ranges, "HEAD") {
				for _, how := range []string{"fresh", "first", "remembered"} {
					if r := p.look(id, rev, how != "fresh"); r.Verdict != c.want {
						t.Errorf("%s, %s: %s %v, want %s", rev, how, r.Verdict, r.Findings, c.want)
					}
				}
			}
		})
	}
}

func (p *press) look(id oid.ID, rev string, remember bool) verdict.Result {
	p.t.Helper()
	s := p.session()
	span, err := provenance.ParseSpan(s, rev)
	if err != nil {
		p.t.Fatal(err)
	}
	o := provenance.Options{Pin: p.pin, Now: p.clock}
	if remember {
		o.Cache = provenance.OpenCache(s.Repo(), filepath.Join(p.home, "memory"))
	}
	rep, err := provenance.Verify(context.Background(), s, span, o)
	if err != nil {
		p.t.Fatal(err)
	}
	var out verdict.Result
	var all []verdict.Result
	for r, err := range rep.Results {
		if err != nil {
			p.t.Fatal(err)
		}
		if all = append(all, r); r.Commit == id {
			out = r
		}
	}
	if !remember {
		p.alike(span, o, all, rep.Problems, nil)
	}
	return out
}

// never returns a name that no commit has.
func (p *press) never(i int) oid.ID {
	p.t.Helper()
	return p.parse(p.gitIn(strings.Repeat("never\n", i+1), "hash-object", "--stdin"))
}

func (p *press) parse(text string) oid.ID {
	p.t.Helper()
	id, err := oid.Parse(text)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

func (p *press) tree() oid.ID { p.t.Helper(); return p.parse(p.git("rev-parse", "HEAD^{tree}")) }

// claims seals commits of which only the ledger knows.
func (p *press) claims(who, ref string, list ...provenance.Claim) {
	p.t.Helper()
	p.sealer(p.session(), who).Claims(p.t, ref, p.held(who), list)
}

// joined makes a merge of two commits with some content at a path.
func (p *press) joined(path, content, first, second string) oid.ID {
	p.t.Helper()
	p.write(path, content+"\n")
	p.git("add", ".")
	tree := p.git("write-tree")
	who := " A <alice@example.org> 1772366400 +0000\n"
	id := p.gitIn("tree "+tree+"\nparent "+p.git("rev-parse", first)+"\nparent "+p.git("rev-parse", second)+"\nauthor"+who+"committer"+who+"\nm\n", "hash-object", "-t", "commit", "-w", "--stdin")
	p.git("reset", "-q", "--hard", id)
	return p.parse(id)
}

// says seals a commit as if it had these parents and the tree of the first: nothing changed, so nothing is asked for.
func (p *press) says(who, ref string, id oid.ID, parents ...oid.ID) {
	p.t.Helper()
	k := p.sealer(p.session(), who)
	k.Again = true
	t, err := k.Session.Commit(parents[0].String())
	if err != nil {
		p.t.Fatal(err)
	}
	c, err := k.Session.Commit(id.String())
	if err != nil {
		p.t.Fatal(err)
	}
	c.Tree, c.Parents = t.Tree, parents
	if _, err := k.Seal(context.Background(), prov.Witness, ref, []git.Commit{c}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *press) rewrote(who, command string, now, old oid.ID) {
	p.t.Helper()
	k := p.sealer(p.session(), who)
	if _, err := k.Record(context.Background(), prov.Topic, provenance.Item{
		Type: prov.Rewritten, Body: prov.Rewriting{Command: command, Pairs: []prov.Rewrite{{New: now, Old: old}}}, Subject: "x",
	}); err != nil {
		p.t.Fatal(err)
	}
}

// late is one of two commits whose work coder sealed on top of what goes on from main's later commits, from too many of them.
func (p *press) late(first bool) oid.ID {
	p.t.Helper()
	p.grant("alice", "coder", func(g *capability.Grant) { g.Action = capability.Vouch })
	was, now := p.git("rev-parse", "HEAD:src/a"), p.gitIn("evil\n", "hash-object", "-w", "--stdin")
	id := p.put("src/a=evil")
	if second := p.put("src/b=evil"); !first {
		id = second
	}
	var on []oid.ID
	for range 66 {
		p.git("commit", "-q", "--allow-empty", "-m", "more")
		on = append(on, p.parse(p.git("rev-parse", "HEAD")))
	}
	wide := git.Commit{ID: p.never(0), Tree: p.tree(), Parents: on}
	p.claims("coder", "refs/heads/main",
		provenance.Claim{Commit: wide, Changes: make([][]prov.Change, len(on))},
		provenance.Claim{
			Commit:  git.Commit{ID: p.never(1), Tree: p.tree(), Parents: []oid.ID{wide.ID}},
			Changes: [][]prov.Change{{claim("src/a", was, now), claim("src/b", was, now)}},
		})
	return id
}

// flips is coder's branch that goes back and forth, squashed by a button; it stays as "work".
func (p *press) flips() {
	p.t.Helper()
	p.branch("work", "HEAD")
	p.sealed("coder", "src/a=evil")
	p.sealed("coder", "src/a=ground")
	p.sealed("coder", "src/a=evil", "src/n=1")
	p.on("main")
	p.squash("work")
}
