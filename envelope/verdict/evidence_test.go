package verdict_test

import (
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// Whose evidence counts under a policy, how old it may be, and when its age is asked for.
func TestEvidence(t *testing.T) {
	at := func(ago time.Duration) string { return envelope.Timestamp(now.Add(-ago)) }
	proof := func(key string, passed bool, ago time.Duration, order int, argv ...string) verdict.Proof {
		p := verdict.Proof{ID: envelope.Digest("sha256:" + key), KeyID: key, Name: "test", Argv: argv, Passed: passed, Time: at(ago), Order: order}
		if !passed {
			p.Exit = 1
		}
		return p
	}
	const (
		any   = `{"version":1,"protected":["refs/heads/main"],"evidence":["test"]}`
		fresh = `{"version":1,"protected":["refs/heads/main"],"evidence":["test"],"checks":[{"name":"test","maxAge":"24h"}]}`
		human = `{"version":1,"protected":["refs/heads/main"],"evidence":["test"],"checks":[{"name":"test","kinds":["human"]}]}`
		exact = `{"version":1,"protected":["refs/heads/main"],"evidence":["test"],"checks":[{"name":"test","command":["go","test"]}]}`
		some  = `{"version":1,"protected":["refs/heads/main"],"rules":[{"paths":["core/**"],"evidence":["test"]}]}`
	)
	hour := time.Hour
	in := func(dir string, p verdict.Proof) verdict.Proof { p.Dir = dir; return p }
	seen := func(p verdict.Proof, ago time.Duration) verdict.Proof { p.Seen = at(ago); return p }
	for _, c := range []struct {
		name, policy, path, want string
		admitted                 time.Duration // ago; 0: not
		proofs                   []verdict.Proof
	}{
		{name: "none", policy: any, want: "evidence.missing"},
		{name: "anybody's", policy: any, proofs: []verdict.Proof{proof("coder", true, 1000*hour, 1)}},
		{name: "of another name", policy: any, want: "evidence.missing", proofs: []verdict.Proof{{KeyID: "ada", Name: "lint", Passed: true, Time: at(hour)}}},
		{name: "by nobody known", policy: any, want: "evidence.missing", proofs: []verdict.Proof{proof("mallory", true, hour, 1)}},
		{name: "it failed", policy: any, want: "evidence.failed", proofs: []verdict.Proof{proof("ada", false, hour, 1)}},
		{name: "it failed later", policy: any, want: "evidence.failed", proofs: []verdict.Proof{proof("ada", true, 2*hour, 1), proof("ada", false, hour, 2)}},
		{name: "later in the same second, by its place", policy: any, want: "evidence.failed", proofs: []verdict.Proof{proof("ada", false, hour, 9), proof("ada", true, hour, 8)}},
		{name: "it was mended", policy: any, proofs: []verdict.Proof{proof("ada", false, 2*hour, 1), proof("ada", true, hour, 2)}},
		{name: "somebody else's failure takes nothing back", policy: any, proofs: []verdict.Proof{proof("ada", true, 2*hour, 1), proof("coder", false, hour, 2)}},
		{name: "of another kind", policy: human, want: "evidence.author", proofs: []verdict.Proof{proof("coder", true, hour, 1)}},
		{name: "of another kind, which failed", policy: human, want: "evidence.missing", proofs: []verdict.Proof{proof("coder", false, hour, 1)}},
		{name: "of that kind", policy: human, proofs: []verdict.Proof{proof("coder", true, hour, 1), proof("ada", true, hour, 1)}},
		{name: "another command", policy: exact, want: "evidence.missing", proofs: []verdict.Proof{proof("ada", true, hour, 1, "true"), proof("ada", true, hour, 1, "go", "test", "./x"), proof("ada", true, hour, 1, "go test")}},
		{name: "that command, and another later", policy: exact, proofs: []verdict.Proof{proof("ada", true, 2*hour, 1, "go", "test"), proof("ada", false, hour, 2, "true")}},
		{name: "that command, and elsewhere later", policy: exact, proofs: []verdict.Proof{proof("ada", true, 2*hour, 1, "go", "test"), in("sub", proof("ada", false, hour, 2, "go", "test"))}},
		{name: "that command elsewhere", policy: exact, want: "evidence.missing", proofs: []verdict.Proof{in("sub", proof("ada", true, hour, 1, "go", "test"))}},
		{name: "that command failed, and passed elsewhere", policy: exact, want: "evidence.failed", proofs: []verdict.Proof{proof("ada", false, 2*hour, 1, "go", "test"), in("sub", proof("ada", true, hour, 2, "go", "test"))}},
		{name: "it failed, and passed elsewhere", policy: any, want: "evidence.failed", proofs: []verdict.Proof{proof("ada", false, 2*hour, 1), in("sub", proof("ada", true, hour, 2))}},
		{name: "it passed, and failed elsewhere", policy: any, want: "evidence.failed", proofs: []verdict.Proof{proof("ada", true, 2*hour, 1), in("sub", proof("ada", false, hour, 2))}},
		{name: "it passed everywhere", policy: any, proofs: []verdict.Proof{in("sub", proof("ada", false, 3*hour, 1)), proof("ada", true, 2*hour, 2), in("sub", proof("ada", true, hour, 3))}},
		{name: "it passed somewhere", policy: any, proofs: []verdict.Proof{in("sub", proof("ada", true, hour, 1))}},
		{name: "fresh", policy: fresh, proofs: []verdict.Proof{proof("ada", true, 23*hour, 1)}},
		{name: "too old", policy: fresh, want: "evidence.stale", proofs: []verdict.Proof{proof("ada", true, 25*hour, 1)}},
		{name: "too old now, and fresh when it came in", policy: fresh, admitted: 100 * hour, proofs: []verdict.Proof{proof("ada", true, 110*hour, 1)}},
		{name: "too old when it came in", policy: fresh, want: "evidence.stale", admitted: 100 * hour, proofs: []verdict.Proof{proof("ada", true, 130*hour, 1)}},
		{name: "seen by others when it came in", policy: fresh, admitted: 100 * hour, proofs: []verdict.Proof{seen(proof("coder", true, 110*hour, 1), 105*hour)}},
		{name: "seen as it came in", policy: fresh, admitted: 100 * hour, proofs: []verdict.Proof{seen(proof("coder", true, 110*hour, 1), 100*hour)}},
		{name: "said to be from before it came in", policy: fresh, want: "evidence.stale", admitted: 100 * hour, proofs: []verdict.Proof{proof("coder", true, 110*hour, 1)}},
		{name: "said so, and seen since", policy: fresh, want: "evidence.stale", admitted: 100 * hour, proofs: []verdict.Proof{seen(proof("coder", true, 110*hour, 1), 99*hour)}},
		{name: "made since", policy: fresh, want: "evidence.stale", admitted: 100 * hour, proofs: []verdict.Proof{proof("coder", true, 50*hour, 1)}},
		{name: "made since, by who let it in", policy: fresh, want: "evidence.stale", admitted: 100 * hour, proofs: []verdict.Proof{proof("ada", true, 50*hour, 1)}},
		{name: "made since, beside what was there", policy: fresh, admitted: 100 * hour, proofs: []verdict.Proof{seen(proof("coder", true, 110*hour, 1), 105*hour), proof("coder", true, 50*hour, 2)}},
		{name: "made now", policy: fresh, admitted: 100 * hour, proofs: []verdict.Proof{proof("coder", true, hour, 1)}},
		{name: "dated ahead", policy: fresh, want: "evidence.stale", proofs: []verdict.Proof{proof("ada", true, -hour, 1)}},
		{name: "clocks differ", policy: fresh, proofs: []verdict.Proof{proof("ada", true, -time.Minute, 1)}},
		{name: "of paths", policy: some, path: "core/a", want: "evidence.missing"},
		{name: "of other paths", policy: some, path: "docs/a"},
	} {
		w, _ := world(c.policy, func(capability.Query) bool { return true })
		w.Operator = func(key string) bool { return key == "ada" }
		path := c.path
		if path == "" {
			path = "a"
		}
		e := verdict.Exam{Commit: commit, Committer: "ada@example.com", Ref: "refs/heads/main", Touched: paths(path), Seals: []verdict.ExamSeal{sealBy("ada", provenance.Witness)}, Proofs: c.proofs}
		if c.admitted > 0 {
			e.Admissions = []verdict.Admission{{KeyID: "ada", Ref: "refs/heads/main", Time: at(c.admitted), Action: capability.Push}}
		}
		r := e.Judge(w, now)
		if got := found(r.Findings); got != c.want || (r.Verdict == verdict.Sealed) != (c.want == "") {
			t.Errorf("%s: %s %s", c.name, r.Verdict, got)
		}
	}
}
