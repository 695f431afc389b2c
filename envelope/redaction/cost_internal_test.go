package redaction

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// maxLooks is the bound that docs/spec/redaction.md states: how many bytes matchers look at for each
// byte of text, whatever the text.
const maxLooks = 1200

// TestHostile: no text makes the work more than so much for each byte.
func TestHostile(t *testing.T) {
	m := Rules{}.machine()
	pieces := []string{
		"-----BEGIN PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", "eyJhbGciOiJub25lIn0.", "-eyJ", "eyJ.",
		"glpat-", "-glpat-", ".sk-", "password=", "password='", "pass", "token:", "key:\"", "\\\"token\\\":", "://a:", "://", "a@", "@a.", "/home/",
		"-home-", "~a", "Basic ", "bearer ", "authorization: bearer ", "AKIA", "\n:*:", "*:*:", ":5432:a", " -u", "curl -u a:", "machine a login b password ",
		"[redacted:", "[redacted:jwt]", "[redacted:jwt:0123456789ab", "hooks.slack.com/", "q~", "1q~", "&sig=", "aaaaaaaaaaaaaaaaa", ":aa", "\\", "%3D",
		"secret_", "private-lines: 1\n", "\x1b[31m", "1//0", "@tcp(", "sshpass -p'", "AccountKey=", "--token ", "<token>", "C:\\Users\\a ",
	}
	worst := 0
	g := rand.New(rand.NewPCG(3, 4))
	for i := range len(pieces) * 3 {
		var b strings.Builder
		a, c := pieces[i%len(pieces)], pieces[g.IntN(len(pieces))]
		for b.Len() < 20_000 {
			b.WriteString(a)
			if i >= len(pieces) {
				b.WriteString(c)
			}
			if i >= 2*len(pieces) && g.IntN(3) == 0 {
				b.WriteString(pieces[g.IntN(len(pieces))])
			}
		}
		_, _, looks := m.find(b.String(), 0, true, nil)
		if looks > maxLooks*b.Len() {
			t.Errorf("%q and %q: %d looks for each byte", a, c, looks/b.Len())
		}
		worst = max(worst, looks/b.Len())
	}
	t.Logf("at most %d looks for each byte", worst)
}

func BenchmarkRedact(b *testing.B) {
	x, err := New(Rules{}, make([]byte, KeySize))
	if err != nil {
		b.Fatal(err)
	}
	line := "2026-01-01T00:00:00Z INFO  build: compiled package git/ledger in 120ms (cache hit) token=none sum 9f86d081884c7d659a2feaa0c55ad015\n"
	for name, text := range map[string]string{
		"log":     strings.Repeat(line, 8000),
		"secrets": strings.Repeat(line+"export DB_PASSWORD=hunter2hunter2 in /home/mkowalski/src\n", 5000),
		"base64":  strings.Repeat("QWxhZGRpbjpvcGVuIHNlc2FtZSBpcyBub3QgYSBzZWNyZXQgYW55IG1vcmUgc2lu\n", 15000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				x.Redact(text)
			}
		})
	}
}
