package provenance_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// policy puts one in force, as alice.
func (w *world) policy(text string) {
	w.t.Helper()
	p, err := trust.ParsePolicy([]byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	w.adopted(func(r *trust.Root) error { r.Policy = p; return nil }, "alice")
}

// gitSign signs what Git would sign with ssh-keygen.
func (w *world) gitSign(who, namespace, payload string) string {
	w.t.Helper()
	cmd := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", filepath.Join(w.home, "keys", who))
	cmd.Env, cmd.Stdin = w.env, strings.NewReader(payload)
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("ssh-keygen: %v", err)
	}
	return string(out)
}

// payload is a commit object on HEAD without a signature.
func (w *world) payload(message string) string {
	head := w.git("rev-parse", "HEAD")
	return fmt.Sprintf("tree %s\nparent %s\nauthor Alice <alice@example.org> 1772366400 +0000\ncommitter Alice <alice@example.org> 1772366400 +0000\n\n%s\n",
		w.git("rev-parse", "HEAD^{tree}"), head, message)
}

// withHeader puts a header in front of the message.
func withHeader(payload, name, value string) string {
	head, message, _ := strings.Cut(payload, "\n\n")
	return head + "\n" + name + " " + strings.ReplaceAll(strings.TrimSuffix(value, "\n"), "\n", "\n ") + "\n\n" + message
}

// object writes a commit as it is, and moves main there.
func (w *world) object(raw string) oid.ID {
	w.t.Helper()
	id := w.gitIn(raw, "hash-object", "-t", "commit", "-w", "--literally", "--stdin")
	w.git("reset", "-q", "--soft", id)
	return w.oid("HEAD")
}

// one judges a commit as the newest of main.
func (w *world) one(id oid.ID, deep bool) verdict.Result {
	w.t.Helper()
	return w.judged(id, "refs/heads/main", provenance.Options{Deep: deep})
}

func (w *world) judged(id oid.ID, ref string, o provenance.Options) verdict.Result {
	w.t.Helper()
	s := w.session()
	defer func() { _ = s.Close() }()
	c, err := s.Commit(id.String())
	if err != nil {
		w.t.Fatal(err)
	}
	sp := provenance.One(c)
	sp.Ref, o.Pin = ref, w.pin
	if o.Now.IsZero() {
		o.Now = w.clock
	}
	rep, err := provenance.Verify(context.Background(), s, sp, o)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []verdict.Result
	for r, err := range rep.Results {
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, r)
	}
	if len(out) != 1 {
		w.t.Fatalf("%d results", len(out))
	}
	if o.Cache == nil {
		w.alike(sp, o, out, rep.Problems, nil)
	}
	return out[0]
}

func needKeygen(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("ssh-keygen is not installed")
	}
}

// governed is a world whose policy exempts humans; helper is a human and no operator, coder an agent.
func governed(t testing.TB, format, policy string) (w *world, header string) {
	t.Helper()
	needKeygen(t)
	w = newWorld(t, format)
	w.write("f", "from before\n")
	w.git("add", ".")
	w.made("before")
	w.found()
	w.introduce("coder")
	w.adopted(func(r *trust.Root) error { return r.Add("helper", "", nil, w.keys["helper"].Public()) }, "alice")
	w.policy(policy)
	header = "gpgsig"
	if format == "sha256" {
		header = "gpgsig-sha256"
	}
	return w, header
}

const exemptHumans = `{"version":1,"exempt":["human"],"protected":["refs/heads/main"]}`

