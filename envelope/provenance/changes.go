package provenance

import (
	"bytes"
	"slices"

	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Raw is one entry of a raw diff as Git computes it.
type Raw struct {
	Path             string // bytes
	Status           byte   // 'A', 'M', 'D', 'T'
	OldMode, NewMode string // six octal digits, "" when absent
	Old, New         oid.ID // zero when absent
}

// Difference is one way in which a seal's changes are not Git's.
type Difference struct {
	Kind   DifferenceKind
	Parent int    // index of the parent
	Path   string // bytes
	Detail string
}

// DifferenceKind says how.
type DifferenceKind string

// The kinds of differences; they are suffixes of finding codes.
const (
	Absent    DifferenceKind = "change-missing"   // Git has it, the seal does not
	Extra     DifferenceKind = "change-extra"     // the seal has it, Git does not
	Differs   DifferenceKind = "change-differs"   // same path, another status, mode or object
	Duplicate DifferenceKind = "change-duplicate" // the seal lists the path twice
)

// Compare holds a seal's changes against one parent to Git's, byte for byte and
// path by path. Content digests are not compared: deep verification does that.
func Compare(parent int, sealed []Change, actual []Raw) []Difference {
	// Equal lists in equal order are the rule; the map is for what is not.
	if len(sealed) == len(actual) {
		same := true
		for i := range sealed {
			if !equal(&sealed[i], &actual[i]) || (i > 0 && sealed[i].PathBytes() == sealed[i-1].PathBytes()) {
				same = false
				break
			}
		}
		if same {
			return nil
		}
	}
	var out []Difference
	byPath := make(map[string]*Raw, len(actual))
	for i := range actual {
		byPath[actual[i].Path] = &actual[i]
	}
	seen := make(map[string]bool, len(sealed))
	for i := range sealed {
		c := &sealed[i]
		p := c.PathBytes()
		d := Difference{Parent: parent, Path: p}
		raw, ok := byPath[p]
		switch {
		case seen[p]:
			d.Kind, d.Detail = Duplicate, "the seal lists it twice"
		case !ok:
			d.Kind, d.Detail = Extra, "the seal says it changed, Git says it did not"
		case !equal(c, raw):
			d.Kind, d.Detail = Differs, "the seal says "+sayChange(c.Status, c.OldMode, c.NewMode, c.Old, c.New)+
				", Git says "+sayChange(string(raw.Status), raw.OldMode, raw.NewMode, raw.Old.String(), raw.New.String())
		}
		seen[p] = true
		if d.Kind != "" {
			out = append(out, d)
		}
	}
	for i := range actual {
		if !seen[actual[i].Path] {
			out = append(out, Difference{Kind: Absent, Parent: parent, Path: actual[i].Path, Detail: "it changed, and the seal does not say so"})
		}
	}
	return out
}

func equal(c *Change, r *Raw) bool {
	return c.PathBytes() == r.Path && c.Status == string(r.Status) && c.OldMode == r.OldMode && c.NewMode == r.NewMode &&
		c.Old == r.Old.String() && c.New == r.New.String() && (c.Path == "") == (c.Path64 != "") && (c.Path64 == "" || canonicalPath(c))
}

// canonicalPath reports whether the bytes really need base64.
func canonicalPath(c *Change) bool {
	var d Change
	d.SetPath(c.PathBytes())
	return d.Path64 == c.Path64
}

func sayChange(status, oldMode, newMode, old, now string) string {
	short := func(mode, id string) string {
		if id == "" {
			return "nothing"
		}
		return mode + " " + id[:min(len(id), 12)]
	}
	return status + " " + short(oldMode, old) + " → " + short(newMode, now)
}

// Touched returns what checkers are asked about: each path that changes against
// any parent, once, in the order of bytes.
func Touched(diffs [][]Raw) []pluginapi.Change {
	var out []pluginapi.Change
	for _, list := range diffs {
		for i := range list {
			c := &list[i]
			out = append(out, pluginapi.Change{Path: []byte(c.Path), Status: string(c.Status), OldMode: c.OldMode, NewMode: c.NewMode})
		}
	}
	slices.SortStableFunc(out, func(a, b pluginapi.Change) int { return bytes.Compare(a.Path, b.Path) })
	return slices.CompactFunc(out, func(a, b pluginapi.Change) bool { return bytes.Equal(a.Path, b.Path) })
}

// RawOf returns a seal's list of changes in the form of a diff.
func RawOf(list []Change) []Raw {
	out := make([]Raw, len(list))
	for i := range list {
		c := &list[i]
		r := Raw{Path: c.PathBytes(), OldMode: c.OldMode, NewMode: c.NewMode}
		if c.Status != "" {
			r.Status = c.Status[0]
		}
		if id, err := oid.Parse(c.Old); err == nil {
			r.Old = id
		}
		if id, err := oid.Parse(c.New); err == nil {
			r.New = id
		}
		out[i] = r
	}
	return out
}

// Rename is a deletion and an addition of the same object with the same mode.
type Rename struct{ From, To string }

// Renames pairs additions with deletions of the same object and mode, in order.
func Renames(list []Change) []Rename {
	type key struct{ mode, id string }
	gone := map[key][]string{}
	for i := range list {
		if c := &list[i]; c.Status == "D" {
			k := key{c.OldMode, c.Old}
			gone[k] = append(gone[k], c.PathBytes())
		}
	}
	var out []Rename
	for i := range list {
		c := &list[i]
		k := key{c.NewMode, c.New}
		if c.Status == "A" && len(gone[k]) > 0 {
			out = append(out, Rename{gone[k][0], c.PathBytes()})
			gone[k] = gone[k][1:]
		}
	}
	return out
}
