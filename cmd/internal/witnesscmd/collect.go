package witnesscmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/witness"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/git/audit"
)

// asked is what came of one source of cosignatures.
type asked struct {
	Asked
	lines []byte
	err   error
	told  bool // a witness was there, and said something
}

// cut takes the cosignatures off a log's newest checkpoint.
func cut(l *audit.Tlog) (*tlog.Checkpoint, []byte, error) {
	text, lines, _ := bytes.Cut(l.Text(), []byte("\n\n"))
	own := append(bytes.Clone(text), "\n\n"...)
	var rest []byte
	for line := range bytes.Lines(lines) {
		if bytes.HasPrefix(line, []byte("— "+string(l.Key.Origin())+" ")) {
			own = append(own, line...)
		} else {
			rest = append(rest, line...)
		}
	}
	c, err := tlog.Open(own, l.Key)
	return c, rest, err
}

// gained returns the signature lines that after has and before has not.
func gained(before, after *tlog.Checkpoint) string {
	have := map[string]bool{}
	for line := range bytes.Lines(before.Bytes()) {
		have[string(line)] = true
	}
	var out strings.Builder
	for line := range bytes.Lines(after.Bytes()) {
		if !have[string(line)] {
			out.Write(line)
		}
	}
	return out.String()
}

// collected are the cosignatures that count.
type collected struct {
	policy    tlog.Policy
	bare, all *tlog.Checkpoint
}

// take verifies lines, and adds those of the policy's witnesses. It returns who they are.
func (c *collected) take(lines []byte) ([]string, error) {
	alone, err := c.policy.Join(c.bare, lines)
	if err != nil {
		return nil, err
	}
	seen, err := c.policy.Check(alone)
	if err != nil {
		return nil, err
	}
	if len(seen) == 0 {
		return nil, errors.New("no cosignature by a witness that counts, of a time that may be")
	}
	more, err := c.policy.Join(c.all, lines)
	if err != nil {
		return nil, err
	}
	c.all = more
	var names []string
	for _, s := range seen {
		names = append(names, s.Name)
	}
	return names, nil
}

// results tells what came, and returns how many answered, and which gave what counts.
func (c *collected) results(env *cli.Env, list []asked, asJSON bool) (reached int, gave []string, err error) {
	for i := range list {
		r := &list[i]
		r.Type = "asked"
		if r.err == nil {
			r.Witnesses, r.err = c.take(r.lines)
		}
		var no *witness.AskError
		if errors.As(r.err, &no) && !errors.Is(no, witness.ErrAnswer) {
			r.told, r.Seen = true, no.Seen
		}
		if r.OK = r.err == nil; r.OK {
			gave = append(gave, r.URL)
		} else {
			r.Reason = r.err.Error()
		}
		if r.told {
			reached++
		}
		if asJSON {
			if err := env.JSON(r.Asked); err != nil {
				return 0, nil, err
			}
		} else if !r.OK {
			env.Talk().Warn("%s: %s", say.Line(r.URL), say.Line(r.Reason))
			switch {
			case errors.Is(r.err, witness.ErrBehind):
				env.Talk().Hint("fetch what is newer: covenant sync; if nobody has it, the record was rolled back")
			case errors.Is(r.err, witness.ErrSplit):
				env.Talk().Hint("compare with other clones, and with checkpoints that were kept: covenant audit consistency OLD NEW")
			case no != nil && no.Status == tlog.StatusNotFound:
				env.Talk().Hint("who runs it is told the log's key: covenant audit checkpoints --json | jq -r .key; ask first why there is a new log")
			}
		}
	}
	return reached, gave, nil
}

// ask asks all witnesses at once.
func (o *cosigning) ask(ctx context.Context, l *audit.Tlog, c *tlog.Checkpoint, ends []*witness.Endpoint, known map[string]uint64) []asked {
	var mu sync.Mutex // a session is one process's
	prove := func(old uint64) (proof []tlog.Hash, err error) {
		mu.Lock()
		defer mu.Unlock()
		err = l.Read(func(v *tlog.View) (err error) {
			proof, err = v.Consistency(old)
			return err
		})
		return proof, err
	}
	out := make([]asked, len(ends))
	var all sync.WaitGroup
	for i, e := range ends {
		out[i].URL = e.String()
		all.Go(func() {
			defer e.Close()
			ctx, cancel := context.WithTimeout(ctx, o.timeout)
			defer cancel()
			out[i].lines, out[i].err = e.Ask(ctx, c, known[e.String()], prove)
			out[i].told = out[i].err == nil
		})
	}
	all.Wait()
	return out
}

// memory is the file that says how much of which log a witness cosigned for this clone: by origin, then by URL. It saves a
// question; what it says is believed by nobody.
const memory = "tlog/asked.json"

func recallAll(w *work.Work) map[tlog.Origin]map[string]uint64 {
	var all map[tlog.Origin]map[string]uint64
	b, err := os.ReadFile(filepath.Join(w.Session.Repo().StateDir(), filepath.FromSlash(memory)))
	if err != nil || json.Unmarshal(b, &all) != nil || all == nil {
		all = map[tlog.Origin]map[string]uint64{}
	}
	return all
}

func recall(w *work.Work, l *audit.Tlog) map[string]uint64 { return recallAll(w)[l.Key.Origin()] }

func remember(w *work.Work, l *audit.Tlog, gave []string) {
	if len(gave) == 0 {
		return
	}
	all := recallAll(w)
	o := l.Key.Origin()
	if all[o] == nil {
		all[o] = map[string]uint64{}
	}
	for _, u := range gave {
		all[o][u] = l.Note.Tree().Size
	}
	if b, err := json.Marshal(all); err == nil {
		_ = w.Session.Repo().WriteState(memory, append(b, '\n')) // without it the witness is asked twice
	}
}
