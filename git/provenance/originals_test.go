package provenance_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// asked verifies with the question whose the changes are, and returns what is said of a commit.
func (p *press) asked(id oid.ID, remember bool) verdict.Result {
	p.t.Helper()
	s := p.session()
	span, err := provenance.ParseSpan(s, "HEAD")
	if err != nil {
		p.t.Fatal(err)
	}
	o := provenance.Options{Pin: p.pin, Now: p.clock, Origins: true}
	if remember {
		o.Cache = provenance.OpenCache(s.Repo(), filepath.Join(p.home, "memory"))
	}
	rep, err := provenance.Verify(context.Background(), s, span, o)
	if err != nil {
		p.t.Fatal(err)
	}
	var found verdict.Result
	var all []verdict.Result
	for r, err := range rep.Results {
		if err != nil {
			p.t.Fatal(err)
		}
		if all = append(all, r); r.Commit == id {
			found = r
		}
	}
	if !remember {
		p.alike(span, o, all, rep.Problems, nil)
	}
	return found
}

// madeOf tells whose the changes of a commit are: of each path that others than its signer made, who did, and the signer's own lines.
func (p *press) madeOf(id oid.ID, remember bool) string {
	p.t.Helper()
	r := p.asked(id, remember)
	var out []string
	for _, m := range r.Made {
		var who []string
		for _, x := range m.By {
			who = append(who, x.Name)
		}
		text := m.Path + " by " + strings.Join(who, "+")
		if m.Part {
			text += " but for " + fmt.Sprint(m.Own)
		}
		out = append(out, text)
	}
	if len(r.Made) > 0 && !r.Rewritten {
		out = append(out, "not rewritten")
	}
	return strings.Join(out, "; ")
}

// staged is sealed, of what is staged besides.
func (p *press) staged(who string, changes ...string) oid.ID {
	p.t.Helper()
	if len(changes) > 0 {
		return p.sealed(who, changes...)
	}
	id := p.made("as it was, by " + who)
	p.seal(who, prov.Witness, "HEAD")
	return id
}

// again makes a commit in the place of HEAD, by alice, and says that it was made of others.
func (p *press) again(command string, of []oid.ID, changes ...string) oid.ID {
	p.t.Helper()
	p.git("reset", "-q", "--soft", fmt.Sprintf("HEAD~%d", len(of)))
	id := p.staged("alice", changes...)
	for _, old := range of {
		p.rewrote("alice", command, id, old)
	}
	return id
}

// amended makes a commit in the place of HEAD, which is old, and says so.
func (p *press) amended(who string, old oid.ID, changes ...string) oid.ID {
	p.t.Helper()
	p.git("reset", "-q", "--soft", "HEAD~1")
	id := p.staged(who, changes...)
	p.rewrote(who, "amend", id, old)
	return id
}

