package redaction_test

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/redaction"
)

const (
	corpus = "../../testdata/redaction/"
	page   = "../../docs/spec/redaction.md"
	// variants is how often each sample is filled in.
	variants = 3
)

// A sample is a text, the rule that has to find something in it, and where.
type sample struct {
	rule       redaction.Rule
	text       string
	start, end int
}

// all is every rule, for a person and with a secret that the caller knows.
func all(t testing.TB) redaction.Rules {
	t.Helper()
	rules, err := redaction.Rules{}.With(redaction.Email)
	if err != nil {
		t.Fatal(err)
	}
	return rules.Secrets("opensesame-opensesame").For(redaction.Person{Home: "/srv/people/adalove", User: "adalove", Host: "difference-engine"})
}

func redactor(t testing.TB, rules redaction.Rules) *redaction.Redactor {
	t.Helper()
	x, err := redaction.New(rules, []byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// readLines returns the samples of a file, and fails when there are none.
func readLines(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile(corpus + name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	if len(lines) < 200 {
		t.Fatalf("%s has %d samples", name, len(lines))
	}
	return lines
}

func positives(t testing.TB) []sample {
	t.Helper()
	var samples []sample
	for _, line := range readLines(t, "positive.txt") {
		rule, template, _ := strings.Cut(line, " ")
		if !redaction.Rule(rule).Exists() {
			t.Fatalf("%q begins with no rule", line)
		}
		for n := range variants {
			text := fill(t, template, n)
			before, rest, ok1 := strings.Cut(text, "«")
			secret, after, ok2 := strings.Cut(rest, "»")
			if !ok1 || !ok2 {
				t.Fatalf("%q marks no secret", line)
			}
			samples = append(samples, sample{redaction.Rule(rule), before + secret + after, len(before), len(before) + len(secret)})
		}
	}
	return samples
}

func negatives(t testing.TB) []string {
	t.Helper()
	var texts []string
	for _, line := range readLines(t, "negative.txt") {
		for n := range variants {
			texts = append(texts, fill(t, line, n))
		}
	}
	return texts
}

var hole = regexp.MustCompile(`\{([A-Za-z0-9]+)(?::([^{}]+))?\}`)

// fill fills a template in; what it makes depends on the template and n only.
func fill(t testing.TB, template string, n int) string {
	t.Helper()
	h := fnv.New64a()
	h.Write([]byte(template))
	g := generator{rand.New(rand.NewPCG(h.Sum64(), uint64(n)))}
	template = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(template)
	return hole.ReplaceAllStringFunc(template, func(s string) string {
		m := hole.FindStringSubmatch(s)
		if out, ok := g.make(m[1], m[2]); ok {
			return out
		}
		return s
	})
}

type generator struct{ *rand.Rand }

const (
	lowers   = "abcdefghijklmnopqrstuvwxyz"
	uppers   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numerals = "0123456789"
)

var alphabets = map[string]string{
	"alnum": lowers + uppers + numerals, "lowalnum": lowers + numerals, "lower": lowers, "digits": numerals, "hex": numerals + "abcdef",
	"HEX": numerals + "ABCDEF", "base32": uppers + "234567", "b64": lowers + uppers + numerals + "+/", "b64url": lowers + uppers + numerals + "-_",
	"bech32": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", "pass": lowers + uppers + numerals + "!#%^*-_",
}

func (g generator) from(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(b)
}

func (g generator) pick(list ...string) string { return list[g.IntN(len(list))] }

func (g generator) make(kind, arg string) (string, bool) {
	if alphabet, ok := alphabets[kind]; ok {
		n, err := strconv.Atoi(arg)
		for err == nil {
			s := g.from(alphabet, n)
			// A password has to have what rules for passwords ask for; nothing random ends oddly.
			if kind == "pass" && (!strings.ContainsAny(s, numerals) || !strings.ContainsAny(s, lowers)) || strings.ContainsAny(s[:1]+s[n-1:], "-_!#%^*") {
				continue
			}
			return s, true
		}
		return "", false
	}
	url := base64.RawURLEncoding.EncodeToString
	switch kind {
	case "esc":
		return "\x1b", true
	case "name":
		return g.pick("ada", "grace", "mkowalski", "li.wei", "o-brien", "svetlana2", "j_doe"), true
	case "Name":
		return g.pick("Ada", "Grace", "Svetlana"), true
	case "word":
		return g.pick("sunflower", "dragonfly", "waterloo"), true
	case "uuid":
		return fmt.Sprintf("%s-%s-4%s-a%s-%s", g.from(alphabets["hex"], 8), g.from(alphabets["hex"], 4), g.from(alphabets["hex"], 3),
			g.from(alphabets["hex"], 3), g.from(alphabets["hex"], 12)), true
	case "basic":
		return base64.StdEncoding.EncodeToString([]byte("ada:" + g.from(alphabets["alnum"], 12))), true
	case "b64pct":
		return strings.NewReplacer("+", "%2B", "/", "%2F").Replace(g.from(alphabets["b64"], 43)) + "%3D", true
	case "github":
		return arg + withSum(g.from(alphabets["alnum"], 30)), true
	case "split":
		s := withSum(g.from(alphabets["alnum"], 30))
		return arg + s[:10] + "\" + \"" + s[10:], true
	case "jwt":
		return url([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + url(fmt.Appendf(nil, `{"sub":"%d"}`, g.IntN(1e9))) + "." + g.from(alphabets["b64url"], 43), true
	case "jwe":
		return url([]byte(`{"alg":"dir","enc":"A128GCM"}`)) + ".." + g.from(alphabets["b64url"], 16) + "." + g.from(alphabets["b64url"], 90) + "." + g.from(alphabets["b64url"], 22), true
	case "base64lines":
		return g.lines(12, "", "\n"), true
	}
	return g.block(kind, arg)
}

// block makes private keys, as programs show them.
func (g generator) block(kind, arg string) (string, bool) {
	i := strings.LastIndexByte(arg, ':')
	if i < 0 {
		return "", false
	}
	lead, label, _ := strings.Cut(arg[:i], ":")
	if label == "" {
		lead, label = "", lead
	}
	n, err := strconv.Atoi(arg[i+1:])
	if err != nil {
		return "", false
	}
	begin, end := "-----BEGIN "+label+"-----", "-----END "+label+"-----"
	switch kind {
	case "pem", "pemdiff":
		return begin + "\n" + g.lines(n, lead, "\n") + lead + end, true
	case "pemhead":
		return begin + "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC," + g.from(alphabets["HEX"], 32) + "\n\n" + g.lines(n, "", "\n") + end, true
	case "pgp":
		return begin + "\nComment: a key\n\n" + g.lines(n, "", "\n") + "=" + g.from(alphabets["alnum"], 4) + "\n" + end, true
	case "pemjson":
		return begin + `\n` + g.lines(n, "", `\n`) + end, true
	case "pemcut":
		return begin + "\n" + strings.TrimSuffix(g.lines(n, "", "\n"), "\n"), true
	case "pemnumbered":
		lines := strings.Split(begin+"\n"+g.lines(n, "", "\n")+end, "\n")
		for i := range lines[1:] {
			lines[i+1] = fmt.Sprintf("%6d→%s", i+2, lines[i+1])
		}
		return strings.Join(lines, "\n"), true
	}
	return "", false
}

func (g generator) lines(n int, lead, sep string) string {
	var b strings.Builder
	for range n {
		b.WriteString(lead + g.from(alphabets["b64"], 64) + sep)
	}
	return b.String()
}

// withSum appends the checksum of GitHub's tokens.
func withSum(body string) string {
	const digits = numerals + uppers + lowers
	sum, out := crc32.ChecksumIEEE([]byte(body)), []byte("000000")
	for i := 5; sum > 0; i-- {
		out[i] = digits[sum%62]
		sum /= 62
	}
	return body + string(out)
}

// A rate is what a row of the page says.
type rate struct{ samples, found, alarms int }

// TestRates: the rates are those that the page states.
func TestRates(t *testing.T) {
	x := redactor(t, all(t))
	measured := make(map[redaction.Rule]rate)
	for _, s := range positives(t) {
		r := measured[s.rule]
		r.samples++
		if found(x.Scan(s.text), s) {
			r.found++
		} else {
			t.Logf("missed: %s %q", s.rule, s.text[:min(len(s.text), 120)])
		}
		measured[s.rule] = r
	}
	plain := redactor(t, withoutEmail(t))
	texts := negatives(t)
	for _, text := range texts {
		hits := plain.Scan(text)
		if len(hits) > 0 {
			t.Logf("false alarm: %s in %q", hits[0].Rule, text[:min(len(text), 120)])
		}
		for i, h := range hits {
			if !slices.ContainsFunc(hits[:i], func(o redaction.Hit) bool { return o.Rule == h.Rule }) {
				r := measured[h.Rule]
				r.alarms++
				measured[h.Rule] = r
			}
		}
	}
	stated := statedRates(t)
	var total rate
	for _, name := range x.Names() {
		m := measured[name]
		total = rate{total.samples + m.samples, total.found + m.found, total.alarms + m.alarms}
		if m.samples == 0 {
			t.Errorf("%s has no sample", name)
		}
		if s, ok := stated[name]; !ok || s != m {
			t.Errorf("the page says %v; row measured: | `%s` | %d | %d | %d |", s, name, m.samples, m.found, m.alarms)
		}
	}
	if stated["all"] != total {
		t.Errorf("row measured: | all | %d | %d | %d |", total.samples, total.found, total.alarms)
	}
	b, err := os.ReadFile(page)
	if want := fmt.Sprintf("%d negative samples", len(texts)); err != nil || !strings.Contains(string(b), want) {
		t.Errorf("the page does not say %q", want)
	}
}

// withoutEmail is every rule but that for addresses, which are no secret in what Git shows.
func withoutEmail(t testing.TB) redaction.Rules {
	t.Helper()
	rules, err := all(t).Without(redaction.Email)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

// found reports whether hits cover the secret of a sample, and one of its rule begins in it or covers it.
func found(hits []redaction.Hit, s sample) bool {
	at, named := s.start, false
	for _, h := range hits {
		if h.Offset <= at && h.Offset+h.Length > at {
			at = h.Offset + h.Length
			named = named || h.Rule == s.rule
		}
	}
	return named && at >= s.end
}

var row = regexp.MustCompile("(?m)^\\| `?([a-z-]+)`? \\| (\\d+) \\| (\\d+) \\| (\\d+) \\|$")

func statedRates(t *testing.T) map[redaction.Rule]rate {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	rates := make(map[redaction.Rule]rate)
	for _, m := range row.FindAllStringSubmatch(string(b), -1) {
		var n [3]int
		for i := range n {
			if n[i], err = strconv.Atoi(m[i+2]); err != nil {
				t.Fatal(err)
			}
		}
		rates[redaction.Rule(m[1])] = rate{n[0], n[1], n[2]}
	}
	return rates
}
