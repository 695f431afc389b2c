package redaction_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope/redaction"
)

// check holds the properties that every text has, and returns it redacted.
func check(t testing.TB, x *redaction.Redactor, text string) (string, []redaction.Hit) {
	t.Helper()
	out, hits := x.Redact(text)
	rest, at, line := out, 0, 1
	for _, h := range hits {
		between := text[at:h.Offset]
		line += strings.Count(between, "\n")
		var ok bool
		if rest, ok = strings.CutPrefix(rest, between); !ok {
			t.Fatalf("%q became %q: what stands before %v is not the same", text, out, h)
		}
		mark, after, ok := strings.Cut(rest, "]")
		if !ok || !strings.HasPrefix(mark, "[redacted:"+string(h.Rule)) {
			t.Fatalf("%q became %q: no mark for %v", text, out, h)
		}
		column := h.Offset - strings.LastIndexByte(text[:h.Offset], '\n')
		if h.Length <= 0 || h.Line != line || h.Column != column {
			t.Fatalf("%q: hit %+v; it stands at %d:%d", text, h, line, column)
		}
		secret := text[h.Offset : h.Offset+h.Length]
		if strings.Contains(mark, secret) && len(secret) > 12 {
			t.Fatalf("%q became %q: the mark shows the secret", text, out)
		}
		line += strings.Count(secret, "\n")
		rest, at = after, h.Offset+h.Length
	}
	if rest != text[at:] {
		t.Fatalf("%q became %q: the end is not the same", text, out)
	}
	if utf8.ValidString(text) && !utf8.ValidString(out) {
		t.Fatalf("%q became %q, which is not UTF-8", text, out)
	}
	if again, more := x.Redact(out); again != out || len(more) != 0 {
		t.Fatalf("%q became %q, and then %q: %v", text, out, again, more)
	}
	return out, hits
}

func TestRedact(t *testing.T) {
	for _, s := range positives(t) {
		x := redactor(t, all(t))
		out, hits := check(t, x, s.text)
		if secret := s.text[s.start:s.end]; found(hits, s) && strings.Contains(out, secret) && len(secret) > 8 {
			t.Errorf("%q became %q", s.text, out)
		}
		for _, h := range hits {
			if secret := s.text[h.Offset : h.Offset+h.Length]; len(secret) > 20 && strings.Contains(fmt.Sprintf("%v %+v %#v", h, h, h), secret) {
				t.Errorf("%v shows the secret", h)
			}
		}
	}
	for _, text := range negatives(t) {
		check(t, redactor(t, all(t)), text)
	}
}

func TestMark(t *testing.T) {
	key := bytes.Repeat([]byte{7}, redaction.KeySize)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("hunter2hunter2"))
	digest := hex.EncodeToString(mac.Sum(nil))[:12]
	for _, c := range []struct {
		key  []byte
		want string
	}{
		{nil, "password=[redacted:assignment] x"},
		{key, "password=[redacted:assignment:" + digest + "] x"},
	} {
		x, err := redaction.New(redaction.Rules{}, c.key)
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := x.Redact("password=hunter2hunter2 x"); out != c.want {
			t.Errorf("%q, want %q", out, c.want)
		}
	}
	if _, err := redaction.New(redaction.Rules{}, key[:31]); !errors.Is(err, redaction.ErrKey) {
		t.Errorf("a key of 31 bytes: %v", err)
	}
	x := redactor(t, redaction.Rules{})
	a, _ := x.Redact("token=abcd1234efgh")
	b, _ := x.Redact("API_TOKEN: 'abcd1234efgh'")
	if a[strings.LastIndexByte(a, ':'):] != strings.TrimSuffix(b[strings.LastIndexByte(b, ':'):], "'") {
		t.Errorf("equal secrets cannot be told: %s, %s", a, b)
	}
}