// TestOriginals: who rewrites has the own lines, and no others; who only says so has all.
func TestOriginals(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(p *press) oid.ID
		want string
	}{
		{"an amend of the message", func(p *press) oid.ID {
			return p.again("amend", []oid.ID{p.sealed("coder", "src/n=1\n2")})
		}, "src/n by coder"},
		{"with own lines", func(p *press) oid.ID {
			return p.again("amend", []oid.ID{p.sealed("coder", "src/n=1\n2")}, "src/n=1\nown\n2", "src/own=1")
		}, "src/n by coder but for [{2 2}]"},
		{"where lines only went", func(p *press) oid.ID {
			return p.again("amend", []oid.ID{p.sealed("coder", "src/n=1\n2\n3")}, "src/n=1\n3")
		}, "src/n by coder but for []"},
		{"where nothing of it is left", func(p *press) oid.ID {
			return p.again("amend", []oid.ID{p.sealed("coder", "src/n=1\n2")}, "src/n=x\ny\nz")
		}, ""},
		{"two of two agents become one", func(p *press) oid.ID {
			p.everywhere()
			return p.again("rebase", []oid.ID{p.sealed("coder", "src/n=1"), p.sealed("mallory", "src/n=1\n2", "src/m=1")})
		}, "src/m by mallory; src/n by coder+mallory"},
		{"an agent's and one's own become one", func(p *press) oid.ID {
			return p.again("rebase", []oid.ID{p.sealed("coder", "src/n=1"), p.sealed("alice", "src/n=1\n2", "src/m=1")})
		}, "src/n by coder+alice"},
		{"an amend of an amend", func(p *press) oid.ID {
			first := p.again("amend", []oid.ID{p.sealed("coder", "src/n=1\n2")})
			return p.again("amend", []oid.ID{first}, "src/n=1\n2\nown")
		}, "src/n by coder but for [{3 3}]"},
		{"own lines of an amend, between what an agent made, in a squash", func(p *press) oid.ID {
			one := p.sealed("coder", "src/n=1\n2\n3\n4")
			mid := p.again("amend", []oid.ID{one}, "src/n=1\nown\n2\n3\n4")
			two := p.sealed("coder", "src/n=1\nown\n2\n3\n4\n5")
			return p.again("rebase", []oid.ID{mid, two})
		}, "src/n by coder but for [{2 2}]"},
		{"a reseal rewrites nothing", func(p *press) oid.ID {
			of := p.sealed("coder", "src/n=1")
			p.git("reset", "-q", "--soft", "HEAD~1")
			id := p.made("button")
			p.rewrote("alice", prov.Reseal, id, of)
			p.seal("alice", prov.Vouching, "HEAD")
			return id
		}, "src/n by coder; not rewritten"},
		{"a rename, a mode and a link are its maker's", func(p *press) oid.ID {
			p.git("mv", "src/a", "src/z")
			p.git("update-index", "--chmod=+x", "src/b")
			return p.again("amend", []oid.ID{p.staged("coder")})
		}, "src/a by coder; src/b by coder; src/z by coder"},

		{"an agent never sealed it", func(p *press) oid.ID {
			other := p.sealed("coder", "src/n=1")
			id := p.sealed("alice", "src/own=1", "src/a=own")
			p.rewrote("alice", "amend", id, other)
			return id
		}, ""},
		{"nobody sealed what it is said to come of", func(p *press) oid.ID {
			id := p.sealed("alice", "src/own=1")
			p.rewrote("alice", "amend", id, p.never(1))
			return id
		}, ""},
		{"own lines that an own seal has elsewhere", func(p *press) oid.ID {
			p.branch("aside", "HEAD")
			p.sealed("alice", "src/n=1\nown\n2")
			p.on("main")
			return p.again("amend", []oid.ID{p.sealed("coder", "src/n=1\n2")}, "src/n=1\nown\n2")
		}, "src/n by coder but for [{2 2}]"},
		{"another says that it was rewritten", func(p *press) oid.ID {
			of := p.sealed("coder", "src/n=1")
			p.git("reset", "-q", "--soft", "HEAD~1")
			id := p.staged("alice")
			p.rewrote("coder", "amend", id, of)
			return id
		}, ""},
		{"another adds to what she says", func(p *press) oid.ID {
			of := p.sealed("coder", "src/n=1")
			p.git("reset", "-q", "--soft", "HEAD~1")
			id := p.staged("alice")
			p.rewrote("alice", "amend", id, p.never(1))
			p.rewrote("coder", "amend", id, of)
			return id
		}, ""},
		{"who vouches for it says that it was another's", func(p *press) oid.ID {
			p.everywhere()
			of := p.sealed("mallory", "src/n=1")
			p.git("reset", "-q", "--soft", "HEAD~1")
			id := p.staged("coder")
			p.seal("alice", prov.Vouching, "HEAD")
			p.rewrote("alice", "amend", id, of)
			return id
		}, ""},
		{"another says what an old one came to be out of", func(p *press) oid.ID {
			of := p.sealed("coder", "src/n=1\n2\n3")
			p.git("reset", "-q", "--hard", "HEAD~1")
			mid := p.sealed("alice", "src/n=1\n2")
			p.rewrote("coder", "amend", mid, of)
			return p.again("amend", []oid.ID{mid}, "src/n=1\n2\n3", "src/m=1")
		}, ""},
		{"an agent rewrites a person's, and says it was its own", func(p *press) oid.ID {
			of := p.sealed("alice", "src/n=1")
			p.git("reset", "-q", "--soft", "HEAD~1")
			id := p.sealed("coder", "src/n=1\n2")
			p.rewrote("coder", "amend", id, of)
			return id
		}, "src/n by alice but for [{2 2}]"},
		{"who seals an old one after it was rewritten", func(p *press) oid.ID {
			of := p.sealed("alice", "src/n=1")
			p.git("reset", "-q", "--soft", "HEAD~1")
			id := p.sealed("alice", "src/n=1\n2")
			p.rewrote("alice", "amend", id, of)
			p.git("switch", "-q", "--detach", of.String())
			p.lies("coder")
			p.on("main")
			return id
		}, ""},
		{"who sealed an old one as if it were the new one", func(p *press) oid.ID {
			base := p.parse(p.git("rev-parse", "HEAD"))
			of := p.put("src/n=1")
			p.git("reset", "-q", "--soft", "HEAD~1")
			id := p.put("src/n=1\n2")
			k := p.sealer(p.session(), "coder")
			c, err := k.Session.Commit(id.String())
			if err != nil {
				p.t.Fatal(err)
			}
			c.ID, c.Parents = of, []oid.ID{base}
			if _, err := k.Seal(context.Background(), prov.Witness, "refs/heads/main", []git.Commit{c}); err != nil {
				p.t.Fatal(err)
			}
			p.seal("alice", prov.Witness, "HEAD")
			p.rewrote("alice", "amend", id, of)
			return id
		}, ""},
		{"who brought it calls it a reseal", func(p *press) oid.ID {
			of := p.sealed("alice", "src/n=1")
			p.git("reset", "-q", "--soft", "HEAD~1")
			id := p.staged("coder")
			p.rewrote("coder", prov.Reseal, id, of)
			return id
		}, "src/n by alice"},
		{"a circle", func(p *press) oid.ID {
			of := p.sealed("coder", "src/n=1")
			id := p.again("amend", []oid.ID{of})
			p.rewrote("coder", "amend", of, id)
			return id
		}, "src/n by coder"},
		{"an agent amends its own, and a person squashes that", func(p *press) oid.ID {
			return p.again("squash", []oid.ID{p.amended("coder", p.sealed("coder", "src/n=1"), "src/n=2")})
		}, "src/n by coder"},
		{"an agent amends another's, and a person squashes that, with lines of her own", func(p *press) oid.ID {
			p.everywhere()
			first := p.sealed("coder", "src/n=1\n2", "src/c=1", "src/m=1")
			return p.again("squash", []oid.ID{p.amended("mallory", first, "src/n=1\n2\n3", "src/m=2", "src/o=1")}, "src/n=1\n2\n3\nown")
		}, "src/c by coder; src/m by mallory; src/n by coder+mallory but for [{4 4}]; src/o by mallory"},
		{"who rewrote it twice made no more of it than was new", func(p *press) oid.ID {
			p.everywhere()
			mid := p.amended("mallory", p.sealed("coder", "src/n=1\n2"))
			return p.again("squash", []oid.ID{p.amended("mallory", mid, "src/m=1")})
		}, "src/m by mallory; src/n by coder"},
		{"what a person amended between agents is hers", func(p *press) oid.ID {
			p.everywhere()
			mid := p.amended("alice", p.sealed("coder", "src/n=1\n2"), "src/own=1")
			return p.again("squash", []oid.ID{p.amended("mallory", mid)})
		}, "src/n by coder"},
		{"what she took away stays hers, beside lines of a conflict", func(p *press) oid.ID {
			p.branch("aside", "HEAD")
			p.sealed("coder", "src/n=x")
			two := p.sealed("coder", "src/n=x\nextra")
			p.on("main")
			p.sealed("alice", "src/n=1\n2\n3\n4\n5\n6")
			one := p.sealed("coder", "src/n=1\n2\n3\n4\nfive\n6")
			id := p.again("squash", []oid.ID{one}, "src/n=1\n3\n4\nfive\n6\nextra")
			p.rewrote("alice", "squash", id, two)
			return id
		}, "src/n by coder but for []"},
		{"another seals it, too, and says the same", func(p *press) oid.ID {
			p.everywhere()
			of := p.sealed("coder", "src/n=1\n2")
			id := p.again("amend", []oid.ID{of})
			p.lies("mallory")
			p.rewrote("mallory", "amend", id, of)
			return id
		}, "src/n by coder"},
		{"another agent seals it, too, and says the same", func(p *press) oid.ID {
			p.everywhere()
			of := p.sealed("mallory", "src/n=1\n2")
			id := p.again("amend", []oid.ID{of})
			p.lies("coder")
			p.rewrote("coder", "amend", id, of)
			return id
		}, "src/n by mallory"},
		{"another had sealed the old one, too, after its maker", func(p *press) oid.ID {
			p.everywhere()
			of := p.sealed("coder", "src/n=1\n2")
			p.lies("mallory")
			return p.again("amend", []oid.ID{of})
		}, "src/n by coder"},
		{"another agent had sealed the old one, too, after its maker", func(p *press) oid.ID {
			p.everywhere()
			of := p.sealed("mallory", "src/n=1\n2")
			p.lies("coder")
			return p.again("amend", []oid.ID{of})
		}, "src/n by mallory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPress(t)
			id := c.make(p)
			if r := p.verdict(id, "HEAD"); r.Verdict != verdict.Sealed || len(r.Made) > 0 {
				t.Fatalf("%s: %s, made %v although nobody asked", id.Short(), codes(r), r.Made)
			}
			p.look(id, "HEAD", true) // as verify remembers it
			for _, how := range []string{"fresh", "first", "remembered"} {
				if got := p.madeOf(id, how != "fresh"); got != c.want {
					t.Errorf("%s: %q, want %q", how, got, c.want)
				}
			}
		})
	}
}