// A human's commit passes when Git's own signature is over exactly this commit, whatever names it carries.
func TestExempt(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			w, header := governed(t, format, exemptHumans)
			other := map[string]string{"gpgsig": "gpgsig-sha256", "gpgsig-sha256": "gpgsig"}[header]

			w.git("-c", "gpg.format=ssh", "-c", "user.signingkey="+filepath.Join(w.home, "keys", "helper"), "-c", "user.name=Nobody", "commit", "-q", "--allow-empty", "-S", "-m", "by Git")
			byGit := w.oid("HEAD")
			for _, deep := range []bool{false, true} {
				r := w.one(byGit, deep)
				if r.Verdict != verdict.Exempt || r.Principal == nil || r.Principal.Name != "helper" || r.Principal.Key != w.keys["helper"].Public().ID() || r.SealID != "" || len(r.Findings) > 0 {
					t.Errorf("deep %v: %s %+v", deep, codes(r), r)
				}
			}
			if r := w.one(w.object(w.payload("no signature")), false); r.Verdict != verdict.Unsealed || !has(r.Findings, verdict.SealMissing) {
				t.Errorf("no signature: %s", codes(r))
			}

			p := w.payload("signed")
			parent := "parent " + w.git("rev-parse", "HEAD") + "\n"
			good := w.gitSign("helper", "git", p)
			byHand := w.object(withHeader(p, header, good))
			if r := w.one(byHand, true); r.Verdict != verdict.Exempt {
				t.Fatalf("made by hand: %s", codes(r))
			}
			w.write("../signers", "helper "+w.keys["helper"].Public().String()+"\n")
			w.git("-c", "gpg.ssh.allowedSignersFile="+filepath.Join(w.dir, "..", "signers"), "verify-commit", byHand.String()) // Git agrees
			big := w.payload(strings.Repeat("x", 1<<20))
			changed := strings.Replace(p, "signed", "another message", 1)
			oldTree := strings.Replace(p, "tree "+p[5:5+len(w.git("rev-parse", "HEAD^{tree}"))], "tree "+w.gitIn("", "mktree"), 1)
			for what, raw := range map[string]string{
				"of another commit":         withHeader(w.payload("another commit"), header, good),
				"a changed message":         withHeader(changed, header, good),
				"a changed tree":            withHeader(oldTree, header, good),
				"a changed committer":       withHeader(strings.Replace(p, "committer Alice", "committer Mallory", 1), header, good),
				"a header nobody signed":    withHeader(withHeader(p, header, good), "encoding", "latin1"),
				"by an agent":               withHeader(p, header, w.gitSign("coder", "git", p)),
				"by nobody known":           withHeader(p, header, w.gitSign("mallory", "git", p)),
				"namespace file":            withHeader(p, header, w.gitSign("helper", "file", p)),
				"namespace covenant":        withHeader(p, header, w.gitSign("helper", "covenant", p)),
				"twice":                     withHeader(withHeader(p, header, good), header, good),
				"and an agent's":            withHeader(withHeader(p, header, good), header, w.gitSign("coder", "git", p)),
				"the other format's header": withHeader(p, other, good),
				"and the other format's":    withHeader(withHeader(p, header, good), other, good),
				"of an unknown format":      withHeader(withHeader(p, header, good), "gpgsig-sha512", good),
				"garbage behind":            withHeader(p, header, good+"garbage"),
				"garbage before":            withHeader(p, header, "garbage\n"+good),
				"two in one header":         withHeader(p, header, good+good),
				"garbage only":              withHeader(p, header, "garbage"),
				"in the message":            p + header + " " + good,
				"a very long commit":        withHeader(big, header, w.gitSign("helper", "git", big)),
			} {
				id := w.object(raw)
				if r := w.one(id, false); r.Verdict != verdict.Unsealed || !has(r.Findings, verdict.SealMissing) || r.Principal != nil {
					t.Errorf("%s: %s %+v", what, codes(r), r.Principal)
				}
				w.git("reset", "-q", "--soft", byGit.String())
			}

			// Before its parent, the header takes the parent away: Git sees a root.
			early := w.object(strings.Replace(p, "\n"+parent, "\n"+header+" "+strings.ReplaceAll(strings.TrimSuffix(good, "\n"), "\n", "\n ")+"\n"+parent, 1))
			if seen := w.git("log", "-1", "--format=%P"); seen != "" {
				t.Fatalf("Git sees parents: %s", seen)
			}
			w.made("on top")
			res, _, err := w.verify(false, "main")
			if err != nil {
				t.Fatal(err)
			}
			if r, ok := res[early]; !ok || r.Verdict != verdict.Unsealed {
				t.Errorf("a parent was taken away: %s", codes(r))
			}
		})
	}
}

