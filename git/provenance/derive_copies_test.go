package provenance_test

import (
	"testing"
	"time"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Who seals again what somebody had sealed made nothing of it, in however many steps, and however often.
func TestDerivedCopies(t *testing.T) {
	for name, c := range map[string]struct {
		straight bool // in one step
		detours  int  // in two, by so many contents
	}{"in one step": {true, 0}, "by a detour": {false, 1}, "by many, and in one step": {true, 300}} {
		p := newPress(t)
		p.everywhere()
		p.vouches("mallory", anywhere)
		was, at := p.git("rev-parse", "HEAD:src/a"), p.head("base")
		p.branch("work", "HEAD")
		p.sealed("coder", "src/a=one")
		p.sealed("coder", "src/a=two")
		now := p.git("rev-parse", "HEAD:src/a")
		p.on("main")
		p.clock = p.clock.Add(time.Hour)
		var list []provenance.Claim
		says := func(from, to string) {
			list = append(list, provenance.Claim{Commit: git.Commit{ID: p.away(len(list)), Tree: p.tree(), Parents: []oid.ID{at}}, Changes: [][]prov.Change{{claim("src/a", from, to)}}})
		}
		if c.straight {
			says(was, now)
		}
		if c.detours > 0 {
			for _, b := range p.blobs(c.detours) {
				says(was, b)
				says(b, now)
			}
		}
		p.claims("mallory", "refs/heads/main", list...)
		id := p.squash("work")
		r := p.look(id, "HEAD", false)
		if r.Verdict != verdict.Derived || len(r.Covers) != 2 {
			t.Errorf("%s: %s, made of %d", name, codes(r), len(r.Covers))
		}
		for _, x := range r.Covers {
			if x.Principal.Name != "coder" {
				t.Errorf("%s: made by %s", name, x.Principal.Name)
			}
		}
	}
}
