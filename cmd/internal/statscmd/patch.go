package statscmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// A stretch is some lines, from 1, that a commit added to a file.
type stretch struct{ from, count int }

// spot is a file of a commit.
type spot struct {
	commit oid.ID
	path   string
}

// toldApart returns the lines that were added to files of which it is known who of several made which.
func toldApart(ctx context.Context, w *work.Work, results map[oid.ID]verdict.Result, files []file) (map[spot][]stretch, error) {
	want := map[spot]bool{}
	var list strings.Builder
	var last oid.ID
	for i := range files {
		r := results[files[i].commit]
		if !r.ToldApart(files[i].path) {
			continue
		}
		want[spot{files[i].commit, files[i].path}] = true
		if files[i].commit != last {
			last = files[i].commit
			list.WriteString(last.String() + "\n")
		}
	}
	if len(want) == 0 {
		return nil, nil
	}
	out, err := logOf(ctx, w, strings.NewReader(list.String()), append([]string{"--no-walk=unsorted", "--stdin"}, patch...)...)
	if err != nil {
		return nil, err
	}
	added, err := stretches(out)
	maps.DeleteFunc(added, func(at spot, _ []stretch) bool { return !want[at] })
	return added, err
}

// patch is the form of diff that stretches reads.
var patch = []string{"--patch", "-U0", "--src-prefix=a/", "--dst-prefix=b/", "--submodule=short"}

// putIn tells which lines calls of agents' tools put in, in each file, by the model that is known; "" is none.
func putIn(ctx context.Context, w *work.Work, pin envelope.Digest, span provenance.Span, results map[oid.ID]verdict.Result) (map[spot]map[int]string, error) {
	out, err := log(ctx, w, span, patch...)
	if err != nil {
		return nil, err
	}
	added, err := stretches(out)
	if err != nil {
		return nil, err
	}
	paths := map[string]bool{}
	for at := range added {
		paths[at.path] = true
	}
	calls, err := w.Calls(pin, paths)
	if err != nil {
		return nil, err
	}
	put := map[spot]map[int]string{}
	for at, list := range added {
		r := results[at.commit]
		for _, s := range list {
			for line := s.from; line < s.from+s.count; line++ {
				if call := calls.At(&r, at.path, line); call != nil {
					if put[at] == nil {
						put[at] = map[int]string{}
					}
					put[at][line] = call.Model
				}
			}
		}
	}
	return put, calls.Err()
}

var errPatch = errors.New("unexpected output of git log --patch")

// stretches reads "git log --format=%x01%H --patch -U0": of each file the hunks say which lines were added, and how many lines of the text follow, which
// are passed over.
func stretches(b []byte) (map[spot][]stretch, error) {
	out := map[spot][]stretch{}
	var at spot
	skip := 0
	for line := range bytes.Lines(b) {
		text := strings.TrimSuffix(string(line), "\n")
		if skip > 0 && !strings.HasPrefix(text, `\`) {
			skip--
			continue
		}
		switch {
		case strings.HasPrefix(text, "\x01"):
			id, err := oid.Parse(text[1:])
			if err != nil {
				return nil, fmt.Errorf("%w: %w", errPatch, err)
			}
			at = spot{commit: id}
		case strings.HasPrefix(text, "diff --git "):
			at.path = ""
		case strings.HasPrefix(text, "+++ "):
			name := git.Unquote(strings.TrimSuffix(text[4:], "\t"))
			at.path = strings.TrimPrefix(name, "b/")
			if name == "/dev/null" {
				at.path = ""
			}
		case strings.HasPrefix(text, "@@ -"):
			f := strings.Fields(text)
			if len(f) < 3 {
				return nil, fmt.Errorf("%w: %.60q", errPatch, text)
			}
			_, gone, err := hunk(f[1], "-")
			from, count, err2 := hunk(f[2], "+")
			if err != nil || err2 != nil || at.commit.IsZero() {
				return nil, fmt.Errorf("%w: %.60q", errPatch, text)
			}
			if skip = gone + count; count > 0 && at.path != "" {
				out[at] = append(out[at], stretch{from, count})
			}
		}
	}
	return out, nil
}

// hunk reads one side of a hunk's header: a sign, a line, and a number of lines where that is not one.
func hunk(s, sign string) (from, count int, err error) {
	s, ok := strings.CutPrefix(s, sign)
	if !ok {
		return 0, 0, errPatch
	}
	first, more, two := strings.Cut(s, ",")
	if from, err = strconv.Atoi(first); err != nil || from < 0 {
		return 0, 0, errPatch
	}
	count = 1
	if two {
		if count, err = strconv.Atoi(more); err != nil || count < 0 {
			return 0, 0, errPatch
		}
	}
	return from, count, nil
}

// byModels says how many lines were put in, by which models.
func byModels(put int64, models map[string]int64) string {
	var list []string
	for _, m := range slices.Sorted(maps.Keys(models)) {
		if m != "" {
			list = append(list, fmt.Sprintf("%d by %s", models[m], say.Line(m)))
		}
	}
	out := fmt.Sprintf("%+d by calls of tools", put)
	if len(list) > 0 {
		out += " (" + strings.Join(list, ", ") + ")"
	}
	return out
}
