package provenance_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/provenance"
)

func compare(t *testing.T, old, now string) *provenance.Delta {
	t.Helper()
	d, ok := provenance.CompareText([]byte(old), []byte(now))
	if !ok {
		t.Fatalf("%q and %q are not compared", old, now)
	}
	return d
}

func TestMerge(t *testing.T) {
	for _, c := range []struct{ name, base, ours, theirs, want string }{
		{"apart", "a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", "A\nb\nc\nd\nE\n"},
		{"one side", "a\nb\n", "a\nb\n", "a\nc\n", "a\nc\n"},
		{"both alike", "a\nb\nc\n", "a\nx\nc\n", "a\nx\nc\n", "a\nx\nc\n"},
		{"both alike, and more", "a\nb\nc\nd\ne\n", "a\nx\nc\nd\ne\n", "a\nx\nc\nd\ny\n", "a\nx\nc\nd\ny\n"},
		{"the same line", "a\nb\nc\n", "a\nx\nc\n", "a\ny\nc\n", "conflict"},
		{"neighbours", "a\nb\nc\n", "A\nb\nc\n", "a\nB\nc\n", "conflict"},
		{"insertions in one place", "a\nb\n", "a\nx\nb\n", "a\ny\nb\n", "conflict"},
		{"no newline at the end", "a\nb\nc", "A\nb\nc", "a\nb\nc\n", "A\nb\nc\n"},
		{"nothing", "", "", "a\n", "a\n"},
	} {
		got, ok := provenance.Merge(compare(t, c.base, c.ours), compare(t, c.base, c.theirs))
		if !ok {
			got = []byte("conflict")
		}
		if string(got) != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	for name, x := range map[string]string{"binary": "a\x00", "too large": strings.Repeat("x", provenance.MaxPatchContent+1)} {
		if _, ok := provenance.CompareText([]byte("a"), []byte(x)); ok {
			t.Errorf("%s is compared", name)
		}
	}
}

func TestRevives(t *testing.T) {
	const before = "f {\n  one\n  two\n  three\n}\n"
	const landed = "f {\n  one\n  check\n  two\n  three\n}\n"
	for _, c := range []struct {
		name           string
		old, now       string // the change
		stood, stepped string // a step of the past
		want           bool
	}{
		{"nothing to do with it", before, landed, "g\n" + before, before, false},
		{"landed already", before, landed, before, landed, true},
		{"landed, with more", before, landed, before, landed + "more\n", true},
		{"undone", before, landed, landed, before, true},
		{"a line that stood there and is gone", before, landed, before, "  check\n" + before, true},
		{"a line of which another stands there, elsewhere", "x\n  check\n" + before, "x\n  check\n" + landed, "  check\nx\n  check\n" + before, "x\n  check\n" + before, false},
		{"the same, there", "x\n  check\n" + before, "x\n  check\n" + landed, "x\n  check\n" + landed, "x\n  check\n" + before, true},
		{"a brace elsewhere", "a\nb\nm\nn\nc\nd\n", "a\n}\nb\nm\nn\nc\nd\n", "a\nb\nm\nn\nc\n}\nd\n", "a\nb\nm\nn\nc\nd\n", false},
		{"among others that were taken", "x\n  check\n" + before, "x\n  check\n" + landed, "  other\n  check\nx\n  check\n" + before, "x\n  check\n" + before, false},
		{"taken away again", landed, before, landed, before, true},
		{"put there, and taken away", landed, before, before, landed, true},
		{"a neighbour changed meanwhile", before, landed, before, "f {\n  uno\n  two\n  three\n}\n", false},
		{"landed, and a neighbour changed", before, landed, before, "f {\n  uno\n  check\n  two\n  three\n}\n", true},
		{"a line that stood there and went", before, landed, "check\n" + landed, "check\n" + before, true},
		{"the next edit of a line that came meanwhile", "a\nx\nc\n", "a\ny\nc\n", "a\nb\nc\n", "a\nb\nC\n", false},
	} {
		got := compare(t, c.old, c.now).Revives(compare(t, c.stood, c.stepped))
		if got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What Git joins without a conflict is joined in the same way, or not at all.
func TestMergeAsGit(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(7, 7)) //nolint:gosec // the same each time
	edit := func(lines []string) []string {
		out := append([]string(nil), lines...)
		for range 1 + r.IntN(3) {
			i := r.IntN(len(out))
			switch r.IntN(3) {
			case 0:
				out[i] = fmt.Sprintf("edit %d\n", r.IntN(5))
			case 1:
				out = append(out[:i], out[i+1:]...)
			default:
				out = append(out[:i], append([]string{fmt.Sprintf("new %d\n", r.IntN(5))}, out[i:]...)...)
			}
		}
		return out
	}
	joined, both, differ := 0, 0, 0
	for range 400 {
		var base []string
		for i := range 10 + r.IntN(30) {
			base = append(base, fmt.Sprintf("line %d\n", i%(5+r.IntN(20))))
		}
		ours, theirs := edit(base), edit(base)
		var files []string
		for name, lines := range map[string][]string{"1": ours, "2": base, "3": theirs} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range []string{"1", "2", "3"} {
			files = append(files, filepath.Join(dir, n))
		}
		want, err := exec.Command("git", append([]string{"merge-file", "-p", "-q"}, files...)...).Output() //nolint:gosec // our own files
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		text := func(l []string) string { return strings.Join(l, "") }
		got, ok := provenance.Merge(compare(t, text(base), text(ours)), compare(t, text(base), text(theirs)))
		if err == nil {
			joined++
		}
		if err == nil && ok {
			both++
			if !bytes.Equal(got, want) {
				differ++
			}
		}
	}
	t.Logf("Git joined %d, and of these %d were joined here, %d otherwise", joined, both, differ)
	if joined < 100 || both < joined*9/10 || differ > joined/20 {
		t.Errorf("Git joined %d of 400, and of these %d were joined here, %d otherwise", joined, both, differ)
	}
}

// FuzzMerge: sides may change places, a side that changed nothing changes nothing, and what was joined can be taken apart again.
func FuzzMerge(f *testing.F) {
	f.Add("a\nb\nc\nd\ne\n", "A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n")
	f.Add("", "x", "y\n")
	f.Fuzz(func(t *testing.T, base, ours, theirs string) {
		a, ok := provenance.CompareText([]byte(base), []byte(ours))
		b, fine := provenance.CompareText([]byte(base), []byte(theirs))
		none, whole := provenance.CompareText([]byte(base), []byte(base))
		if !ok || !fine || !whole {
			return
		}
		x, okX := provenance.Merge(a, b)
		y, okY := provenance.Merge(b, a)
		if okX != okY || !bytes.Equal(x, y) {
			t.Fatalf("%q and %q", x, y)
		}
		if z, ok := provenance.Merge(a, none); !ok || string(z) != ours {
			t.Fatalf("joined with nothing: %q", z)
		}
		if z, ok := provenance.Merge(a, a); !ok || string(z) != ours {
			t.Fatalf("joined with itself: %q", z)
		}
	})
}

// Lines are those of who brought them as often as they did, in their order, and not where others' were taken away for them.
func TestBrought(t *testing.T) {
	text := func(s string) []byte { return []byte(strings.ReplaceAll(s, " ", "\n") + "\n") }
	for _, c := range []struct {
		stood, step, now string // what stood there; what the step made of nothing; what there is now
		shared, own      int
		moved, drops     bool
	}{
		{"x", "a b c", "x a b c", 3, 0, false, false},
		{"x", "a b c", "x a c", 2, 0, false, false},
		{"x", "a b c", "x c b a", 3, 0, true, false},
		{"x", "a b c", "x a a b c", 3, 1, false, false},
		{"x", "a a b", "x a a b", 3, 0, false, false},
		{"x", "a }", "x a } }", 2, 1, false, false},
		{"x y", "a", "x a", 1, 0, false, true},
		{"a b c", "a b c", "a b b c", 0, 1, false, false},
	} {
		step, _ := provenance.CompareText(nil, text(c.step))
		all, _ := provenance.CompareText(text(c.stood), text(c.now))
		own, shared, moved := all.Brought(step)
		n := 0
		for _, l := range own {
			n += l.End - l.Start + 1
		}
		if shared != c.shared || n != c.own || moved != c.moved || all.Drops(step) != c.drops {
			t.Errorf("%+v: %d shared, %d own, moved %v, drops %v", c, shared, n, moved, all.Drops(step))
		}
	}
	// What a step gave already is not given again.
	step, _ := provenance.CompareText(text("x"), text("x a"))
	rest, _ := provenance.CompareText(text("x a"), text("x a a"))
	if own, shared, _ := rest.Brought(step); shared != 0 || len(own) != 1 {
		t.Errorf("%d shared, %v own", shared, own)
	}
}
