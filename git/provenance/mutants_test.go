package provenance_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/oid"
)

// A mutant is one way to tamper with a good repository, and how it must be refused.
type mutant struct {
	name   string
	apply  func(l *lab)
	commit string         // subject of the commit that must be refused; "": some commit must be
	want   []verdict.Code // one of these must be among its findings
	deep   bool
	// derived: all that it changes may be sealed in a commit of another name. Then it passes as that, and what is wrong is a warning.
	derived bool
}

// fewestMutants is the number of mutants below which the test itself is broken.
const fewestMutants = 500

// claims are what a seal says and nobody but its signer can know; a signer who
// changes them changes a claim, and no check can tell.
var claims = []string{".predicate.attended", ".predicate.entry.time"}

func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("some minutes of processor time")
	}
	w := newWorld(t, "sha1")
	w.build()
	w.fine()
	l := newLab(w)
	var all []mutant
	all = append(all, l.unsignedMutants()...)
	all = append(all, l.resignedMutants()...)
	all = append(all, l.envelopeMutants()...)
	all = append(all, l.ledgerMutants()...)
	all = append(all, l.authorityMutants()...)
	all = append(all, l.historyMutants()...)
	if len(all) < fewestMutants {
		t.Fatalf("%d mutants, at least %d are meant to be made", len(all), fewestMutants)
	}
	refused := 0
	for _, m := range all {
		if l.refuses(m) {
			refused++
		}
		l.restore()
	}
	t.Logf("%d mutants, %d refused", len(all), refused)
	w.fine()
}

// lab is the good repository, and tools to tamper with it and to make it good again.
type lab struct {
	*world
	refs   map[string]string
	s      *git.Session
	seals  []placed // every seal, in order of ledgers
	ledger map[string][]placed
	notes  []git.TreeEntry // the notes tree, which is flat
}

// placed is an entry and where it stands.
type placed struct {
	ref     string
	i       int // index in the chain
	line    []byte
	payload map[string]any
	typ     string
	keyID   string
	who     string
	subject string // of the commit it seals
}