// Exempt are the policy's humans only, from sealing only, and only what nobody claims.
func TestExemptBounds(t *testing.T) {
	w, header := governed(t, "sha1", `{"version":1,"protected":["refs/heads/main"]}`)
	sign := func(who, message string) oid.ID {
		p := w.payload(message)
		return w.object(withHeader(p, header, w.gitSign(who, "git", p)))
	}
	id := sign("helper", "the policy exempts nobody")
	if r := w.one(id, false); r.Verdict != verdict.Unsealed {
		t.Errorf("%s", codes(r))
	}
	w.policy(exemptHumans)
	if r := w.one(id, false); r.Verdict != verdict.Exempt {
		t.Errorf("now it does: %s", codes(r))
	}

	// Who sealed it answers for it.
	sealed := sign("helper", "sealed too")
	w.seal("alice", prov.Witness, "HEAD")
	if r := w.one(sealed, false); r.Verdict != verdict.Sealed || r.Principal.Name != "alice" {
		t.Errorf("%s", codes(r))
	}

	// A line of a note that nobody vouches for spoils nothing, and is told.
	noted := sign("helper", "with junk in its note")
	w.git("notes", "--ref=covenant", "append", "-m", w.git("notes", "--ref=covenant", "show", sealed.String()), noted.String())
	if r := w.one(noted, false); r.Verdict != verdict.Exempt || !has(r.Warnings, verdict.SealRefused) || r.SealID != "" {
		t.Errorf("another commit's seal in its note: %s %+v", codes(r), r.Warnings)
	}

	// What a gate refused to an agent is the agent's, whoever lent it a key.
	lent := sign("helper", "by an agent with a lent key")
	k := w.sealer(w.session(), "coder")
	commits, err := provenance.Commits(k.Session, "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	var denied *provenance.DeniedError
	if err := k.Deny(context.Background(), capability.Commit, "refs/heads/main", commits[0], capability.Decision{Reason: "no"}); !errors.As(err, &denied) || denied.Entry == "" {
		t.Fatal(err)
	}
	if r := w.one(lent, false); r.Verdict != verdict.Invalid || !has(r.Findings, verdict.SealBypassed) {
		t.Errorf("%s", codes(r))
	}

	// The rest of the policy holds on protected refs.
	w.policy(`{"version":1,"exempt":["human"],"modes":["witness"],"protected":["refs/heads/main"],"rules":[
		{"paths":["deploy/**"],"principals":["alice"]},{"paths":["sealed/**"],"modes":["witness"]},{"paths":["bots/**"],"kinds":["automation"]}]}`)
	change := func(who, path string) verdict.Result {
		w.git("reset", "-q", "--hard")
		w.write(path, path+who)
		w.git("add", ".")
		p := strings.Replace(w.payload(path), w.git("rev-parse", "HEAD^{tree}"), w.git("write-tree"), 1)
		return w.one(w.object(withHeader(p, header, w.gitSign(who, "git", p))), false)
	}
	for _, c := range []struct{ who, path, want string }{
		{"helper", "src/a", "exempt []"},
		{"alice", "deploy/a", "exempt []"},
		{"helper", "deploy/b", "unsealed [seal.missing policy.path]"},
		{"alice", "sealed/a", "unsealed [seal.missing policy.mode]"},
		{"alice", "bots/a", "unsealed [seal.missing policy.path]"},
	} {
		if r := change(c.who, c.path); codes(r) != c.want {
			t.Errorf("%s %s: %s", c.who, c.path, codes(r))
		}
	}
	w.policy(`{"version":1,"exempt":["human"],"protected":["refs/heads/main"],"evidence":["test"],"reviews":1}`)
	if r := change("helper", "src/b"); codes(r) != "unsealed [seal.missing evidence.missing policy.review]" {
		t.Errorf("%s", codes(r))
	}
}

// Who was removed signs nothing any more: the commit's dates are claims. What
// somebody else had taken in before stays, unless the key was stolen by then.
func TestExemptFormer(t *testing.T) {
	w, header := governed(t, "sha1", exemptHumans)
	p := w.payload("before leaving")
	id := w.object(withHeader(p, header, w.gitSign("helper", "git", p)))
	if r := w.one(id, false); r.Verdict != verdict.Exempt {
		t.Fatalf("%s", codes(r))
	}
	w.admit("alice", "refs/heads/main", w.oid("HEAD~1"), id)
	before := w.clock
	later := w.payload("never taken in")
	never := w.object(withHeader(later, header, w.gitSign("helper", "git", later)))

	w.adopted(func(r *trust.Root) error { return r.Remove("helper", trust.Leaving{Grants: trust.Stand}) }, "alice")
	if r := w.one(never, false); r.Verdict != verdict.Unsealed {
		t.Errorf("after removal: %s", codes(r))
	}
	if r := w.one(id, false); r.Verdict != verdict.Exempt {
		t.Errorf("taken in before: %s", codes(r))
	}
	w.admit("alice", "refs/heads/main", id, never)
	if r := w.one(never, false); r.Verdict != verdict.Unsealed {
		t.Errorf("taken in after removal: %s", codes(r))
	}
	w.adopted(func(r *trust.Root) error { return r.Taint("helper", envelope.Timestamp(before.Add(time.Second))) }, "alice")
	if r := w.one(id, false); r.Verdict != verdict.Exempt {
		t.Errorf("stolen after it was taken in: %s", codes(r))
	}
	w.adopted(func(r *trust.Root) error { return r.Taint("helper", envelope.Timestamp(before.Add(-time.Hour))) }, "alice")
	if r := w.one(id, false); r.Verdict != verdict.Unsealed {
		t.Errorf("stolen before: %s", codes(r))
	}
}

// admit records that a ref moved.
func (w *world) admit(who, ref string, old, now oid.ID) {
	w.t.Helper()
	k := w.sealer(w.session(), who)
	none := envelope.Digest("sha256:" + strings.Repeat("0", 64))
	if _, err := k.Record(context.Background(), prov.Topic, provenance.Item{
		Type: prov.Admitted, Body: prov.Admission{Ref: ref, Old: old, New: now, Root: none, Tips: none}, Subject: "ref.admitted " + ref,
	}); err != nil {
		w.t.Fatal(err)
	}
}

// What is remembered of a commit is its signer, not its exemption; and nobody pays who exempts nobody.
func TestExemptRemembered(t *testing.T) {
	w, header := governed(t, "sha1", exemptHumans)
	p := w.payload("signed")
	id := w.object(withHeader(p, header, w.gitSign("helper", "git", p)))
	var children int
	look := func(cache bool) (r verdict.Result, remembered bool) {
		t.Helper()
		s := w.session()
		o := provenance.Options{Pin: w.pin, Now: w.clock}
		if cache {
			o.Cache = provenance.OpenCache(s.Repo(), filepath.Join(w.home, "covenant"))
		}
		sp, err := provenance.ParseSpan(s, "HEAD~1..main")
		if err != nil {
			t.Fatal(err)
		}
		rep, err := provenance.Verify(context.Background(), s, sp, o)
		if err != nil {
			t.Fatal(err)
		}
		for r, err = range rep.Results {
			if err != nil || r.Commit != id {
				t.Fatal(r.Commit, err)
			}
		}
		children = s.Children()
		return r, !rep.Facts.SealsRead()
	}
	if r, _ := look(false); r.Verdict != verdict.Exempt {
		t.Errorf("%s", codes(r))
	}
	with := children
	if r, remembered := look(true); r.Verdict != verdict.Exempt || remembered {
		t.Errorf("at first: %s, remembered %v", codes(r), remembered)
	}
	if r, remembered := look(true); r.Verdict != verdict.Exempt || !remembered || r.Principal == nil || r.Principal.Name != "helper" {
		t.Errorf("again: %s, remembered %v", codes(r), remembered)
	}
	w.policy(`{"version":1,"protected":["refs/heads/main"]}`)
	if r, remembered := look(true); r.Verdict != verdict.Unsealed || remembered {
		t.Errorf("under another policy: %s, remembered %v", codes(r), remembered)
	}
	if r, remembered := look(true); r.Verdict != verdict.Unsealed || !remembered {
		t.Errorf("and again: %s, remembered %v", codes(r), remembered)
	}
	look(false)
	if children != with {
		t.Errorf("%d children, and %d without the exemption", with, children)
	}
}
