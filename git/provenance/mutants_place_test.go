package provenance_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

func errorKind(err error) string {
	switch {
	case errors.Is(err, provenance.ErrRootMismatch):
		return "root.mismatch"
	case errors.Is(err, provenance.ErrRootMissing):
		return "root.missing"
	}
	return err.Error()
}

// ledgerMutants attack chains: order, tails, forks, refs.
func (l *lab) ledgerMutants() []mutant {
	var out []mutant
	add := func(name, commit string, apply func(l *lab), want ...verdict.Code) {
		out = append(out, mutant{name: "ledger " + name, commit: commit, apply: apply, want: want})
	}
	for ref, entries := range l.ledger {
		short := ref[len(ledger.Prefix):]
		// A seal speaks of its own chain as it stands. What a broken chain of grants means to it is what it had seen there.
		gap, other, twisted, writer := verdict.LedgerOrder, verdict.LedgerOrder, verdict.LedgerDamaged, verdict.LedgerWriter
		if strings.HasPrefix(short, provenance.CapabilityTopic+"/") {
			gap, other, twisted, writer = verdict.LedgerRolledBack, verdict.LedgerFork, verdict.LedgerRolledBack, verdict.LedgerRolledBack
		}
		n := len(entries)
		for k := 1; k < n; k++ {
			add(fmt.Sprintf("%s cut to %d of %d", short, k, n), "", func(l *lab) { l.rewrite(ref, l.lines(ref)[:k]) }, verdict.LedgerRolledBack)
			add(fmt.Sprintf("%s without entry %d", short, k), "", func(l *lab) { l.rewrite(ref, slices.Delete(l.lines(ref), k-1, k)) }, gap)
			add(fmt.Sprintf("%s with %d and %d swapped", short, k, k+1), "", func(l *lab) {
				lines := l.lines(ref)
				lines[k-1], lines[k] = lines[k], lines[k-1]
				l.rewrite(ref, lines)
			}, other)
			add(fmt.Sprintf("%s with entry %d twice", short, k), "", func(l *lab) {
				lines := l.lines(ref)
				l.rewrite(ref, slices.Insert(lines, k, lines[k-1]))
			}, other)
			add(fmt.Sprintf("%s cut to its end from %d", short, k+1), "", func(l *lab) { l.rewrite(ref, l.lines(ref)[k:]) }, gap)
		}
		add(short+" deleted", "", func(l *lab) { l.git("update-ref", "-d", ref) }, verdict.LedgerRolledBack)
		add(short+" pointed at history", "", func(l *lab) { l.git("update-ref", ref, "main") }, verdict.LedgerFork)
		add(short+" under another writer", "", func(l *lab) {
			l.git("update-ref", strings.TrimSuffix(ref, ref[len(ref)-8:])+"00000000", l.refs[ref])
			l.git("update-ref", "-d", ref)
		}, writer)
		add(short+" with a merge at its end", "", func(l *lab) {
			tree := l.git("rev-parse", ref+"^{tree}")
			c := l.git("commit-tree", "-m", "x", "-p", ref, "-p", ref+"~1", tree)
			l.git("update-ref", ref, c)
		}, twisted)
		add(short+" with an entry without envelope", "", func(l *lab) {
			c := l.git("commit-tree", "-m", "x", l.s.Repo().Format().EmptyTree().String())
			l.git("update-ref", ref, c)
		}, verdict.LedgerRolledBack)
	}
	for _, p := range l.seals {
		add("seal and entry of "+p.subject+" gone", p.subject, func(l *lab) {
			l.rewrite(p.ref, slices.Delete(l.lines(p.ref), p.i, p.i+1))
			l.git("notes", "--ref=covenant", "remove", l.commit[p.subject].String())
		}, verdict.SealMissing)
		add("everything from the seal of "+p.subject+" on gone", p.subject, func(l *lab) {
			l.rewrite(p.ref, l.lines(p.ref)[:p.i])
			l.git("notes", "--ref=covenant", "remove", l.commit[p.subject].String())
		}, verdict.SealMissing)
		add("seal of "+p.subject+" only in its note", p.subject, func(l *lab) { l.rewrite(p.ref, l.lines(p.ref)[:p.i]) }, verdict.LedgerRolledBack)
	}
	// A writer that signs two entries with one number: the note shows the one that the ledger no longer has.
	p := l.newest()
	add("fork: another last entry", "last", func(l *lab) {
		v := deepCopy(p.payload)
		v["predicate"].(map[string]any)["attended"] = false
		v["subject"].([]any)[0].(map[string]any)["digest"].(map[string]any)["gitCommit"] = l.commit["modify"].String()
		lines := l.lines(p.ref)
		lines[p.i] = l.sign(p.who, p.typ, v)
		l.rewrite(p.ref, lines)
	}, verdict.LedgerFork)
	return out
}

