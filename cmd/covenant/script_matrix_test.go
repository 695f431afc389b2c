package main_test

import (
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"testing"
)

// A variant is one kind of repository that every story must come out the same in.
type variant struct {
	format  string // sha1, sha256
	layout  string // main, linked, bare, shallow, partial
	storage string // loose, packed
}

var (
	formats  = []string{"sha1", "sha256"}
	layouts  = []string{"main", "linked", "bare", "shallow", "partial"}
	storages = []string{"loose", "packed"}
)

func (v variant) String() string { return v.format + "/" + v.layout + "/" + v.storage }

// variants returns the whole matrix, the most ordinary one first.
func variants() []variant {
	var all []variant
	for _, f := range formats {
		for _, l := range layouts {
			for _, s := range storages {
				all = append(all, variant{f, l, s})
			}
		}
	}
	return all
}

// A choice says which variants a story is told in.
type choice func(story string, v variant) bool

// everywhere is the whole product.
func everywhere(string, variant) bool { return true }

// ordinary is the first variant alone.
func ordinary(_ string, v variant) bool { return v == variants()[0] }

// pairs is half of the product, such that any two values that can meet do meet in each
// story. Which half is a matter of the story's name alone, so a story that fails, fails
// again, and a new story moves no other. Both halves together are the whole. What the
// area selftest says of the variants themselves is told in every one.
func pairs(story string, v variant) bool {
	if strings.HasPrefix(story, "selftest/") {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(story))
	half := int(h.Sum32()>>8) & 1
	return (half+slices.Index(formats, v.format)+slices.Index(layouts, v.layout)+slices.Index(storages, v.storage))%2 == 0
}

// chosen returns what -short and the variable MATRIX ask for, and its name.
func chosen(t *testing.T) (string, choice) {
	t.Helper()
	switch m := os.Getenv("MATRIX"); {
	case testing.Short():
		return "short", ordinary
	case m == "full":
		return "full", everywhere
	case m == "" || m == "pairs":
		return "pairs", pairs
	default:
		t.Fatalf("MATRIX=%s: it is full, or pairs", m)
		return "", nil
	}
}

// A story of either half meets every pair of values, and the halves have nothing in
// common and leave nothing out.
func TestPairs(t *testing.T) {
	halves := make(map[string]string) // the variants of a half, and a story that is told in it
	for i := 0; len(halves) < 2; i++ {
		if i == 1000 {
			t.Fatalf("a thousand names are in %d halves", len(halves))
		}
		story := fmt.Sprintf("area/story%d", i)
		var half []variant
		met := make(map[[2]string]bool)
		for _, v := range variants() {
			if pairs(story, v) {
				half = append(half, v)
				met[[2]string{v.format, v.layout}] = true
				met[[2]string{v.format, v.storage}] = true
				met[[2]string{v.layout, v.storage}] = true
			}
		}
		if want := len(formats)*len(layouts) + len(formats)*len(storages) + len(layouts)*len(storages); len(met) != want {
			t.Fatalf("%s meets %d pairs, want %d", story, len(met), want)
		}
		halves[fmt.Sprint(half)] = story
	}
	times := make(map[variant]int)
	for _, story := range halves {
		for _, v := range variants() {
			if pairs(story, v) {
				times[v]++
			}
		}
	}
	for _, v := range variants() {
		if times[v] != 1 {
			t.Errorf("%s is in %d halves", v, times[v])
		}
	}
}
