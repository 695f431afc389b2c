package event_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/vectors"
)

const dir = "../../testdata/vectors/event"

// parse reads a statement of any type of this package, and returns it as it would be written.
func parse(payload []byte) ([]byte, error) {
	o := &envelope.Opened{PayloadType: envelope.TypeLedger, Payload: payload}
	typ, err := envelope.TypeOf(o)
	if err != nil {
		return nil, err
	}
	var s any
	switch name, _, _ := strings.Cut(typ, "/"); name {
	case "audit.recorded":
		s, err = event.Parse(o)
	case "checkpoint.signed":
		s, err = event.ParseCheckpoint(o)
	case "checkpoint.cosigned":
		s, err = event.ParseCosigning(o)
	case "ledger.resolved":
		s, err = event.ParseResolution(o)
	case "ledger.pruned":
		s, err = event.ParsePruning(o)
	default:
		err = errors.New("no statement of this package")
	}
	if err != nil {
		return nil, err
	}
	return canonical.Marshal(s)
}

// Each file is the payload of a statement; what is refused is named after its reason.
func TestVectors(t *testing.T) { vectors.Hold(t, dir, written(t), parse) }

// What parses is written as the same bytes.
func FuzzStatement(f *testing.F) { vectors.Fuzz(f, dir, parse) }

// written are the vectors as they are written, by their names.
func written(t *testing.T) map[string]string {
	t.Helper()
	d := "sha256:" + strings.Repeat("1", 64)
	e := "sha256:" + strings.Repeat("2", 64)
	entry := func(topic string) string {
		return fmt.Sprintf(`"entry":{"prev":"%s","repository":"%s","seq":2,"time":"2026-01-31T12:00:00Z","topic":"%s","writer":"0123456789abcdef-01234567"}`, d, d, topic)
	}
	all := func(typ, topic, body string) string {
		return `{"body":` + body + `,` + entry(topic) + `,"type":"` + typ + `"}`
	}
	events := func(list string) string { return all(event.Recorded, "audit", `{"events":[`+list+`]}`) }
	checkpoint := func(body string) string { return all(event.Checkpointed, "checkpoint", body) }
	resolve := func(body string) string { return all(event.Resolved, "capability", body) }
	prune := func(change ...string) string {
		return all(event.Pruned, "capability", strings.NewReplacer(change...).Replace(`{"before":"2026-01-31T00:00:00Z","dropped":5,"kinds":{"note":2,"tool_call_completed":3},"last":"`+d+`",`+
			`"of":"audit/0123456789abcdef-76543210","ranges":[[2,4],[6,7]],"reason":"kept for a year","root":"`+e+`","upTo":7}`))
	}
	return map[string]string{
		"accept/note":            events(`{"data":{"text":"x"},"kind":"note"}`),
		"accept/segment":         events(`{"kind":"intent_ignored"},{"at":"2026-01-31T11:59:00Z","data":{"a":[null,{"b":1}]},"intent":"i","kind":"x.me.it","outcome":"failed","session":"s"}`),
		"accept/kind-to-come":    events(`{"data":{"n":1},"kind":"of_another_release"}`),
		"accept/checkpoint":      checkpoint(`{"note":"covenant/x\n1\nAAAA\n\n— covenant/x AAAA\n","root":"` + d + `","version":3}`),
		"accept/cosigned":        all(event.Cosigned, "checkpoint", `{"checkpoint":"`+d+`","lines":"— w AAAA\n"}`),
		"accept/resolution":      resolve(`{"drop":"` + d + `","keep":"` + e + `","ledger":"audit/0123456789abcdef-76543210","reason":"stolen","seq":7}`),
		"accept/pruning":         prune(),
		"reject/pruning-of-what": prune(`"reason":"kept for a year"`, `"reason":""`),
		"reject/pruning-nothing": prune(`"ranges":[[2,4],[6,7]]`, `"ranges":[]`, `"dropped":5`, `"dropped":0`, `"upTo":7`, `"upTo":0`),
		"reject/ranges-touch":    prune(`[[2,4],[6,7]]`, `[[2,4],[5,7]]`, `"dropped":5`, `"dropped":6`),
		"reject/ranges-overlap":  prune(`[[2,4],[6,7]]`, `[[2,4],[4,7]]`, `"dropped":5`, `"dropped":7`),
		"reject/ranges-back":     prune(`[[2,4],[6,7]]`, `[[6,7],[2,4]]`, `"upTo":7`, `"upTo":4`),
		"reject/range-from-zero": prune(`[[2,4],[6,7]]`, `[[0,2],[6,7]]`),
		"reject/range-inverted":  prune(`[[2,4],[6,7]]`, `[[4,2],[6,7]]`),
		"reject/range-of-three":  prune(`[[2,4],[6,7]]`, `[[2,4],[6,7,8]]`),
		"reject/range-of-one":    prune(`[[2,4],[6,7]]`, `[[2,4],[7]]`, `"dropped":5`, `"dropped":4`),
		"reject/counts-fewer":    prune(`"dropped":5`, `"dropped":4`),
		"reject/ends-elsewhere":  prune(`"upTo":7`, `"upTo":8`),
		"reject/kinds-none":      prune(`{"note":2,"tool_call_completed":3}`, `{}`),
		"reject/kind-of-none":    prune(`"note":2`, `"note":0`),
		"reject/rest-of-few":     prune(`"note":2`, `"*":2`),
		"reject/root-in-base64":  prune(e, `AAAA`),
		"reject/before-a-day":    prune(`2026-01-31T00:00:00Z`, `2026-01-31`),
		"reject/newer-pruning":   all("ledger.pruned/v2", "capability", `{}`),
		"reject/no-events":       events(``),
		"reject/kind-upper-case": events(`{"kind":"Note"}`),
		"reject/kind-missing":    events(`{"data":{"text":"x"}}`),
		"reject/outcome-unknown": events(`{"kind":"note","outcome":"fine"}`),
		"reject/field-of-a-line": events(`{"data":{"principal":"ada"},"kind":"note"}`),
		"reject/field-unknown":   events(`{"kind":"note","who":"ada"}`),
		"reject/data-empty":      events(`{"data":{},"kind":"note"}`),
		"reject/time-with-zone":  events(`{"at":"2026-01-31T12:00:00+01:00","kind":"note"}`),
		"reject/not-canonical":   events(`{"kind":"note","data":{"text":"x"}}`),
		"reject/intent-of-lines": events(`{"intent":"a\nb","kind":"note"}`),
		"reject/newer-recording": all("audit.recorded/v2", "audit", `{"events":[]}`),
		"reject/note-open-ended": checkpoint(`{"note":"x","root":"` + d + `","version":3}`),
		"reject/root-no-digest":  checkpoint(`{"note":"x\n","root":"main","version":3}`),
		"reject/version-zero":    checkpoint(`{"note":"x\n","root":"` + d + `","version":0}`),
		"reject/newer-note":      all("checkpoint.signed/v2", "checkpoint", `{}`),
		"reject/lines-none":      all(event.Cosigned, "checkpoint", `{"checkpoint":"`+d+`","lines":""}`),
		"reject/keeps-the-drop":  resolve(`{"drop":"` + d + `","keep":"` + d + `","ledger":"audit/0123456789abcdef-76543210","seq":7}`),
		"reject/number-zero":     resolve(`{"drop":"` + d + `","keep":"` + e + `","ledger":"audit/0123456789abcdef-76543210","seq":0}`),
		"reject/ledger-nameless": resolve(`{"drop":"` + d + `","keep":"` + e + `","ledger":"","seq":7}`),
	}
}
