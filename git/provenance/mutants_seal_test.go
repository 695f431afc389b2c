package provenance_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// unsignedMutants change one thing of every seal and leave the signature, in ledger and note together.
func (l *lab) unsignedMutants() []mutant {
	var out []mutant
	for i, p := range l.seals {
		if i%3 != 0 { // each seal has the same leaves but for its changes; a third of them has every kind
			continue
		}
		for _, c := range leaves(p.payload) {
			out = append(out, mutant{
				name: "unsigned " + p.subject + c.path, commit: p.subject, want: []verdict.Code{verdict.SealSignature},
				apply: func(l *lab) { l.replace(p, withPayload(p.line, c.value)) },
			})
		}
	}
	return out
}

// newest returns the last seal made: nobody has seen it yet, so its signer could still put another in its place.
func (l *lab) newest() placed {
	for _, p := range l.seals {
		if p.subject == "last" {
			return p
		}
	}
	l.t.Fatal("there is no last seal")
	return placed{}
}

// resignedMutants are lies: the very key that sealed signs a seal with one thing changed.
func (l *lab) resignedMutants() []mutant {
	var out []mutant
	lie := func(p placed, name string, value any, want []verdict.Code) {
		out = append(out, mutant{
			name: "resigned " + p.subject + name, commit: p.subject, deep: true, want: want, derived: strings.HasPrefix(name, ".subject[0].digest"),
			apply: func(l *lab) { l.replace(p, l.sign(p.who, p.typ, value)) },
		})
	}
	tips := map[string]placed{}
	for _, p := range l.seals {
		if p.i == len(l.ledger[p.ref])-1 {
			tips[p.ref] = p
		}
	}
	for _, p := range tips {
	leaf:
		for _, c := range leaves(p.payload) {
			for _, claim := range claims {
				if strings.HasPrefix(c.path, claim) && !strings.HasSuffix(c.path, "-") {
					continue leaf
				}
			}
			lie(p, c.path, c.value, expected(c.path))
		}
	}
	p := l.newest()
	change := func(name string, f func(list []any) []any, want ...verdict.Code) {
		v := deepCopy(p.payload)
		pr := v["predicate"].(map[string]any)
		lists := pr["changes"].([]any)
		lists[0] = f(lists[0].([]any))
		lie(p, " "+name, v, want)
	}
	path := func(name, to string, codes ...verdict.Code) {
		change(name, func(list []any) []any {
			list[0].(map[string]any)["path"] = to
			return list
		}, codes...)
	}
	path("path in another case", "src/A.txt", "seal.change-extra")
	path("path with a trailing byte", "src/a.txt ", "seal.change-extra")
	path("path with a slash", "src/a.txt/", "seal.change-extra")
	path("path with a dot", "./src/a.txt", "seal.change-extra")
	path("path with NUL", "src/a.txt\x00", "seal.change-extra")
	change("same path twice, other content", func(list []any) []any {
		other := deepCopy(list[0].(map[string]any))
		other["new"] = strings.Repeat("a", 40)
		return append(list, other)
	}, "seal.change-duplicate")
	change("path as needless base64", func(list []any) []any {
		c := list[0].(map[string]any)
		c["path64"] = base64.StdEncoding.EncodeToString([]byte(c["path"].(string)))
		delete(c, "path")
		return list
	}, "seal.change-differs")
	change("a mode hidden", func(list []any) []any {
		list[0].(map[string]any)["newMode"] = "100755"
		return list
	}, "seal.change-differs")
	for _, q := range l.seals {
		if q.subject != "composed" {
			continue
		}
		v := deepCopy(q.payload)
		v["predicate"].(map[string]any)["changes"].([]any)[0].([]any)[0].(map[string]any)["path"] = "cafe\u0301"
		lie(q, " path decomposed", v, []verdict.Code{"seal.change-extra"})
	}
	return out
}

