package release_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/release"
	"github.com/open-covenant/covenant-git/envelope/vectors"
	"github.com/open-covenant/covenant-git/git/oid"
)

const dir = "../../testdata/vectors/release"

func parse(payload []byte) ([]byte, error) {
	s, err := release.Parse(&envelope.Opened{PayloadType: envelope.TypeInToto, Payload: payload})
	if err != nil {
		return nil, err
	}
	return s.Encode()
}

// Each file is the payload of a statement; what is refused is named after its reason.
func TestVectors(t *testing.T) { vectors.Hold(t, dir, written(t), parse) }

// What parses is written as the same bytes.
func FuzzStatement(f *testing.F) { vectors.Fuzz(f, dir, parse) }

// The digest of a set of commits is that of their sorted lines, in whatever order they come.
func TestNames(t *testing.T) {
	a, err := oid.Parse(strings.Repeat("1", 40))
	if err != nil {
		t.Fatal(err)
	}
	b, err := oid.Parse(strings.Repeat("2", 40))
	if err != nil {
		t.Fatal(err)
	}
	if release.Names([]oid.ID{a, b}) != release.Names([]oid.ID{b, a}) || release.Names([]oid.ID{a}) == release.Names([]oid.ID{b}) {
		t.Error("it depends on the order, or on nothing")
	}
	if got := release.Names(nil); got != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Error(got)
	}
}

// written are the vectors as they are written, by their names.
func written(t *testing.T) map[string]string {
	t.Helper()
	const commit, tag, from = "2222222222222222222222222222222222222222", "3333333333333333333333333333333333333333", "4444444444444444444444444444444444444444"
	digest := strings.Repeat("1", 64)
	d := "sha256:" + digest
	all := func(predicate, subject string) string {
		return `{"_type":"https://in-toto.io/Statement/v1","predicate":{` + predicate + `},"predicateType":"` + release.Type + `","subject":[` + subject + `]}`
	}
	of := func(kind, name, value string) string {
		return `{"digest":{"` + kind + `":"` + value + `"},"name":"` + name + `"}`
	}
	rest := func(artifacts, names, more string) string {
		return artifacts + `"checkpoint":{"entry":"` + d + `","note":"covenant/x\n1\nAAAA\n\n— covenant/x AAAA\n"},"commit":"` + commit + `",` + fmt.Sprintf(
			`"entry":{"prev":"%s","repository":"%s","seq":2,"time":"2026-01-31T12:00:00Z","topic":"audit","writer":"0123456789abcdef-01234567"},`, d, d) + names +
			`"principal":{"accountable":"ada","kind":"human","name":"ada"},"scope":{"commits":3,"from":"` + from + `","sha256":"` + digest + `"}` + more
	}
	file := func(name string) string { return `{"name":"` + name + `","sha256":"` + digest + `","size":7}` }
	files := func(names ...string) (list, subject string) {
		for i, n := range names {
			if i > 0 {
				list += ","
			}
			list += file(n)
			subject += "," + of("sha256", n, digest)
		}
		return `"artifacts":[` + list + `],`, subject
	}
	two, twoSubjects := files("a/b", "c")
	up, upSubjects := files("../a")
	twice, twiceSubjects := files("a", "a")
	byCommit := of("gitCommit", "commit", commit)
	return map[string]string{
		"accept/release":          all(rest(two, `"id":"v1",`, `,"tag":"`+tag+`","tagName":"refs/tags/v1","text":"x"`), byCommit+","+of("gitTag", "refs/tags/v1", tag)+twoSubjects),
		"accept/work":             all(rest("", `"intent":"some-work","previous":"`+d+`",`, ""), byCommit),
		"reject/for-nothing":      all(rest("", "", ""), byCommit),
		"reject/subject-missing":  all(rest(two, `"id":"v1",`, ""), byCommit),
		"reject/subject-other":    all(rest("", `"id":"v1",`, ""), of("gitCommit", "commit", tag)),
		"reject/subject-more":     all(rest("", `"id":"v1",`, ""), byCommit+twoSubjects),
		"reject/tag-no-name":      all(rest("", `"id":"v1",`, `,"tag":"`+tag+`"`), byCommit+","+of("gitTag", "", tag)),
		"reject/tag-is-a-branch":  all(rest("", `"id":"v1",`, `,"tag":"`+tag+`","tagName":"refs/heads/v1"`), byCommit+","+of("gitTag", "refs/heads/v1", tag)),
		"reject/path-up":          all(rest(up, `"id":"v1",`, ""), byCommit+upSubjects),
		"reject/path-twice":       all(rest(twice, `"id":"v1",`, ""), byCommit+twiceSubjects),
		"reject/note-open-ended":  strings.Replace(all(rest("", `"id":"v1",`, ""), byCommit), `AAAA\n"}`, `AAAA"}`, 1),
		"reject/previous-no-id":   all(rest("", `"id":"v1","previous":"main",`, ""), byCommit),
		"reject/field-unknown":    all(rest("", `"id":"v1",`, `,"wow":1`), byCommit),
		"reject/commits-negative": strings.Replace(all(rest("", `"id":"v1",`, ""), byCommit), `"commits":3`, `"commits":-3`, 1),
		"reject/newer":            strings.Replace(all(rest("", `"id":"v1",`, ""), byCommit), "attestation/v1", "attestation/v2", 1),
	}
}
