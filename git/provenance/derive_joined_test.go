package provenance_test

import (
	"testing"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// Joining brings nothing of who may not, also where the branch is gone, and with it what its sides had.
func TestDerivedJoinedGone(t *testing.T) {
	for name, c := range map[string]struct {
		who     string
		updates int
		want    verdict.Verdict
	}{
		"by who may":                    {"coder", 1, verdict.Derived},
		"by who may not":                {"mallory", 1, verdict.Unsealed},
		"by who may, updated twice":     {"coder", 2, verdict.Derived},
		"by who may not, updated twice": {"mallory", 2, verdict.Unsealed},
	} {
		p := newPress(t)
		p.agent()
		p.sealed("alice", doc())
		p.branch("agent/x", "HEAD")
		edits := [][2]string{{doc("10=branch"), doc("2=main")}, {doc("2=main", "10=branch", "14=more"), doc("2=main", "6=more")}}
		for _, e := range edits[:c.updates] {
			p.sealedOn(c.who, "refs/heads/agent/x", e[0])
			p.on("main")
			p.sealed("alice", e[1])
			p.on("agent/x")
			p.git("merge", "-q", "--no-ff", "-m", "update", "main")
			p.head("update")
			p.seal("coder", prov.Witness, "HEAD")
		}
		p.on("main")
		id := p.gone("agent/x")
		p.git("reflog", "expire", "--expire=all", "--all")
		p.git("gc", "-q", "--prune=now")
		if r := p.look(id, "HEAD", false); r.Verdict != c.want {
			t.Errorf("%s: %s", name, codes(r))
		}
	}
}