// expected returns the codes that one changed leaf of a seal may be refused with.
func expected(path string) []verdict.Code {
	for _, e := range []struct {
		prefix string
		codes  []verdict.Code
	}{
		{".predicate.changes", []verdict.Code{"seal.change-missing", "seal.change-extra", "seal.change-differs", "seal.change-duplicate", verdict.SealContent, verdict.SealSyntax}},
		{".predicate.decision", []verdict.Code{verdict.SealDecision, verdict.SealSyntax}},
		{".predicate.entry.repository", []verdict.Code{verdict.SealRepository, verdict.SealSyntax}},
		{".predicate.entry.heads", []verdict.Code{verdict.LedgerRolledBack, verdict.LedgerFork, verdict.SealSyntax, verdict.LedgerHeads}},
		{".predicate.entry", []verdict.Code{verdict.LedgerOrder, verdict.LedgerWriter, verdict.SealSyntax, verdict.SealRepository}},
		{".predicate.grants", []verdict.Code{verdict.SealGrant, verdict.SealSyntax}},
		{".predicate.parents", []verdict.Code{verdict.SealParents, verdict.SealSyntax}},
		{".predicate.principal", []verdict.Code{verdict.SealPrincipal, verdict.SealSyntax}},
		{".predicate.ref", []verdict.Code{verdict.SealDecision}},
		{".subject[0].digest", []verdict.Code{verdict.SealSubject, verdict.SealSyntax}},
		{".subject[1].digest", []verdict.Code{verdict.SealTree, verdict.SealSyntax}},
	} {
		if strings.HasPrefix(path, e.prefix) {
			return e.codes
		}
	}
	return []verdict.Code{verdict.SealSyntax, verdict.SealNewer}
}

func deepCopy(v map[string]any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		panic(err)
	}
	return out
}

// envelopeMutants attack the envelope around a seal.
func (l *lab) envelopeMutants() []mutant {
	var out []mutant
	for _, p := range l.seals {
		add := func(name string, line []byte, want ...verdict.Code) {
			out = append(out, mutant{name: "envelope " + p.subject + " " + name, commit: p.subject, want: want, apply: func(l *lab) { l.replace(p, line) }})
		}
		text := string(p.line)
		edit := func(f func(env map[string]any)) []byte {
			var env map[string]any
			if err := json.Unmarshal(p.line, &env); err != nil {
				l.t.Fatal(err)
			}
			f(env)
			b, err := canonical.Marshal(env)
			if err != nil {
				l.t.Fatal(err)
			}
			return b
		}
		sigs := func(env map[string]any) []any { return env["signatures"].([]any) }
		other := "coder"
		if p.who == "coder" {
			other = "alice"
		}
		bit := func(i int) []byte {
			return edit(func(env map[string]any) {
				s := sigs(env)[0].(map[string]any)
				b, _ := base64.StdEncoding.DecodeString(s["sig"].(string))
				b[i] ^= 1
				s["sig"] = base64.StdEncoding.EncodeToString(b)
			})
		}
		for _, i := range []int{0, 31, 32, 63} {
			add("signature bit", bit(i), verdict.SealSignature)
		}
		add("key id of another", edit(func(env map[string]any) {
			sigs(env)[0].(map[string]any)["keyid"] = l.keys[other].Public().ID()
		}), verdict.SealSignature)
		add("signed by a stranger", l.sign("mallory", p.typ, p.payload), verdict.SealUnknownKey)
		add("signed by another", l.sign(other, p.typ, p.payload), verdict.SealPrincipal, verdict.LedgerWriter)
		add("one signature more", edit(func(env map[string]any) {
			env["signatures"] = append(sigs(env), map[string]any{"keyid": "SHA256:x", "sig": "AAAA"})
		}), verdict.SealSignatures)
		add("another payload type", edit(func(env map[string]any) { env["payloadType"] = envelope.TypeLedger }), verdict.SealSignature)
		add("a foreign payload type", edit(func(env map[string]any) { env["payloadType"] = "text/plain" }), verdict.SealType)
		// What is no envelope can't even claim a commit: the commit is unsealed.
		for name, line := range map[string]string{
			"no signature":      string(edit(func(env map[string]any) { env["signatures"] = []any{} })),
			"same key twice":    string(edit(func(env map[string]any) { env["signatures"] = append(sigs(env), sigs(env)[0]) })),
			"empty payload":     string(edit(func(env map[string]any) { env["payload"] = "" })),
			"payload no base64": string(edit(func(env map[string]any) { env["payload"] = "!!!" })),
			"payload with line breaks": string(edit(func(env map[string]any) {
				s := env["payload"].(string)
				env["payload"] = s[:4] + "\n" + s[4:]
			})),
			"duplicate key": strings.Replace(text, `{"payload"`, `{"payload":"e30=","payload"`, 1),
			"trailing data": text + "{}",
			"white space":   strings.Replace(text, `,"payloadType"`, `, "payloadType"`, 1),
			"deep":          strings.Replace(text, `"signatures":`, `"a":`+strings.Repeat("[", 10000)+strings.Repeat("]", 10000)+`,"signatures":`, 1),
			"nothing":       "",
			"truncated":     text[:len(text)/2],
		} {
			add(name, []byte(line), verdict.SealMissing, verdict.SealSyntax, verdict.SealSignatures)
		}
	}
	return out
}
