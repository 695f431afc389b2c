package verdict_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// now is when everything is judged; moments are hours before and after.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func clock(hours int) string { return envelope.Timestamp(now.Add(time.Duration(hours) * time.Hour)) }

// asker answers as it is told, and remembers what it was asked.
type asker struct {
	allow func(capability.Query) bool
	asked []capability.Query
}

func (a *asker) Decide(q capability.Query) capability.Decision {
	a.asked = append(a.asked, q)
	if a.allow(q) {
		return capability.Decision{Allowed: true}
	}
	return capability.Decision{Reason: "no"}
}

// people are known by their keys: a name and a kind.
var people = map[string]verdict.Principal{
	"ada":   {Name: "ada", Kind: "human", Accountable: "ada", Key: "ada"},
	"ada2":  {Name: "ada", Kind: "human", Accountable: "ada", Key: "ada2"},
	"ben":   {Name: "ben", Kind: "human", Accountable: "ben", Key: "ben"},
	"ci":    {Name: "ci", Kind: "automation", Accountable: "ci", Key: "ci"},
	"coder": {Name: "coder", Kind: "agent", Accountable: "ada", Key: "coder"},
}

func world(policy string, allow func(capability.Query) bool) (*verdict.World, *asker) {
	p, err := trust.ParsePolicy([]byte(policy))
	if err != nil {
		panic(err)
	}
	a := &asker{allow: allow}
	return &verdict.World{
		Authority: a,
		Principal: func(key string) (verdict.Principal, bool) { p, ok := people[key]; return p, ok },
		Emails:    func(key string) []string { return []string{key + "@example.com"} },
		Operator:  func(key string) bool { return true },
		Holds:     func([]envelope.Digest, string) bool { return true },
		Left:      func(string, time.Time) bool { return false },
		Policy:    p,
		Chains:    map[string]*verdict.Chain{},
	}, a
}

var commit, _ = oid.Parse(strings.Repeat("a", 40))

func sealBy(key string, mode provenance.Mode) verdict.ExamSeal {
	return verdict.ExamSeal{
		ID: envelope.Digest("sha256:" + strings.Repeat("5", 64)), KeyID: key, Time: clock(-10), Opened: true, Claimed: people[key],
		Mode: mode, Ref: "refs/heads/claimed",
	}
}

func paths(list ...string) []pluginapi.Change {
	var out []pluginapi.Change
	for _, p := range list {
		out = append(out, pluginapi.Change{Path: []byte(p), Status: "M", OldMode: "100644", NewMode: "100644"})
	}
	return out
}

func found(list []verdict.Finding) string {
	var out []string
	for _, f := range list {
		out = append(out, strings.TrimSuffix(string(f.Code)+" "+f.Path, " "))
	}
	return strings.Join(out, ", ")
}

const protected = `{"version":1,"protected":["refs/heads/main"]}`

