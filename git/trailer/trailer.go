// Package trailer adds trailers to commit messages as git-interpret-trailers(1) does with
// --no-divider --if-exists replace --if-missing add, and reads nothing else of a message.
package trailer

import (
	"bytes"
	"strings"
)

// A Trailer is one "Key: Value" line. The key is letters, digits and "-"; the value is one line.
type Trailer struct{ Key, Value string }

// Set puts a trailer at the end of a message's trailers, in the place of the last one of the same key
// where there is one. comment is what lines begin with that are no part of the message
// (core.commentChar); what follows the scissors line is left alone.
func Set(message []byte, comment string, t Trailer) []byte {
	end := bodyEnd(message, comment)
	body, rest := message[:end], message[end:]
	line := t.Key + ": " + t.Value + "\n"
	lines := split(body)
	start := blockStart(lines, comment)
	var out bytes.Buffer
	if start < 0 {
		out.Write(body)
		if len(body) > 0 && body[len(body)-1] != '\n' {
			out.WriteByte('\n')
		}
		if n := len(lines); n > 0 && strings.TrimSpace(lines[n-1]) != "" || n == 0 {
			out.WriteByte('\n')
		}
		out.WriteString(line)
		out.Write(rest)
		return out.Bytes()
	}
	from, to := last(lines[start:], t.Key)
	for i, l := range lines {
		if i >= start+from && i < start+to {
			continue
		}
		out.WriteString(l)
		if !strings.HasSuffix(l, "\n") {
			out.WriteByte('\n')
		}
	}
	out.WriteString(line)
	out.Write(rest)
	return out.Bytes()
}

func split(b []byte) []string {
	var out []string
	for l := range strings.Lines(string(b)) {
		out = append(out, l)
	}
	return out
}

// bodyEnd is where the message ends: before the scissors line, and before the comments and blank lines at its end.
func bodyEnd(message []byte, comment string) int {
	end, at := 0, 0
	for l := range strings.Lines(string(message)) {
		if strings.HasPrefix(l, comment+" ------------------------ >8 ------------------------") {
			break
		}
		at += len(l)
		if text := strings.TrimSpace(l); text != "" && !strings.HasPrefix(l, comment) {
			end = at
		}
	}
	return end
}

// blockStart is the line at which the block of trailers begins, -1 when there is none: the last
// paragraph, but not the first, of lines that are all trailers, or of which Git itself made one and a quarter are.
func blockStart(lines []string, comment string) int {
	start := -1
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.TrimSpace(lines[i]) == "" {
			start = i + 1
			break
		}
	}
	if start < 0 || title(lines[:start], comment) {
		return -1
	}
	good, bad, ours, seen := 0, 0, false, false
	for _, l := range lines[start:] {
		switch {
		case strings.HasPrefix(l, comment):
		case strings.HasPrefix(l, "Signed-off-by: ") || strings.HasPrefix(l, "(cherry picked from commit "):
			good, ours, seen = good+1, true, true
		case l[0] == ' ' || l[0] == '\t':
			if !seen {
				bad++
			}
		case key(l) != "":
			good, seen = good+1, true
		default:
			bad, seen = bad+1, false
		}
	}
	if good > 0 && bad == 0 || ours && good*3 >= bad {
		return start
	}
	return -1
}

// title reports whether nothing but blank lines and comments stands before.
func title(lines []string, comment string) bool {
	for _, l := range lines {
		if strings.TrimSpace(l) != "" && !strings.HasPrefix(l, comment) {
			return false
		}
	}
	return true
}

// key returns the key of a trailer's line, "" when it is none.
func key(line string) string {
	i := 0
	for i < len(line) && (line[i] >= 'a' && line[i] <= 'z' || line[i] >= 'A' && line[i] <= 'Z' || line[i] >= '0' && line[i] <= '9' || line[i] == '-') {
		i++
	}
	k := line[:i]
	rest := strings.TrimLeft(line[i:], " \t")
	if k == "" || !strings.HasPrefix(rest, ":") {
		return ""
	}
	return k
}

// last finds the last trailer of a key, with the lines that continue it: lines[from:to].
func last(lines []string, k string) (from, to int) {
	for i := len(lines) - 1; i >= 0; i-- {
		if !strings.EqualFold(key(lines[i]), k) || lines[i][0] == ' ' || lines[i][0] == '\t' {
			continue
		}
		to = i + 1
		for to < len(lines) && (lines[to][0] == ' ' || lines[to][0] == '\t') {
			to++
		}
		return i, to
	}
	return 0, 0
}
