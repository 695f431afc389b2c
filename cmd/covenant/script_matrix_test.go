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

// quarter is a quarter of the product for each story: every layout once, and every format with every
// storage. Which quarter is a matter of the story's name alone, so a story that fails, fails again, and a
// new story moves no other. The four quarters have nothing in common, and together are the whole. What the
// area selftest says of the variants themselves is told in every one.
func quarter(story string, v variant) bool {
	if strings.HasPrefix(story, "selftest/") {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(story))
	q := int(h.Sum32()>>8) & 3
	l := slices.Index(layouts, v.layout)
	return slices.Index(formats, v.format) == (l+q)%2 && slices.Index(storages, v.storage) == (l/2+q/2)%2
}

// chosen returns what -short and the variable MATRIX ask for, and its name.
func chosen(t *testing.T) (string, choice) {
	t.Helper()
	switch m := os.Getenv("MATRIX"); {
	case testing.Short():
		return "short", ordinary
	case m == "full":
		return "full", everywhere
	case m == "" || m == "quarter":
		return "quarter", quarter
	default:
		t.Fatalf("MATRIX=%s: it is full, or quarter", m)
		return "", nil
	}
}

// A story of any quarter meets every layout, and every format with every storage; each variant is in one quarter.
func TestQuarter(t *testing.T) {
	quarters := make(map[string]string) // the variants of a quarter, and a story that is told in it
	for i := 0; len(quarters) < 4; i++ {
		if i == 1000 {
			t.Fatalf("a thousand names are in %d quarters", len(quarters))
		}
		story := fmt.Sprintf("area/story%d", i)
		var in []variant
		met := make(map[string]bool)
		for _, v := range variants() {
			if quarter(story, v) {
				in = append(in, v)
				met[v.layout] = true
				met[v.format+"/"+v.storage] = true
			}
		}
		if want := len(layouts) + len(formats)*len(storages); len(met) != want {
			t.Fatalf("%s meets %d layouts and pairs, want %d", story, len(met), want)
		}
		quarters[fmt.Sprint(in)] = story
	}
	for _, v := range variants() {
		n := 0
		for _, story := range quarters {
			if quarter(story, v) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is in %d quarters", v, n)
		}
	}
}
