package main_test

import (
	"fmt"
	"hash/fnv"
	"os"
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

// some is two of the variants for each story: two layouts, both formats and both storages. Which two is a matter
// of the story's name alone, so a story that fails, fails again, and a new story moves no other. Stories together meet the whole
// product. What the area selftest says of the variants themselves is told in every one.
func some(story string, v variant) bool {
	if strings.HasPrefix(story, "selftest/") {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(story))
	n := int(h.Sum32() >> 8 & 0xffff)
	for k := range 2 {
		if v == (variant{formats[(n/5+k)%2], layouts[(n+2*k)%5], storages[(n/10+k)%2]}) {
			return true
		}
	}
	return false
}

// chosen returns what -short and the variable MATRIX ask for, and its name.
func chosen(t *testing.T) (string, choice) {
	t.Helper()
	switch m := os.Getenv("MATRIX"); {
	case testing.Short():
		return "short", ordinary
	case m == "full":
		return "full", everywhere
	case m == "" || m == "some":
		return "some", some
	default:
		t.Fatalf("MATRIX=%s: it is full, or some", m)
		return "", nil
	}
}

// Any story meets two layouts, both formats and both storages; a few hundred stories meet every variant about as often as any other.
func TestSome(t *testing.T) {
	times := make(map[variant]int)
	const stories = 2000
	for i := range stories {
		story := fmt.Sprintf("area/story%d", i)
		met := make(map[string]bool)
		n := 0
		for _, v := range variants() {
			if some(story, v) {
				n++
				times[v]++
				met[v.layout], met[v.format], met[v.storage] = true, true, true
			}
		}
		if want := 2 + len(formats) + len(storages); n != 2 || len(met) != want {
			t.Fatalf("%s is told in %d variants and meets %d values, want 2 and %d", story, n, len(met), want)
		}
	}
	for _, v := range variants() {
		if fair := stories * 2 / len(variants()); times[v] < fair/2 || times[v] > fair*2 {
			t.Errorf("%s: %d of %d stories, about %d would be fair", v, times[v], stories, fair)
		}
	}
}