// authorityMutants attack who may do what.
func (l *lab) authorityMutants() []mutant {
	var out []mutant
	var capRef string
	for ref := range l.ledger {
		if strings.HasPrefix(ref, ledger.Prefix+provenance.CapabilityTopic+"/") {
			capRef = ref
		}
	}
	add := func(name, commit string, apply func(l *lab), want ...verdict.Code) {
		out = append(out, mutant{name: "authority " + name, commit: commit, apply: apply, want: want})
	}
	coderSeal := ""
	for _, p := range l.seals {
		if p.who == "coder" {
			coderSeal = p.subject
		}
	}
	intro := l.ledger[capRef][0]
	for _, c := range leaves(intro.payload) {
		add("introduction changed at "+c.path, "", func(l *lab) {
			lines := l.lines(capRef)
			lines[0] = withPayload(intro.line, c.value)
			l.rewrite(capRef, lines)
		}, verdict.SealUnknownKey)
	}
	add("introduction signed by the agent itself", coderSeal, func(l *lab) {
		lines := l.lines(capRef)
		lines[0] = l.sign("coder", intro.typ, intro.payload)
		l.rewrite(capRef, lines[:1])
	}, verdict.SealUnknownKey)
	add("introduction names another accountable", coderSeal, func(l *lab) {
		v := deepCopy(intro.payload)
		v["body"].(map[string]any)["subject"].(map[string]any)["accountable"] = "bob"
		lines := l.lines(capRef)
		lines[0] = l.sign("alice", intro.typ, v)
		l.rewrite(capRef, lines[:1])
	}, verdict.SealUnknownKey)
	add("grant of another action", coderSeal, func(l *lab) {
		v := deepCopy(intro.payload)
		v["body"].(map[string]any)["action"] = "repo.push"
		lines := l.lines(capRef)
		lines[0] = l.sign("alice", intro.typ, v)
		l.rewrite(capRef, lines[:1])
	}, verdict.SealGrant)
	add("scope with an unknown field", coderSeal, func(l *lab) {
		v := deepCopy(intro.payload)
		v["body"].(map[string]any)["scope"].(map[string]any)["path"] = "src/**"
		lines := l.lines(capRef)
		lines[0] = l.sign("alice", intro.typ, v)
		l.rewrite(capRef, lines[:1])
	}, verdict.SealUnknownKey)
	add("an agent vouches", "last", func(l *lab) {
		p := l.newest()
		v := deepCopy(p.payload)
		pr := v["predicate"].(map[string]any)
		pr["mode"] = "vouch"
		delete(pr, "decision")
		l.replaceBy("coder", p, v)
	}, verdict.SealAuthority)
	mallory := func(l *lab) (*trust.Root, []byte) {
		k := l.keys["mallory"].Public()
		r := &trust.Root{
			Type: trust.Type, Version: 1, Created: "2026-03-01T12:00:00Z", Format: "sha1", Nonce: strings.Repeat("0", 32), Threshold: 1,
			Operators: []string{"alice"}, Persons: []trust.Person{{Name: "alice", Kind: trust.Human, Keys: []string{k.String()}}},
		}
		e, err := r.Seal(envelope.SealWith{KeyID: k.ID(), Signer: l.keys["mallory"]})
		if err != nil {
			l.t.Fatal(err)
		}
		b, err := e.Bytes()
		if err != nil {
			l.t.Fatal(err)
		}
		return r, b
	}
	add("another trust root", "", func(l *lab) {
		_, b := mallory(l)
		l.rewrite(provenance.RootRef, [][]byte{b})
	}, "error:root.mismatch")
	add("another trust root on top", "", func(l *lab) {
		_, b := mallory(l)
		l.rewrite(provenance.RootRef, [][]byte{[]byte(l.git("cat-file", "blob", provenance.RootRef+":"+ledger.File)), b})
	}, "error:root.mismatch")
	add("no trust root", "", func(l *lab) { l.git("update-ref", "-d", provenance.RootRef) }, "error:root.missing")
	return out
}

// replaceBy puts a seal by another key in place of one, as that key's own next
// entry: the ledger of the one who sealed first loses it.
func (l *lab) replaceBy(who string, p placed, v map[string]any) {
	l.t.Helper()
	var ref string
	var last placed
	for r, list := range l.ledger {
		if strings.HasPrefix(r, ledger.Prefix+"provenance/") && list[0].who == who {
			ref, last = r, list[len(list)-1]
		}
	}
	env, err := envelope.Parse(last.line)
	if err != nil {
		l.t.Fatal(err)
	}
	pr := v["predicate"].(map[string]any)
	_, writer, _ := strings.Cut(ref[len(ledger.Prefix):], "/")
	pr["entry"] = map[string]any{
		"prev": string(env.ID()), "repository": string(l.pin), "seq": len(l.ledger[ref]) + 1, "time": "2026-03-01T13:00:00Z", "topic": "provenance", "writer": writer,
	}
	pr["principal"] = map[string]any{"accountable": "alice", "kind": "agent", "name": who}
	line := l.sign(who, p.typ, v)
	if ref != p.ref {
		l.rewrite(p.ref, l.lines(p.ref)[:p.i])
	}
	lines := l.lines(ref)
	if ref == p.ref {
		lines = lines[:p.i]
		pr["entry"].(map[string]any)["seq"] = p.i + 1
		prev, err := envelope.Parse(lines[p.i-1])
		if err != nil {
			l.t.Fatal(err)
		}
		pr["entry"].(map[string]any)["prev"] = string(prev.ID())
		line = l.sign(who, p.typ, v)
	}
	l.rewrite(ref, append(lines, line))
	l.note(l.commit[p.subject], line)
}

