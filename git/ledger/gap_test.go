package ledger_test

import (
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/vectors"
	"github.com/open-covenant/covenant-git/git/ledger"
)

const dir = "../../testdata/vectors/gap"

// parse reads what is left of dropped entries, and returns it as it would be written.
func parse(b []byte) ([]byte, error) {
	ids, err := ledger.ParseGap(b)
	if err != nil {
		return nil, err
	}
	return ledger.FormatGap(ids), nil
}

// Each file is the content of a gap's file; what is refused is named after its reason.
func TestVectors(t *testing.T) {
	one, two := strings.Repeat("1", 64)+"\n", strings.Repeat("a", 64)+"\n"
	vectors.Hold(t, dir, map[string]string{
		"accept/one":             one,
		"accept/two":             one + two,
		"accept/the-same-twice":  one + one, // no ledger has that, which its pruning says
		"reject/empty":           "",
		"reject/no-newline":      strings.TrimSuffix(one, "\n"),
		"reject/upper-case":      strings.ToUpper(two),
		"reject/with-algorithm":  "sha256:" + one,
		"reject/carriage-return": strings.Replace(one, "\n", "\r\n", 1),
		"reject/short-line":      one[1:] + two,
		"reject/lines-of-65":     strings.Repeat("1", 65) + strings.Repeat("1", 64) + "\n",
	}, parse)
	if _, err := ledger.ParseGap([]byte(strings.Repeat(one, ledger.MaxGap+1))); err == nil {
		t.Error("more than a gap may stand for is taken")
	}
}

// What parses is written as the same bytes.
func FuzzGap(f *testing.F) { vectors.Fuzz(f, dir, parse) }
