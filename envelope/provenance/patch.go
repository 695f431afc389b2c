package provenance

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Limits of a patch digest: content in bytes, and lines deleted plus inserted.
const (
	MaxPatchContent = 1 << 20
	maxEdits        = 1000
	contextLines    = 3
)

// Patch returns the digest of the change from old to new content of one path:
// SHA-256 over path, modes and verbatim hunks with three lines of context, so
// that the same edit has the same digest wherever its lines stand in the file.
// It depends on bytes alone, on no attribute, configuration or diff driver. For
// binary content, or beyond the limits, it returns the word that says so.
func Patch(path, oldMode, newMode string, old, now []byte) string {
	if len(old) > MaxPatchContent || len(now) > MaxPatchContent {
		return TooLarge
	}
	if bytes.IndexByte(old, 0) >= 0 || bytes.IndexByte(now, 0) >= 0 {
		return IsBinary
	}
	a, b := splitLines(old), splitLines(now)
	script, ok := editScript(a, b)
	if !ok {
		return TooLarge
	}
	h := sha256.New()
	field := func(tag byte, s []byte) {
		var head [5]byte
		head[0] = tag
		binary.BigEndian.PutUint32(head[1:], uint32(len(s))) //nolint:gosec // bounded by MaxPatchContent
		h.Write(head[:])
		h.Write(s)
	}
	field('v', []byte("covenant-patch/v1"))
	field('p', []byte(path))
	field('o', []byte(oldMode))
	field('n', []byte(newMode))
	for _, hk := range hunks(script) {
		field('@', nil)
		for _, e := range script[hk.from:hk.to] {
			switch e.op {
			case '+':
				field('+', b[e.b])
			default:
				field(e.op, a[e.a])
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// splitLines keeps each line's newline; a last line may have none.
func splitLines(b []byte) [][]byte {
	var out [][]byte
	for line := range bytes.Lines(b) {
		out = append(out, line)
	}
	return out
}

// edit is one line of an edit script: ' ' keep a[a], '-' delete a[a], '+' insert b[b].
type edit struct {
	op   byte
	a, b int
}

// editScript is the greedy algorithm of E. W. Myers, "An O(ND) Difference
// Algorithm and Its Variations" (1986), run forward on what remains after the
// common head and tail are set aside; on a tie the deletion comes first.
func editScript(a, b [][]byte) ([]edit, bool) {
	ids := map[string]int{}
	intern := func(lines [][]byte) []int {
		out := make([]int, len(lines))
		for i, l := range lines {
			id, ok := ids[string(l)]
			if !ok {
				id = len(ids)
				ids[string(l)] = id
			}
			out[i] = id
		}
		return out
	}
	x, y := intern(a), intern(b)
	head := 0
	for head < len(x) && head < len(y) && x[head] == y[head] {
		head++
	}
	tail := 0
	for tail < len(x)-head && tail < len(y)-head && x[len(x)-1-tail] == y[len(y)-1-tail] {
		tail++
	}
	mid, ok := myers(x[head:len(x)-tail], y[head:len(y)-tail])
	if !ok {
		return nil, false
	}
	script := make([]edit, 0, head+tail+len(mid))
	for i := range head {
		script = append(script, edit{' ', i, i})
	}
	for _, e := range mid {
		script = append(script, edit{e.op, e.a + head, e.b + head})
	}
	for i := range tail {
		script = append(script, edit{' ', len(x) - tail + i, len(y) - tail + i})
	}
	return script, true
}

func myers(x, y []int) ([]edit, bool) {
	n, m := len(x), len(y)
	limit := min(n+m, maxEdits)
	size := 2*limit + 3
	v := make([]int32, size)
	off := limit + 1
	var trace [][]int32
	found := -1
	for d := 0; d <= limit && found < 0; d++ {
		for k := -d; k <= d; k += 2 {
			var i int32
			if k == -d || (k != d && v[off+k-1] < v[off+k+1]) {
				i = v[off+k+1]
			} else {
				i = v[off+k-1] + 1
			}
			j := int(i) - k
			for int(i) < n && j < m && x[i] == y[j] {
				i++
				j++
			}
			v[off+k] = i
			if int(i) >= n && j >= m {
				found = d
				break
			}
		}
		trace = append(trace, append([]int32(nil), v[off-d:off+d+1]...))
	}
	if found < 0 {
		return nil, false
	}
	var rev []edit
	i, j := n, m
	for d := found; d > 0; d-- {
		prev := trace[d-1] // diagonals -(d-1) … d-1
		at := func(k int) int32 {
			if q := k + d - 1; q >= 0 && q < len(prev) {
				return prev[q]
			}
			return 0
		}
		k := i - j
		down := k == -d || (k != d && at(k-1) < at(k+1))
		pk := k - 1
		if down {
			pk = k + 1
		}
		pi := int(at(pk))
		pj := pi - pk
		mi := pi
		if !down {
			mi++
		}
		for i > mi {
			i--
			j--
			rev = append(rev, edit{' ', i, j})
		}
		if down {
			rev = append(rev, edit{'+', pi, pj})
		} else {
			rev = append(rev, edit{'-', pi, pj})
		}
		i, j = pi, pj
	}
	for i > 0 && j > 0 {
		i--
		j--
		rev = append(rev, edit{' ', i, j})
	}
	for l, r := 0, len(rev)-1; l < r; l, r = l+1, r-1 {
		rev[l], rev[r] = rev[r], rev[l]
	}
	return rev, true
}

type span struct{ from, to int }

// hunks returns the stretches of the script within contextLines of a change.
func hunks(script []edit) []span {
	var out []span
	for i := 0; i < len(script); i++ {
		if script[i].op == ' ' {
			continue
		}
		from, to := max(0, i-contextLines), min(len(script), i+1+contextLines)
		if n := len(out); n > 0 && from <= out[n-1].to {
			out[n-1].to = to
			continue
		}
		out = append(out, span{from, to})
	}
	return out
}