// Authority is asked as of an admission by somebody else, then now, then as of the
// second before the seal was first seen; the first answer yes ends it.
func TestMomentsAsked(t *testing.T) {
	never := func(capability.Query) bool { return false }
	for _, c := range []struct {
		name  string
		exam  verdict.Exam
		seen  verdict.Seen
		allow func(capability.Query) bool
		want  []string // action, hours from now, the hour revocations end to count, ref
		ok    bool
	}{
		{"nothing is known", verdict.Exam{}, verdict.Seen{}, never, []string{"repo.commit 0 - refs/heads/main"}, false},
		{"allowed now", verdict.Exam{}, verdict.Seen{KeyID: "ada", Time: clock(-5)}, func(q capability.Query) bool { return q.At.Equal(now) }, []string{"repo.commit 0 - refs/heads/main"}, true},
		{"seen", verdict.Exam{}, verdict.Seen{KeyID: "ada", Time: clock(-5)}, never, []string{"repo.commit 0 - refs/heads/main", "repo.commit -5-1s - refs/heads/main"}, false},
		{"seen in the future", verdict.Exam{}, verdict.Seen{KeyID: "ada", Time: clock(5)}, never, []string{"repo.commit 0 - refs/heads/main"}, false},
		{"seen at no time", verdict.Exam{}, verdict.Seen{KeyID: "ada", Time: "yesterday"}, never, []string{"repo.commit 0 - refs/heads/main"}, false},
		{
			"admitted by who may not",
			verdict.Exam{Admissions: []verdict.Admission{{KeyID: "ada", Ref: "refs/heads/main", Time: clock(-3), Action: capability.Push}}},
			verdict.Seen{},
			never,
			[]string{"repo.push -3 - refs/heads/main", "repo.commit 0 - refs/heads/main"},
			false,
		},
		{
			"admitted",
			verdict.Exam{Admissions: []verdict.Admission{{KeyID: "ada", Ref: "refs/heads/main", Time: clock(-3), Action: capability.Push}}},
			verdict.Seen{},
			func(q capability.Query) bool { return q.At.Before(now) },
			[]string{"repo.push -3 - refs/heads/main", "repo.commit -3 -3 refs/heads/main"},
			true,
		},
		{
			"admitted to another protected ref than the one looked at",
			verdict.Exam{Admissions: []verdict.Admission{{KeyID: "ci", Ref: "refs/heads/main", Time: clock(-3), Action: capability.Push}}, Ref: "refs/heads/topic"},
			verdict.Seen{},
			func(q capability.Query) bool { return q.Action == capability.Push },
			[]string{"repo.push -3 - refs/heads/main", "repo.commit -3 -3 refs/heads/main", "repo.commit 0 - refs/heads/topic"},
			false,
		},
		{
			"admitted, and brought in by a merge",
			verdict.Exam{Admissions: []verdict.Admission{{KeyID: "ada", Ref: "refs/heads/main", Time: clock(-3), Action: capability.Push}}, Side: true},
			verdict.Seen{},
			func(q capability.Query) bool { return q.At.Before(now) },
			[]string{"repo.push -3 - refs/heads/main", "repo.commit -3 -3 refs/heads/claimed"},
			true,
		},
		{"admitted where nothing is protected", verdict.Exam{Admissions: []verdict.Admission{{KeyID: "ada", Ref: "refs/heads/x", Time: clock(-3), Action: capability.Push}}}, verdict.Seen{}, never, []string{"repo.commit 0 - refs/heads/main"}, false},
		{"admitted by itself", verdict.Exam{Admissions: []verdict.Admission{{KeyID: "coder", Ref: "refs/heads/main", Time: clock(-3), Action: capability.Push}}}, verdict.Seen{}, never, []string{"repo.commit 0 - refs/heads/main"}, false},
		{"admitted by nobody known", verdict.Exam{Admissions: []verdict.Admission{{KeyID: "eve", Ref: "refs/heads/main", Time: clock(-3), Action: capability.Push}}}, verdict.Seen{}, never, []string{"repo.commit 0 - refs/heads/main"}, false},
		{"admitted in the future", verdict.Exam{Admissions: []verdict.Admission{{KeyID: "ada", Ref: "refs/heads/main", Time: clock(3), Action: capability.Push}}}, verdict.Seen{}, never, []string{"repo.commit 0 - refs/heads/main"}, false},
		{"brought in by a merge", verdict.Exam{Side: true}, verdict.Seen{}, never, []string{"repo.commit 0 - refs/heads/claimed"}, false},
	} {
		w, a := world(protected, c.allow)
		s := sealBy("coder", provenance.Witness)
		s.Seen = c.seen
		e := c.exam
		e.Commit, e.Committer, e.Seals = commit, "coder@example.com", []verdict.ExamSeal{s}
		if e.Ref == "" {
			e.Ref = "refs/heads/main"
		}
		r := e.Judge(w, now)
		if r.Verdict.OK() != c.ok {
			t.Errorf("%s: %s %s", c.name, r.Verdict, found(r.Findings))
		}
		var asked []string
		for _, q := range a.asked {
			ended := "-"
			if !q.EndedBy.IsZero() {
				ended = hour(q.EndedBy)
			}
			asked = append(asked, fmt.Sprintf("%s %s %s %s", q.Action, hour(q.At), ended, q.Ref))
		}
		if !slices.Equal(asked, c.want) {
			t.Errorf("%s: asked %q", c.name, asked)
		}
	}
}

// hour tells a moment in hours from now, and whether it is the second before.
func hour(m time.Time) string {
	d := m.Sub(now)
	if d%time.Hour == -time.Second {
		return fmt.Sprintf("%d-1s", int((d + time.Second).Hours()))
	}
	return fmt.Sprint(int(d.Hours()))
}

