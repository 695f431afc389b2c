package tlog

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	width    = 256 // hashes or records of a full tile
	entries  = -1  // the level of tiles of records
	maxLevel = 6   // of a log with MaxSize entries
	hashLen  = 32
	entryLen = 2 + hashLen // a record behind its length
)

// Place is where a tile stands in a log.
type Place struct {
	Level int    // 0 for leaf hashes, up to 6; -1 for records
	Index uint64 // within the level, from 0
	Width int    // 1 to 256 hashes or records; 256 is full
}

// String returns the path, as tlog-tiles defines it.
func (p Place) String() string {
	var b strings.Builder
	if p.Level == entries {
		b.WriteString("tile/entries/")
	} else {
		fmt.Fprintf(&b, "tile/%d/", p.Level)
	}
	digits := strconv.FormatUint(p.Index, 10)
	digits = strings.Repeat("0", (3-len(digits)%3)%3) + digits
	for ; len(digits) > 3; digits = digits[3:] {
		b.WriteString("x" + digits[:3] + "/")
	}
	b.WriteString(digits)
	if p.Width != width {
		fmt.Fprintf(&b, ".p/%d", p.Width)
	}
	return b.String()
}

// ParsePlace reads the path of a tile that a log of at most MaxSize entries can have. Each has one path.
// The error wraps ErrSyntax.
func ParsePlace(path string) (Place, error) {
	bad := fmt.Errorf("%w: no path of a tile: %q", ErrSyntax, clip(path))
	rest, ok := strings.CutPrefix(path, "tile/")
	level, rest, cut := strings.Cut(rest, "/")
	if !ok || !cut || len(path) > 64 {
		return Place{}, bad
	}
	p := Place{Level: entries, Width: width}
	if level != "entries" {
		n, err := parseNumber(level)
		if err != nil || n > maxLevel {
			return Place{}, bad
		}
		p.Level = int(n)
	}
	rest, partial, cut := strings.Cut(rest, ".p/")
	if cut {
		n, err := parseNumber(partial)
		if err != nil || n == 0 || n >= width {
			return Place{}, bad
		}
		p.Width = int(n)
	}
	n, err := strconv.ParseUint(strings.NewReplacer("x", "", "/", "").Replace(rest), 10, 63)
	if err != nil || n > MaxSize {
		return Place{}, bad
	}
	p.Index = n
	if p.String() != path || n > (MaxSize-1)>>p.shift() {
		return Place{}, bad
	}
	return p, nil
}

// shift is the power of two of entries that a full tile here spans.
func (p Place) shift() int { return 8 * (max(p.Level, 0) + 1) }

// bytes is how many bytes the tile has.
func (p Place) bytes() int {
	if p.Level == entries {
		return p.Width * entryLen
	}
	return p.Width * hashLen
}

// edge returns the last tile of a level in a tree of size entries. Its width is 0 where the level ends with a full tile.
func edge(level int, size uint64) Place {
	n := size >> (8 * max(level, 0))
	return Place{level, n / width, int(n % width)}
}

// Tile is a file of a log.
type Tile struct {
	Path string
	Data []byte
}