// TestWorkedExample: the page's example is what comes out.
func TestWorkedExample(t *testing.T) {
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "## Worked example")
	lines := strings.Split(after, "\n")
	x, err := redaction.New(redaction.Rules{}, bytes.Repeat([]byte{7}, redaction.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(lines, "```") + 1
	if out, hits := x.Redact(lines[i]); out != lines[i+1] || len(hits) != 2 {
		t.Errorf("%q became %q", lines[i], out)
	}
}

// TestNoMark: what only looks like a mark hides nothing.
func TestNoMark(t *testing.T) {
	x := redactor(t, redaction.Rules{})
	for _, text := range []string{
		"password=[redacted:hunter2hunter2]", "[redacted:nope:{}]password=hunter2hunter2", "[redacted:jwt:xyz]password=hunter2hunter2",
		"[redacted:jwt:0123456789ab password=hunter2hunter2", "[redacted:jwt:0123456789abc]x password=hunter2hunter2",
	} {
		if _, hits := check(t, x, text); len(hits) == 0 && strings.Contains(text, "]password") {
			t.Errorf("%q: nothing found", text)
		}
	}
}

func TestRules(t *testing.T) {
	if names := (redaction.Rules{}).Names(); len(names) != 33 {
		t.Errorf("%d rules are in force by default", len(names))
	}
	if _, err := (redaction.Rules{}).With("nope"); !errors.Is(err, redaction.ErrRule) {
		t.Errorf("an unknown rule: %v", err)
	}
	base := redaction.Rules{}
	less, err := base.Without(redaction.Home, redaction.Home)
	if err != nil {
		t.Fatal(err)
	}
	text := "/home/mkowalski/x " + "write to mk@example.org"
	if out, _ := redactor(t, less).Redact(text); out != text {
		t.Errorf("without the rule: %q", out)
	}
	if _, hits := redactor(t, base).Redact(text); len(hits) != 1 || hits[0].Rule != redaction.Home {
		t.Errorf("the rules changed: %v", hits)
	}
	more := base.Secrets("first-secret", "short").Secrets("other-secret")
	if _, hits := redactor(t, more).Redact("first-secret other-secret short"); len(hits) != 2 {
		t.Errorf("secrets of the caller: %v", hits)
	}
	for _, r := range base.Names() {
		if b, err := os.ReadFile(page); err != nil || !bytes.Contains(b, []byte("| `"+string(r)+"` |")) || len(r) > 24 {
			t.Errorf("the page does not tell %s", r)
		}
	}
}

func TestPerson(t *testing.T) {
	x := redactor(t, redaction.Rules{}.For(redaction.Person{Home: `C:\Work\lovelace`, User: "ada_l", Host: "engine"}))
	for text, want := range map[string]string{
		`C:\Work\lovelace\x`:   "C:\\Work\\[redacted:home:",
		`C:\\Work\\lovelace\\`: `C:\\Work\\[redacted:home:`,
		"C:/Work/lovelace/x":   "C:/Work/[redacted:home:",
		"C:/Work/lovelace2/x":  "C:/Work/lovelace2/x",
		"by ada_l.":            "by [redacted:user:",
		"by ada_lx engines":    "by ada_lx engines",
		"ada_l@engine":         "[redacted:user:",
	} {
		if out, _ := check(t, x, text); !strings.HasPrefix(out, want) {
			t.Errorf("%q became %q, want %q…", text, out, want)
		}
	}
	root := redactor(t, redaction.Rules{}.For(redaction.Person{User: "root", Host: "localhost", Home: "/"}))
	if out, _ := root.Redact("root@localhost: /"); out != "root@localhost: /" {
		t.Errorf("everybody is called that: %q", out)
	}
}

func TestOverlap(t *testing.T) {
	x := redactor(t, redaction.Rules{}.Secrets("abcdefghij", "fghijklmno", "abcdefgh"))
	out, hits := check(t, x, "abcdefghijklmno")
	if len(hits) != 2 || hits[0].Length != 10 || hits[1].Length != 5 || strings.Contains(out, "klm") {
		t.Errorf("%q %v", out, hits)
	}
}

// What is cut out of a text has no piece of a secret that the cut goes through.
func TestPart(t *testing.T) {
	x := redactor(t, redaction.Rules{}.Secrets("first-secret", "other-secret"))
	const text = "AA first-secret BB other-secret CC"
	whole, _ := x.Redact(text)
	for from := range len(text) + 1 {
		for to := from; to <= len(text); to++ {
			out, hits := x.Part(text, from, to)
			left := strings.TrimSpace(regexp.MustCompile(`\[redacted:known:[0-9a-f]{12}\]`).ReplaceAllString(out, ""))
			if strings.ContainsAny(left, "firstecrohe-") || len(hits) != strings.Count(out, "[redacted:") {
				t.Fatalf("%d to %d: %q, %v", from, to, out, hits)
			}
			if from == 0 && to == len(text) && out != whole {
				t.Fatalf("all of it: %q", out)
			}
		}
	}
}

func TestUnmarked(t *testing.T) {
	const text = "aa[redacted:home]bb[redacted:nothing]cc[redacted:host:0123456789ab]"
	for _, c := range []struct {
		from, to int
		want     []string
	}{
		{0, len(text), []string{"aa", "bb", "nothing]cc"}},
		{1, 5, []string{"a"}},
		{5, 18, []string{"b"}},
		{5, 10, nil},
		{17, 19, []string{"bb"}},
		{len(text) - 3, len(text), nil},
		{0, 0, nil},
	} {
		if got := redaction.Unmarked(text)(c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("%d to %d: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

// So many secrets that not all can be looked for make no redactor that looks for some.
func TestTooManySecrets(t *testing.T) {
	values := make([]string, 70_000)
	for i := range values {
		values[i] = fmt.Sprintf("%d-secret", i)
	}
	if _, err := redaction.New(redaction.Rules{}.Secrets("x", "x").Secrets(values...), nil); !errors.Is(err, redaction.ErrSecrets) {
		t.Fatalf("%d secrets: %v", len(values), err)
	}
	x := redactor(t, redaction.Rules{}.Secrets(values[:redaction.MaxSecrets]...))
	for _, v := range values[:redaction.MaxSecrets] {
		if out, _ := x.Redact(v); strings.Contains(out, v) {
			t.Fatalf("%q stays", v)
		}
	}
}

func TestValue(t *testing.T) {
	x := redactor(t, redaction.Rules{})
	var v any
	text := `{"password":"hunter2hunter2","count":3,"nested":{"apiKey":["abcd1234efgh",null,true],"note":"see /home/mkowalski/x"},
		"argv":["curl","--token","abcd1234efgh","--page","abcd1234efgh"],"/home/mkowalski/k":"v","password_hash":"abcd1234efgh","tokenCount":"1234abcd5678"}`
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	out, hits, err := x.Value(v)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, h := range hits {
		paths = append(paths, h.Path)
	}
	if s := string(b); strings.Contains(s, "hunter2") || strings.Contains(s, "mkowalski") || strings.Count(s, "abcd1234efgh") != 2 || len(hits) != 5 {
		t.Errorf("%s\n%v", b, paths)
	}
	if again, more, err := x.Value(out); err != nil || len(more) != 0 || !reflect.DeepEqual(again, out) {
		t.Errorf("again: %v %v %v", again, more, err)
	}
	if m, ok := v.(map[string]any); !ok || m["password"] != "hunter2hunter2" {
		t.Error("the value was changed")
	}
	for _, bad := range []any{struct{}{}, []byte("x"), map[int]string{}, []any{func() {}}, deep(redaction.MaxDepth + 1)} {
		if _, _, err := x.Value(bad); !errors.Is(err, redaction.ErrValue) {
			t.Errorf("%T: %v", bad, err)
		}
	}
	if _, _, err := x.Value(deep(redaction.MaxDepth)); err != nil {
		t.Error(err)
	}
	// The name is too long to be looked at before a part of it is redacted, and must not be after.
	long := map[string]any{"password /home/mkowalski-mkowalski-mkowalski-mkowalski-mkowalski/" + strings.Repeat("/", 40): "hunter2hunter2"}
	once, _, err := x.Value(long)
	if err != nil {
		t.Fatal(err)
	}
	if twice, more, err := x.Value(once); err != nil || len(more) != 0 || !reflect.DeepEqual(once, twice) {
		t.Errorf("%v, and then %v", once, twice)
	}
	noKey, err := redaction.New(redaction.Rules{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	both, _, err := noKey.Value(map[string]string{"/home/mkowalski/k": "1", "/home/svetlana/k": "2"})
	if m, ok := both.(map[string]string); err != nil || !ok || len(m) != 2 {
		t.Errorf("two names became one: %v, %v", both, err)
	}
}

func deep(n int) any {
	v := any("x")
	for range n {
		v = []any{v}
	}
	return v
}

// mixture returns much text: samples of the corpus in some order, with and without lines between.
func mixture(t testing.TB, g *rand.Rand, size int) string {
	t.Helper()
	good, bad := positives(t), negatives(t)
	var b strings.Builder
	for b.Len() < size {
		switch g.IntN(4) {
		case 0:
			b.WriteString(good[g.IntN(len(good))].text)
		case 1:
			b.WriteString("[redacted:jwt:0123456789ab]")
		default:
			b.WriteString(bad[g.IntN(len(bad))])
		}
		if g.IntN(8) > 0 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// TestStream: however a text is cut, a writer and a reader give what Redact gives.
func TestStream(t *testing.T) {
	x := redactor(t, all(t))
	g := rand.New(rand.NewPCG(1, 2))
	pem := fill(t, "{pem:RSA PRIVATE KEY:900}", 0) // nearly a window
	for round := range 4 {
		text := mixture(t, g, 150_000) + "\n" + pem + mixture(t, g, 80_000)
		if round == 0 {
			text += "\n" + fill(t, "{pem:PGP PRIVATE KEY BLOCK:3000}", 0) + "\nend" // more than a window
		}
		want, hits := check(t, x, text)
		stream(t, x, text, want, hits, g)
	}
}

func stream(t testing.TB, x *redaction.Redactor, text, want string, hits []redaction.Hit, g *rand.Rand) {
	t.Helper()
	var out bytes.Buffer
	w := x.Writer(&out)
	for rest := text; rest != ""; {
		n := min(len(rest), 1+g.IntN(1<<g.IntN(18)))
		if m, err := w.Write([]byte(rest[:n])); m != n || err != nil {
			t.Fatal(m, err)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if out.String() != want || !reflect.DeepEqual(w.Hits(), hits) && len(hits) > 0 {
		t.Fatalf("the writer gives %d bytes and %d hits, Redact %d and %d", out.Len(), len(w.Hits()), len(want), len(hits))
	}
	if _, err := w.Write([]byte("x")); !errors.Is(err, redaction.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	r := x.Reader(iotest.HalfReader(strings.NewReader(text)))
	b, err := io.ReadAll(r)
	if err != nil || string(b) != want || len(r.Hits()) != len(hits) {
		t.Fatalf("the reader gives %d bytes and %d hits, %v", len(b), len(r.Hits()), err)
	}
}

func TestStreamErrors(t *testing.T) {
	x := redactor(t, redaction.Rules{})
	broken := errors.New("broken")
	b, err := io.ReadAll(x.Reader(io.MultiReader(strings.NewReader("password=hunter2hunter2"), iotest.ErrReader(broken))))
	if !errors.Is(err, broken) || strings.Contains(string(b), "hunter") {
		t.Errorf("%q, %v", b, err)
	}
	w := x.Writer(brokenWriter{broken})
	if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, broken) {
		t.Errorf("write: %v", err)
	}
	if err := w.Close(); !errors.Is(err, broken) {
		t.Errorf("close: %v", err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