func TestDemands(t *testing.T) {
	all := func(capability.Query) bool { return true }
	for _, c := range []struct {
		name, policy string
		key          string
		mode         provenance.Mode
		ref          string
		side         bool
		touched      []pluginapi.Change
		want         string
	}{
		{"no policy", `{"version":1}`, "coder", provenance.Vouching, "refs/heads/main", false, paths("a"), ""},
		{"modes", `{"version":1,"protected":["refs/heads/*"],"modes":["witness"]}`, "coder", provenance.Vouching, "refs/heads/main", false, paths("a"), "policy.mode"},
		{"modes, and it is witnessed", `{"version":1,"protected":["refs/heads/*"],"modes":["witness"]}`, "coder", provenance.Witness, "refs/heads/main", false, paths("a"), ""},
		{"modes elsewhere", `{"version":1,"protected":["refs/heads/main"],"modes":["witness"]}`, "coder", provenance.Vouching, "refs/heads/x", false, paths("a"), ""},
		{"modes on no ref that is known", `{"version":1,"protected":["refs/heads/main"],"modes":["witness"]}`, "coder", provenance.Vouching, "", false, paths("a"), ""},
		{"brought in from a ref nobody protects", `{"version":1,"protected":["refs/heads/main"],"modes":["witness"]}`, "coder", provenance.Vouching, "refs/heads/main", true, paths("a"), ""},
		{"brought in from a protected ref", `{"version":1,"protected":["refs/heads/*"],"modes":["witness"]}`, "coder", provenance.Vouching, "refs/heads/x", true, paths("a"), "policy.mode"},
		{
			"rules for paths", `{"version":1,"protected":["refs/heads/main"],"rules":[{"paths":["deploy/**"],"principals":["ada","ben"]},{"paths":["law/*"],"kinds":["human"]},{"paths":["keys/**","deploy/k"],"modes":["witness"]}]}`,
			"coder", provenance.Vouching, "refs/heads/main", false, paths("deploy/a", "deploy/k", "keys/a", "law/a", "law/a/b", "src"),
			"policy.path deploy/a, policy.path deploy/k, policy.mode deploy/k, policy.mode keys/a, policy.path law/a",
		},
		{"evidence and reviews, once each", `{"version":1,"protected":["refs/heads/main"],"evidence":["test"],"reviews":1,"rules":[{"paths":["**"],"evidence":["fuzz","test"],"reviews":3}]}`, "ada", provenance.Witness, "refs/heads/main", false, paths("a", "b"), "evidence.missing, evidence.missing, policy.review"},
	} {
		w, _ := world(c.policy, all)
		e := verdict.Exam{Commit: commit, Committer: c.key + "@example.com", Ref: c.ref, Side: c.side, Touched: c.touched, Seals: []verdict.ExamSeal{sealBy(c.key, c.mode)}}
		r := e.Judge(w, now)
		if got := found(r.Findings); got != c.want || (r.Verdict == verdict.Sealed) != (c.want == "") {
			t.Errorf("%s: %s %s", c.name, r.Verdict, got)
		}
	}
	// However many paths break rules, what is told has an end.
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("deploy/%03d", i))
	}
	w, _ := world(`{"version":1,"protected":["refs/heads/main"],"rules":[{"paths":["deploy/**"],"principals":["ada"]}]}`, all)
	r := verdict.Exam{Commit: commit, Committer: "coder@example.com", Ref: "refs/heads/main", Touched: paths(many...), Seals: []verdict.ExamSeal{sealBy("coder", provenance.Witness)}}.Judge(w, now)
	if n := len(r.Findings); n != 51 || !strings.Contains(r.Findings[50].Message, "150 more") {
		t.Errorf("%d findings, the last %+v", n, r.Findings[n-1])
	}
}