// TestOriginalsOfDerived: a squash of what somebody had rewritten is told by the same, and by no claim.
func TestOriginalsOfDerived(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(p *press) oid.ID // on the branch, by alice
		want string
	}{
		{"an amend with own lines", func(p *press) oid.ID {
			return p.again("amend", []oid.ID{p.sealed("coder", "src/n=1\n2")}, "src/n=1\nown\n2")
		}, "alice+coder, rewritten by alice"},
		{"two of two agents that became one", func(p *press) oid.ID {
			p.everywhere()
			return p.again("rebase", []oid.ID{p.sealed("coder", "src/n=1"), p.sealed("mallory", "src/n=1\n2")})
		}, "coder+mallory, rewritten by alice"},
		{"an agent's, resealed", func(p *press) oid.ID {
			p.everywhere()
			one, two := p.sealed("coder", "src/n=1"), p.sealed("mallory", "src/n=1\n2")
			p.git("reset", "-q", "--soft", "HEAD~2")
			id := p.made("button")
			p.rewrote("alice", prov.Reseal, id, one)
			p.rewrote("alice", prov.Reseal, id, two)
			p.seal("alice", prov.Vouching, "HEAD")
			return id
		}, "coder+mallory"},
		{"an agent never sealed it", func(p *press) oid.ID {
			other := p.sealed("coder", "src/other=1")
			id := p.sealed("alice", "src/n=1")
			p.rewrote("alice", "amend", id, other)
			return id
		}, "alice"},
		{"another says that it was rewritten", func(p *press) oid.ID {
			other := p.sealed("coder", "src/n=1")
			id := p.again("amend", []oid.ID{p.sealed("alice", "src/n=1\n2")}, "src/n=1\nown\n2")
			p.rewrote("coder", "amend", id, other)
			return id
		}, "alice+coder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newPress(t)
			p.branch("work", "HEAD")
			c.make(p)
			p.on("main")
			id := p.gone("work")
			if r := p.verdict(id, "HEAD"); r.Verdict != verdict.Derived || len(r.Covers) == 0 || len(r.Covers[0].Made) > 0 {
				t.Fatalf("%s: %s, made of %v although nobody asked", id.Short(), codes(r), r.Covers)
			}
			p.look(id, "HEAD", true) // as verify remembers it
			for _, how := range []string{"fresh", "first", "remembered"} {
				r := p.asked(id, how != "fresh")
				made, rewrote := r.Makers("src/n")
				var names []string
				for _, m := range made {
					names = append(names, m.Name)
				}
				slices.Sort(names)
				got := strings.Join(names, "+")
				if rewrote != nil {
					got += ", rewritten by " + rewrote.Name
				}
				if got != c.want {
					t.Errorf("%s: %q, want %q", how, got, c.want)
				}
			}
		})
	}
}

// TestCopiedSeal: a seal that only the note has stays that of the commit that it names, whoever says that the commit came to be out of itself.
func TestCopiedSeal(t *testing.T) {
	t.Parallel()
	p := newPress(t)
	p.everywhere()
	id := p.sealed("coder", "src/n=1")
	for _, ref := range p.ledgers("provenance", "coder") {
		p.git("update-ref", "-d", ref)
	}
	for i := range 2 {
		if r := p.verdict(id, "HEAD"); !has(r.Findings, verdict.SealUnledgered) {
			t.Errorf("%d: %s", i, codes(r))
		}
		p.rewrote("mallory", "amend", id, p.never(1))
		p.rewrote("mallory", "amend", p.never(1), id)
	}
}
