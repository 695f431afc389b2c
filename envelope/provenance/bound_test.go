package provenance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/vectors"
)

const dir = "../../testdata/vectors/seal"

func parse(payload []byte) ([]byte, error) {
	s, err := provenance.Parse(&envelope.Opened{PayloadType: envelope.TypeInToto, Payload: payload})
	if err != nil {
		return nil, err
	}
	return s.Encode()
}

// Each file is the payload of a seal, of both versions that are read; what is refused is named after its reason.
func TestVectors(t *testing.T) { vectors.Hold(t, dir, written(), parse) }

// What parses is written as the same bytes, and is of the version that what it names asks for.
func FuzzSeal(f *testing.F) {
	vectors.Seed(f, dir)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := provenance.Parse(&envelope.Opened{PayloadType: envelope.TypeInToto, Payload: b})
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil || string(again) != string(b) {
			t.Errorf("%s is written as %s: %v", b, again, err)
		}
		p := &s.Predicate
		if (s.PredicateType == provenance.BoundType) != p.Names() || len(p.Evidence) > provenance.MaxBound || !slices.IsSorted(p.Evidence) || p.IntentState != nil && !provenance.IsIntentID(p.Intent) {
			t.Errorf("%s was taken", b)
		}
	})
}

// written are the vectors as they are written, by their names.
func written() map[string]string {
	digest := func(n int) string { return fmt.Sprintf(`"sha256:%064x"`, n) }
	list := func(n int) string {
		var out []string
		for i := range n {
			out = append(out, digest(i+1))
		}
		return "[" + strings.Join(out, ",") + "]"
	}
	entry := `"entry":{"repository":"sha256:` + strings.Repeat("0", 64) + `","seq":1,"time":"2026-01-01T00:00:00Z","topic":"provenance","writer":"0123456789abcdef-01234567"}`
	all := func(version, named, intent, state, reviews string, unrecorded ...string) string {
		u := append([]string{"memory", "model", "usage", "tool"}, unrecorded...)
		slices.Sort(u)
		return `{"_type":"https://in-toto.io/Statement/v1","predicate":{"attended":false,"changes":[[{"new":"` + strings.Repeat("c", 40) + `","newMode":"100644","path":"a.txt","sha256":"` + strings.Repeat("d", 64) +
			`","status":"A"}]],` + entry + named + `,"grants":[]` + intent + state + `,"mode":"vouch","parents":[],"principal":{"accountable":"ada","kind":"human","name":"ada"}` + reviews + `,"unrecorded":["` + strings.Join(u, `","`) +
			`"]},"predicateType":"https://github.com/open-covenant/covenant-git/seal/` + version + `","subject":[{"digest":{"gitCommit":"` + strings.Repeat("a", 40) + `"},"name":"commit"},{"digest":{"gitTree":"` + strings.Repeat("b", 40) +
			`"},"name":"tree"}]}`
	}
	evidence := func(text, more string) string {
		if more != "" {
			more = `,"evidenceMore":` + more
		}
		return `,"evidence":` + text + more
	}
	const id = `,"intent":"0d4f362e84e189eac5d8dc57a6dad197"`
	state := func(last, word, n string) string {
		return `,"intentState":{"last":` + last + `,"state":"` + word + `","statements":` + n + `}`
	}
	reviews := func(text string) string { return `,"reviews":` + text }
	good := state(digest(7), "in_progress", "4")
	return map[string]string{
		"accept/first-version":             all("v1", "", "", "", "", "evidence", "intent", "reviews"),
		"accept/first-version-with-intent": all("v1", "", `,"intent":"fix-42"`, "", "", "evidence", "reviews"),
		"accept/evidence":                  all("v2", evidence(list(2), ""), "", "", "", "intent", "reviews"),
		"accept/evidence-cut":              all("v2", evidence(list(16), "5"), "", "", "", "intent", "reviews"),
		"accept/state":                     all("v2", "", id, good, "", "evidence", "reviews"),
		"accept/reviews":                   all("v2", "", "", "", reviews(list(1)), "evidence", "intent"),
		"accept/reviews-and-a-name":        all("v2", "", `,"intent":"fix-42"`, "", reviews(list(1)), "evidence", "intentState"),
		"accept/all":                       all("v2", evidence(list(1), ""), id, good, reviews(list(3))),
		"reject/first-version-names":       all("v1", evidence(list(1), ""), "", "", "", "intent", "reviews"),
		"reject/second-version-of-nothing": all("v2", "", "", "", "", "evidence", "intent", "reviews"),
		"reject/newer":                     all("v3", "", "", "", "", "evidence", "intent", "reviews"),
		"reject/newer-with-names":          all("v3", evidence(list(1), ""), "", "", "", "intent", "reviews"),
		"reject/evidence-empty":            all("v2", evidence("[]", ""), id, good, "", "evidence", "reviews"),
		"reject/evidence-null":             all("v2", evidence("null", ""), id, good, "", "evidence", "reviews"),
		"reject/evidence-unsorted":         all("v2", evidence("["+digest(2)+","+digest(1)+"]", ""), "", "", "", "intent", "reviews"),
		"reject/evidence-twice":            all("v2", evidence("["+digest(1)+","+digest(1)+"]", ""), "", "", "", "intent", "reviews"),
		"reject/evidence-no-digest":        all("v2", evidence(`["x"]`, ""), "", "", "", "intent", "reviews"),
		"reject/evidence-too-many":         all("v2", evidence(list(17), ""), "", "", "", "intent", "reviews"),
		"reject/evidence-more-of-few":      all("v2", evidence(list(2), "1"), "", "", "", "intent", "reviews"),
		"reject/evidence-more-of-none":     all("v2", `,"evidenceMore":1`, "", "", "", "evidence", "intent", "reviews"),
		"reject/evidence-less":             all("v2", evidence(list(16), "-1"), "", "", "", "intent", "reviews"),
		"reject/evidence-more-zero":        all("v2", evidence(list(16), "0"), "", "", "", "intent", "reviews"),
		"reject/evidence-said-to-be-left":  all("v2", evidence(list(2), ""), "", "", "", "evidence", "intent", "reviews"),
		"reject/state-of-no-intent":        all("v2", "", "", good, "", "evidence", "intent", "reviews"),
		"reject/state-of-a-name":           all("v2", "", `,"intent":"fix-42"`, good, "", "evidence", "reviews"),
		"reject/state-of-no-statement":     all("v2", "", id, state(digest(7), "proposed", "0"), "", "evidence", "reviews"),
		"reject/state-of-too-many":         all("v2", "", id, state(digest(7), "proposed", "65537"), "", "evidence", "reviews"),
		"reject/state-without-a-last":      all("v2", "", id, state(`""`, "proposed", "1"), "", "evidence", "reviews"),
		"reject/state-empty":               all("v2", "", id, state(digest(7), "", "1"), "", "evidence", "reviews"),
		"reject/state-in-capitals":         all("v2", "", id, state(digest(7), "READY", "1"), "", "evidence", "reviews"),
		"reject/state-left-unsaid":         all("v2", evidence(list(1), ""), `,"intent":"fix-42"`, "", "", "reviews"),
		"reject/field-unknown":             all("v2", evidence(list(1), ""), "", `,"later":1`, "", "intent", "reviews"),
	}
}