func TestExemptions(t *testing.T) {
	const humans = `{"version":1,"exempt":["human"],"protected":["refs/heads/main"]}`
	all := func(capability.Query) bool { return true }
	left := func(since int) func(string, time.Time) bool {
		return func(_ string, m time.Time) bool { return !m.Before(now.Add(time.Duration(since) * time.Hour)) }
	}
	admitted := []verdict.Admission{{KeyID: "ada", Ref: "refs/heads/main", Time: clock(-3), Action: capability.Push}}
	for _, c := range []struct {
		name, policy string
		exam         verdict.Exam
		left         func(string, time.Time) bool
		want         verdict.Verdict
	}{
		{"a human", humans, verdict.Exam{Signer: "ben"}, nil, verdict.Exempt},
		{"no policy", `{"version":1}`, verdict.Exam{Signer: "ben"}, nil, verdict.Unsealed},
		{"no signature", humans, verdict.Exam{}, nil, verdict.Unsealed},
		{"an agent", humans, verdict.Exam{Signer: "coder"}, nil, verdict.Unsealed},
		{"automation", humans, verdict.Exam{Signer: "ci"}, nil, verdict.Unsealed},
		{"nobody known", humans, verdict.Exam{Signer: "eve"}, nil, verdict.Unsealed},
		{"gone", humans, verdict.Exam{Signer: "ben"}, left(-1), verdict.Unsealed},
		{"gone after somebody took it in", humans, verdict.Exam{Signer: "ben", Admissions: admitted}, left(-1), verdict.Exempt},
		{"gone before somebody took it in", humans, verdict.Exam{Signer: "ben", Admissions: admitted}, left(-5), verdict.Unsealed},
		{"gone after taking it in, with another key", humans, verdict.Exam{Signer: "ada2", Admissions: admitted}, left(-1), verdict.Unsealed},
		{"refused to an agent", humans, verdict.Exam{Signer: "ben", Denied: []verdict.Denial{{KeyID: "coder"}}}, nil, verdict.Invalid},
		{"refused to the human", humans, verdict.Exam{Signer: "ada", Denied: []verdict.Denial{{KeyID: "ada2"}}}, nil, verdict.Exempt},
		{"damaged", humans, verdict.Exam{Signer: "ben", Deep: []verdict.Finding{{Code: verdict.ObjectHash}}}, nil, verdict.Unsealed},
		{"older than governance", humans, verdict.Exam{Signer: "ben", Before: true}, nil, verdict.Before},
		{"sealed too", humans, verdict.Exam{Signer: "ben", Committer: "ada@example.com", Seals: []verdict.ExamSeal{sealBy("ada", provenance.Witness)}}, nil, verdict.Sealed},
	} {
		w, _ := world(c.policy, all)
		if c.left != nil {
			w.Left = c.left
		}
		e := c.exam
		e.Commit, e.Ref = commit, "refs/heads/main"
		r := e.Judge(w, now)
		if r.Verdict != c.want {
			t.Errorf("%s: %s %s", c.name, r.Verdict, found(r.Findings))
		}
		if r.Verdict == verdict.Exempt && (len(r.Findings) > 0 || r.Principal == nil || r.Principal.Key != e.Signer || r.SealID != "") {
			t.Errorf("%s: %+v", c.name, r)
		}
	}

	// What somebody claims to have sealed, or nobody can say the changes of, has no signer.
	w, _ := world(humans, all)
	other, _ := oid.Parse(strings.Repeat("b", 40))
	seal := func(of oid.ID) *provenance.Seal {
		return provenance.NewSeal(of, of, provenance.Predicate{})
	}
	for _, c := range []struct {
		name   string
		commit verdict.Commit
		signer string
	}{
		{"nothing", verdict.Commit{}, "ben"},
		{"junk in a note", verdict.Commit{Candidates: []verdict.Candidate{{InNote: true, Err: envelope.ErrSignature}}}, "ben"},
		{"another commit's seal in a note", verdict.Commit{Candidates: []verdict.Candidate{{KeyID: "coder", Seal: seal(other)}}}, "ben"},
		{"a seal in a note", verdict.Commit{Candidates: []verdict.Candidate{{InNote: true, KeyID: "coder", Seal: seal(commit)}}}, ""},
		{"a seal of another repository in a ledger", verdict.Commit{Candidates: []verdict.Candidate{{Ledger: "provenance/x", KeyID: "coder", Err: envelope.ErrRepository}}}, ""},
		{"no diff", verdict.Commit{DiffErr: fmt.Errorf("missing")}, ""},
	} {
		vc := c.commit
		vc.ID, vc.Tree, vc.Signer = commit, commit, "ben"
		e := verdict.Examine(w, &vc)
		if e.Signer != c.signer {
			t.Errorf("%s: signer %q", c.name, e.Signer)
		}
		if r := e.Judge(w, now); (r.Verdict == verdict.Exempt) != (c.signer != "") {
			t.Errorf("%s: %s %s", c.name, r.Verdict, found(r.Findings))
		}
	}
}
