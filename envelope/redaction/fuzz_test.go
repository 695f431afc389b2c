package redaction_test

import (
	"encoding/json"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/redaction"
)

// seeds adds every n-th sample.
func seeds(f *testing.F, n int, add func(string)) {
	for i, s := range positives(f) {
		if i%n == 0 {
			add(s.text)
		}
	}
	for i, s := range negatives(f) {
		if i%n == 0 {
			add(s)
		}
	}
	add("[redacted:jwt]ghp_[redacted:jwt:0123456789ab][redacted:")
	add("\xff\xfe password=\xc3hunter2\xe2\x86")
}

// FuzzRedact: only what hits claim changes, valid UTF-8 stays valid, and a second time changes nothing.
func FuzzRedact(f *testing.F) {
	seeds(f, variants, func(s string) { f.Add(s) })
	x := redactor(f, all(f))
	noKey, err := redaction.New(all(f), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, hits := check(t, x, text)
		if _, same := check(t, noKey, text); len(same) != len(hits) {
			t.Fatalf("%q: %d hits with a key, %d without", text, len(hits), len(same))
		}
	})
}

// FuzzStream: a text that arrives in pieces, after so much other text that nothing is seen at once,
// gives what the whole gives.
func FuzzStream(f *testing.F) {
	seeds(f, 20*variants, func(s string) { f.Add(s, s, uint32(len(s))) })
	x := redactor(f, all(f))
	filler := strings.Repeat("the quick brown fox jumps over the lazy dog\n", 3000)
	f.Fuzz(func(t *testing.T, a, b string, n uint32) {
		text := filler[:n%(1<<17)] + a + filler[:uint16(n>>4)] + b
		want, hits := x.Redact(text)
		h := fnv.New64a()
		h.Write([]byte(text))
		stream(t, x, text, want, hits, rand.New(rand.NewPCG(h.Sum64(), 1)))
	})
}

// FuzzPlanted: a secret that stands in a line of its own is not in the output, whatever is around it.
func FuzzPlanted(f *testing.F) {
	templates := []string{
		"{github:ghp_}", "AKIA{base32:16}", "{jwt}", "sk-ant-api03-{b64url:93}AA", "glpat-{alnum:20}", "AGE-SECRET-KEY-1{bech32:58}",
		"xoxb-{digits:12}-{digits:13}-{alnum:24}", "sk_live_{alnum:24}", "SG.{b64url:22}.{b64url:43}", "hf_{alnum:34}", "SK{hex:32}",
	}
	seeds(f, variants, func(s string) { f.Add(s, s, uint8(len(s)), uint8(1)) })
	x := redactor(f, all(f))
	f.Fuzz(func(t *testing.T, before, after string, kind, n uint8) {
		secret := fill(t, templates[int(kind)%len(templates)], int(n))
		out, _ := x.Redact(before + "\n" + secret + "\n" + after)
		if strings.Contains(out, secret) && !strings.Contains(before+after, secret) {
			t.Fatalf("%q is left in %q", secret, out)
		}
	})
}

// FuzzValue: what JSON has can be redacted, a second time changes nothing, and the shape stays.
func FuzzValue(f *testing.F) {
	f.Add([]byte(`{"password":"hunter2hunter2","argv":["--token","abcd1234efgh"],"x":[1,null,true,{"/home/mkowalski":{}}]}`))
	seeds(f, variants, func(s string) {
		if b, err := json.Marshal(map[string]any{s: []any{s}, "token": s}); err == nil {
			f.Add(b)
		}
	})
	x := redactor(f, all(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v any
		if json.Unmarshal(b, &v) != nil {
			return
		}
		out, _, err := x.Value(v)
		if err != nil {
			return
		}
		again, hits, err := x.Value(out)
		if err != nil || len(hits) != 0 || !reflect.DeepEqual(again, out) {
			t.Fatalf("%s became %v, and then %v: %v, %v", b, out, again, hits, err)
		}
		if count(out) != count(v) {
			t.Fatalf("%s became %v", b, out)
		}
	})
}

// count returns how many values a value has in it.
func count(v any) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			n += count(x)
		}
	case map[string]any:
		for _, x := range v {
			n += count(x)
		}
	}
	return n
}
