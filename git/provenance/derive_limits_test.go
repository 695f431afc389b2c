package provenance_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// limited is what is said of a commit of HEAD where less is looked at for what was applied to other content; 0 is as much as ever.
func (p *press) limited(id oid.ID, steps, bytes int) verdict.Verdict {
	p.t.Helper()
	s := p.session()
	span, err := provenance.ParseSpan(s, "HEAD")
	if err != nil {
		p.t.Fatal(err)
	}
	rep, err := provenance.Verify(context.Background(), s, span, provenance.Options{Pin: p.pin, Now: p.clock}.WithPortLimits(steps, bytes))
	if err != nil {
		p.t.Fatal(err)
	}
	for r, err := range rep.Results {
		if err != nil {
			p.t.Fatal(err)
		}
		if r.Commit == id {
			return r.Verdict
		}
	}
	p.t.Fatalf("%s is not in HEAD", id)
	return ""
}

// mergeOf is a merge by a button where both sides changed the lines of so many files.
func (p *press) mergeOf(files int) oid.ID {
	p.t.Helper()
	all := func(edits ...string) []string {
		var out []string
		for i := range files {
			out = append(out, strings.Replace(doc(edits...), "src/a=", fmt.Sprintf("src/f%d=", i), 1))
		}
		return out
	}
	p.sealed("alice", all()...)
	p.branch("work", "HEAD")
	p.sealed("coder", all("10=x")...)
	p.on("main")
	p.sealed("alice", all("2=main")...)
	return p.merge("work")
}

// The limit of what is looked at for one commit is the commit's: a merge of many paths has it once, not for each.
func TestPortLimitOfAMerge(t *testing.T) {
	const steps = 3000 // more than enough for one of the paths
	for _, c := range []struct {
		files, steps int
		want         verdict.Verdict
	}{{1, steps, verdict.Derived}, {24, steps, verdict.Unsealed}, {24, 24 * steps, verdict.Derived}} {
		p := newPress(t)
		id := p.mergeOf(c.files)
		if got := p.limited(id, c.steps, 0); got != c.want {
			t.Errorf("%d files, %d steps: %s, want %s", c.files, c.steps, got, c.want)
		}
	}
}

// What is found again is kept up to so many bytes: what goes on from content past that is not found.
func TestPortLimitOfFound(t *testing.T) {
	p := newPress(t)
	id := p.rebased()
	size := len(doc()) // about what one of the contents has
	for _, c := range []struct {
		bytes int
		want  verdict.Verdict
	}{{size / 2, verdict.Unsealed}, {100 * size, verdict.Derived}, {0, verdict.Derived}} {
		if got := p.limited(id, 0, c.bytes); got != c.want {
			t.Errorf("%d bytes: %s, want %s", c.bytes, got, c.want)
		}
	}
}

// What was read, and what was compared, is kept up to so many bytes, and what comes last in any case.
func TestPortLimitOfKept(t *testing.T) {
	p := newPress(t)
	var ids []oid.ID
	size := 0
	for i := range 40 {
		text := doc(fmt.Sprintf("10=%d", i))
		size = max(size, len(text))
		ids = append(ids, p.parse(p.gitIn(text, "hash-object", "-w", "--stdin")))
	}
	limit := 8 * size
	texts, compared := provenance.PortsKeep(p.session(), limit, ids)
	if texts <= 0 || texts > limit || compared <= 0 || compared > limit {
		t.Errorf("%d and %d bytes are kept, of %d", texts, compared, limit)
	}
	texts, compared = provenance.PortsKeep(p.session(), 0, ids)
	if texts < 39*(size-5) || compared < texts {
		t.Errorf("%d and %d bytes are kept, where there is room for all", texts, compared)
	}
}

// What a merge joined is its maker's for no lack of steps or of room: where it can't be told what both sides made of it, nothing covers it.
func TestPortLimitOfJoined(t *testing.T) {
	long := func(edits ...string) string {
		var b strings.Builder
		for i := range 1100 {
			fmt.Fprintf(&b, "\nlong %d %s", i, strings.Join(edits, ""))
		}
		return b.String()
	}
	for name, c := range map[string]struct {
		who   string // seals the branch's change
		much  string // that the branch changes besides
		steps int
		want  verdict.Verdict
	}{
		"by who may":                      {"coder", "", 0, verdict.Derived},
		"by who may not":                  {"mallory", "", 0, verdict.Unsealed},
		"by who may not, no step is left": {"mallory", "", 1, verdict.Unsealed},
		"by who may not, few are":         {"mallory", "", 150, verdict.Unsealed},
		"by who may not, over more lines than are compared": {"mallory", "more", 0, verdict.Unsealed},
	} {
		p := newPress(t)
		p.agent()
		p.sealed("alice", doc()+long())
		p.branch("agent/x", "HEAD")
		p.sealedOn(c.who, "refs/heads/agent/x", doc("10=branch")+long(c.much))
		p.on("main")
		p.sealed("alice", doc("2=main")+long())
		p.on("agent/x")
		p.git("merge", "-q", "--no-ff", "-m", "update", "main")
		p.head("update")
		p.seal("coder", prov.Witness, "HEAD")
		p.on("main")
		id := p.squash("agent/x")
		if got := p.limited(id, c.steps, 0); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