func newLab(w *world) *lab {
	l := &lab{world: w, refs: map[string]string{}, s: w.session(), ledger: map[string][]placed{}}
	for line := range strings.Lines(w.git("for-each-ref", "--format=%(refname) %(objectname)")) {
		ref, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		l.refs[ref] = id
	}
	owner := map[string]string{}
	for n, k := range w.keys {
		owner[k.Public().ID()] = n
	}
	for ref := range l.refs {
		if !strings.HasPrefix(ref, ledger.Prefix) {
			continue
		}
		for i, c := range strings.Fields(w.git("rev-list", "--reverse", ref)) {
			line := []byte(w.git("cat-file", "blob", c+":"+ledger.File))
			p := placed{ref: ref, i: i, line: line}
			var env struct {
				Payload, PayloadType string
				Signatures           []struct{ Keyid, Sig string }
			}
			if err := json.Unmarshal(line, &env); err != nil {
				w.t.Fatal(err)
			}
			b, _ := base64.StdEncoding.DecodeString(env.Payload)
			d := json.NewDecoder(bytes.NewReader(b))
			d.UseNumber()
			if err := d.Decode(&p.payload); err != nil {
				w.t.Fatal(err)
			}
			p.typ, p.keyID = env.PayloadType, env.Signatures[0].Keyid
			p.who = owner[p.keyID]
			if p.typ == envelope.TypeInToto {
				commit := p.payload["subject"].([]any)[0].(map[string]any)["digest"].(map[string]any)["gitCommit"].(string)
				for s, id := range w.commit {
					if id.String() == commit {
						p.subject = s
					}
				}
				l.seals = append(l.seals, p)
			}
			l.ledger[ref] = append(l.ledger[ref], p)
		}
	}
	o, err := l.s.Object(notes.Ref+"^{tree}", 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	if l.notes, err = git.ParseTree(oid.SHA1, o.Data); err != nil {
		w.t.Fatal(err)
	}
	return l
}

// restore puts every ref back.
func (l *lab) restore() {
	l.t.Helper()
	var in strings.Builder
	now := map[string]string{}
	for line := range strings.Lines(l.git("for-each-ref", "--format=%(refname) %(objectname)")) {
		ref, id, _ := strings.Cut(strings.TrimSpace(line), " ")
		now[ref] = id
	}
	for ref := range now {
		if _, ok := l.refs[ref]; !ok {
			fmt.Fprintf(&in, "delete %s\n", ref)
		}
	}
	for ref, id := range l.refs {
		if now[ref] != id {
			fmt.Fprintf(&in, "update %s %s\n", ref, id)
		}
	}
	if in.Len() > 0 {
		l.gitIn(in.String(), "update-ref", "--no-deref", "--stdin")
	}
}

// refuses applies a mutant and holds the verdict to what is expected.
func (l *lab) refuses(m mutant) bool {
	l.t.Helper()
	m.apply(l)
	res, problems, err := l.verify(m.deep, "main")
	if err != nil {
		// A refusal of the whole repository must still say which.
		for _, c := range m.want {
			if string(c) == "error:"+errorKind(err) {
				return true
			}
		}
		l.t.Errorf("%s: %v", m.name, err)
		return false
	}
	for id, r := range res {
		if m.derived && r.Verdict == verdict.Derived && len(r.Warnings) > 0 && (m.commit == "" || id == l.commit[m.commit]) {
			return true
		}
		if r.Verdict.OK() || (m.commit != "" && id != l.commit[m.commit]) {
			continue
		}
		for _, c := range m.want {
			if has(r.Findings, c) {
				return true
			}
		}
	}
	l.t.Errorf("%s survives: want %v of %q; problems %v", m.name, m.want, m.commit, problems)
	for id, r := range res {
		if !r.Verdict.OK() {
			l.t.Logf("   %s %s", id.Short(), codes(r))
		}
	}
	return false
}

func (l *lab) put(kind string, b []byte) oid.ID { return l.s.Put(kind, b) }

func (l *lab) setRef(ref string, id oid.ID) {
	l.t.Helper()
	if err := l.s.Flush(); err != nil {
		l.t.Fatal(err)
	}
	old, err := l.s.Object(ref, 1<<20)
	if err != nil {
		l.t.Fatal(err)
	}
	if old.ID == id {
		return
	}
	if err := l.s.Update("mutant", git.RefUpdate{Name: ref, New: id, Old: old.ID}); err != nil {
		l.t.Fatal(err)
	}
}

// rewrite gives a ledger these envelopes, each an entry of its own.
func (l *lab) rewrite(ref string, lines [][]byte) {
	l.t.Helper()
	var parent []oid.ID
	who := git.Ident{Name: "x", Email: "x@example.org", When: l.clock}
	for i, line := range lines {
		blob := l.put("blob", append(slices.Clone(line), '\n'))
		tree, err := git.EncodeTree([]git.TreeEntry{{Mode: 0o100644, Name: ledger.File, ID: blob}})
		if err != nil {
			l.t.Fatal(err)
		}
		parent = []oid.ID{l.put("commit", git.EncodeCommit(l.put("tree", tree), parent, who, who, fmt.Sprintf("entry %d\n", i+1)))}
	}
	l.setRef(ref, parent[0])
}

func (l *lab) lines(ref string) [][]byte {
	var out [][]byte
	for _, p := range l.ledger[ref] {
		out = append(out, p.line)
	}
	return out
}

// replace puts another envelope in an entry's place, in its ledger and in the note.
func (l *lab) replace(p placed, line []byte) {
	l.t.Helper()
	lines := l.lines(p.ref)
	lines[p.i] = line
	l.rewrite(p.ref, lines)
	if p.subject != "" {
		l.note(l.commit[p.subject], line)
	}
}

func (l *lab) note(commit oid.ID, line []byte) {
	l.t.Helper()
	entries := slices.Clone(l.notes)
	i := slices.IndexFunc(entries, func(e git.TreeEntry) bool { return e.Name == commit.String() })
	if i < 0 {
		i = len(entries)
		entries = append(entries, git.TreeEntry{Mode: 0o100644, Name: commit.String()})
	}
	entries[i].ID = l.put("blob", append(slices.Clone(line), '\n'))
	tree, err := git.EncodeTree(entries)
	if err != nil {
		l.t.Fatal(err)
	}
	who := notes.Ident(l.clock)
	l.setRef(notes.Ref, l.put("commit", git.EncodeCommit(l.put("tree", tree), nil, who, who, "note\n")))
}

// sign makes an envelope of a payload, by one of the world's keys.
func (l *lab) sign(who, typ string, payload any) []byte {
	l.t.Helper()
	b, err := canonical.Marshal(payload)
	if err != nil {
		l.t.Fatal(err)
	}
	e, err := envelope.Seal(typ, b, envelope.SealWith{KeyID: l.keys[who].Public().ID(), Signer: l.keys[who]})
	if err != nil {
		l.t.Fatal(err)
	}
	line, err := e.Bytes()
	if err != nil {
		l.t.Fatal(err)
	}
	return line
}

// withPayload keeps type and signatures of an envelope and puts another payload in.
func withPayload(line []byte, payload any) []byte {
	var env map[string]any
	if err := json.Unmarshal(line, &env); err != nil {
		panic(err)
	}
	b, err := canonical.Marshal(payload)
	if err != nil {
		panic(err)
	}
	env["payload"] = base64.StdEncoding.EncodeToString(b)
	out, err := canonical.Marshal(env)
	if err != nil {
		panic(err)
	}
	return out
}

// A leafChange is one changed leaf, dropped key or added element of a JSON value.
type leafChange struct {
	path  string
	value any // the whole value with the change
}

// leaves returns every value that differs from v in one place.
func leaves(v any) []leafChange {
	var out []leafChange
	var walk func(path string, at any, rebuild func(any) any)
	walk = func(path string, at any, rebuild func(any) any) {
		switch x := at.(type) {
		case map[string]any:
			keys := make([]string, 0, len(x))
			for k := range x {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			for _, k := range keys {
				walk(path+"."+k, x[k], func(n any) any {
					c := map[string]any{}
					for kk, vv := range x {
						c[kk] = vv
					}
					if n == nil {
						delete(c, k)
					} else {
						c[k] = n
					}
					return rebuild(c)
				})
			}
			c := map[string]any{"zz": "added"}
			for kk, vv := range x {
				c[kk] = vv
			}
			out = append(out, leafChange{path + ".+", rebuild(c)})
		case []any:
			for i := range x {
				walk(fmt.Sprintf("%s[%d]", path, i), x[i], func(n any) any {
					c := slices.Clone(x)
					if n == nil {
						c = slices.Delete(c, i, i+1)
					} else {
						c[i] = n
					}
					return rebuild(c)
				})
				out = append(out, leafChange{fmt.Sprintf("%s[%d]-", path, i), rebuild(slices.Delete(slices.Clone(x), i, i+1))},
					leafChange{fmt.Sprintf("%s[%d]*2", path, i), rebuild(slices.Insert(slices.Clone(x), i, x[i]))})
			}
		case string:
			out = append(out, leafChange{path, rebuild(flipLast(x))}, leafChange{path + "-", rebuild(nil)})
		case json.Number:
			n, _ := x.Int64()
			out = append(out, leafChange{path, rebuild(n + 1)})
		case bool:
			out = append(out, leafChange{path, rebuild(!x)})
		}
	}
	walk("", v, func(n any) any { return n })
	return out
}

// flipLast changes the last character of a string to another of its kind.
func flipLast(s string) string {
	if s == "" {
		return "x"
	}
	last, size := utf8.DecodeLastRuneInString(s)
	to := "0"
	if last == '0' {
		to = "1"
	}
	return s[:len(s)-size] + to
}