// historyMutants attack what Git shows: other commits under good seals.
func (l *lab) historyMutants() []mutant {
	var out []mutant
	add := func(name string, apply func(l *lab), want ...verdict.Code) {
		out = append(out, mutant{name: "history " + name, apply: apply, want: want})
	}
	// moved puts another commit at the tip of main, with the note of the one it stands for.
	moved := func(l *lab, tree string, parents ...string) oid.ID {
		args := []string{"commit-tree", "-m", "another"}
		for _, p := range parents {
			args = append(args, "-p", p)
		}
		c := l.git(append(args, tree)...)
		l.git("update-ref", "refs/heads/main", c)
		id, err := oid.Parse(c)
		if err != nil {
			l.t.Fatal(err)
		}
		return id
	}
	p := l.newest()
	add("envelope moved to another commit", func(l *lab) {
		id := moved(l, l.git("rev-parse", "main~1^{tree}"), "main")
		l.note(id, p.line)
	}, verdict.SealSubject)
	add("commit with another message under the note of the first", func(l *lab) {
		id := moved(l, l.git("rev-parse", "main^{tree}"), "main~1")
		l.note(id, p.line)
	}, verdict.SealSubject)
	out[len(out)-1].derived = true
	add("unsealed commit whose message imitates trailers", func(l *lab) {
		c := l.git("commit-tree", "-p", "main", "-m", "x\n\nCovenant-Principal: alice\nCovenant-Seal: "+l.commit["last"].String()+"\n", l.git("rev-parse", "main^{tree}"))
		l.git("update-ref", "refs/heads/main", c)
	}, verdict.SealMissing)
	add("merge -s ours without a seal", func(l *lab) {
		dropped := l.git("commit-tree", "-p", "main~1", "-m", "dropped", l.git("rev-parse", "main~2^{tree}"))
		c := l.git("commit-tree", "-p", "main", "-p", dropped, "-m", "merge", l.git("rev-parse", "main^{tree}"))
		l.git("update-ref", "refs/heads/main", c)
	}, verdict.SealMissing)
	for name, at := range map[string]string{"case": "SRC/a.txt", "normalisation": "cafe\u0301"} {
		add("a path added that differs in "+name+", under the note of the clean commit", func(l *lab) {
			idx := filepath.Join(l.dir, ".git", "tmp-index")
			_ = os.Remove(idx)
			env := l.env
			l.env = append(slices.Clone(env), "GIT_INDEX_FILE="+idx)
			l.git("read-tree", "main")
			l.git("update-index", "--add", "--cacheinfo", "100644,"+l.git("rev-parse", "main:src/a.txt")+","+at)
			tree := l.git("write-tree")
			l.env = env
			id := moved(l, tree, "main~1")
			l.note(id, p.line)
		}, verdict.SealSubject)
	}
	// Lies about merges: the merger signs the changes of a clean merge for one that is not.
	lieMerge := func(name string, tree func(l *lab) string, want ...verdict.Code) {
		add(name, func(l *lab) {
			var m placed
			for _, s := range l.seals {
				if s.subject == "merge" {
					m = s
				}
			}
			id := moved(l, tree(l), l.git("rev-parse", "main~1^1"), l.git("rev-parse", "main~1^2"))
			v := deepCopy(m.payload)
			subj := v["subject"].([]any)
			subj[0].(map[string]any)["digest"].(map[string]any)["gitCommit"] = id.String()
			subj[1].(map[string]any)["digest"].(map[string]any)["gitTree"] = l.git("rev-parse", id.String()+"^{tree}")
			lines := l.lines(m.ref)
			lines[m.i] = l.sign(m.who, m.typ, v)
			l.rewrite(m.ref, lines[:m.i+1])
			l.note(id, lines[m.i])
		}, want...)
	}
	lieMerge("merge -s ours sealed as a clean merge", func(l *lab) string { return l.git("rev-parse", "main~1^1^{tree}") },
		"seal.change-extra", "seal.change-missing")
	lieMerge("evil merge sealed as a clean merge", func(l *lab) string {
		idx := filepath.Join(l.dir, ".git", "tmp-index")
		_ = os.Remove(idx)
		env := l.env
		l.env = append(slices.Clone(env), "GIT_INDEX_FILE="+idx)
		defer func() { l.env = env }()
		l.git("read-tree", "main~1")
		blob := l.gitIn("evil\n", "hash-object", "-w", "--stdin")
		l.git("update-index", "--add", "--cacheinfo", "100644,"+blob+",evil.txt")
		return l.git("write-tree")
	}, "seal.change-missing")
	return out
}
