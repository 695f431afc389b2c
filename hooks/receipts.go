package hooks

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/hooks/journal"
)

// Limits of what is kept of calls.
const (
	maxFileSize   = 32 << 20           // bytes of a file whose content is digested
	maxRanges     = 64                 // runs of lines that an edit put in
	maxUnrecorded = 256                // unrecorded changes that are told one by one
	maxDigested   = 1 << 20            // bytes of arguments or results that are redacted and digested
	keepFor       = 7 * 24 * time.Hour // how long a sealed journal stays
)

// SettingsState is the folder in which it is kept which settings of agents were changed in a work tree, and what they were.
func SettingsState(r *git.Repo) string { return filepath.Join(r.StateDir(), "agents", "settings") }

func (b *bench) journal() journal.Journal {
	at := b.workTree()
	if at == "" {
		at = b.s.Repo().GitDir()
	}
	return journal.Of(b.s.Repo().StateDir(), at)
}

func (b *bench) above() []string {
	if b.t.Above == nil {
		return nil
	}
	return b.t.Above()
}

// note adds a line to the journal of the session.
func (b *bench) note(l journal.Line) error {
	e := b.e
	l.At, l.Session, l.Sub, l.Call, l.Tool, l.Kind = b.in.Now().UnixMilli(), e.Agent+"/"+e.Session, e.Sub, e.Call, e.Tool, string(e.Kind)
	if l.State == journal.Invoked || l.State == journal.Returned {
		l.Above = b.above()
	}
	intent := ""
	if len(l.Events) > 0 {
		intent, _ = Intent(b.in.Env, b.in.ConfigDir, b.s.Repo())
	}
	for i := range l.Events {
		l.Events[i].At, l.Events[i].Session, l.Events[i].Intent = envelope.Timestamp(b.in.Now()), b.session(), intent
	}
	return b.journal().Add(l)
}

// session names a session in events: sub-agents are told apart below their parent.
func (b *bench) session() string {
	s := b.e.Agent + ":" + b.e.Session
	if b.e.Sub != "" {
		s += "/" + b.e.Sub
	}
	return strings.ToValidUTF8(s[:min(len(s), event.MaxWord)], "")
}

// words keeps of a list what a field of an event takes.
func words(list []string) []any {
	out := make([]any, 0, min(len(list), 64))
	for _, s := range list[:min(len(list), 64)] {
		if s = oneLine(strings.ToValidUTF8(s, "\uFFFD")); len(s) > event.MaxWord {
			s = strings.ToValidUTF8(s[:event.MaxWord], "")
		}
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// put sets a field where there is something to say.
func put(data map[string]any, name, value string) {
	if value != "" {
		data[name] = value
	}
}

// invoked is the event of a call that is about to be made, or refused.
func (b *bench) invoked(paths []string) []event.Event {
	e := b.e
	data := map[string]any{"tool": e.Tool, "agent": e.Agent, "class": string(e.Kind)}
	put(data, "call", e.Call)
	put(data, "turn", e.Turn)
	put(data, "arguments_sha256", b.digest(e.Arguments))
	if len(paths) > 0 {
		data["paths"] = words(paths)
	}
	if len(b.out.Hidden) > 0 {
		data["hidden"] = words(b.out.Hidden)
	}
	return []event.Event{{Kind: "tool_invoked", Data: data}}
}

// hide notes that a call was refused, and why.
func (b *bench) hide(why string) {
	data := b.call()
	put(data, "reason", b.redacted(why))
	_ = b.note(journal.Line{State: journal.Denied, Events: []event.Event{{Kind: "tool_call_completed", Outcome: event.Denied, Data: data}}})
}

// maxDenials is how many refusals of an hour have entries of their own; the rest is told with the session.
const maxDenials = 64

// often counts a refusal, and reports whether there were too many in this hour for an entry of its own. What the session tells is sealed as often as that is so again: it may never stop.
func (b *bench) often(ctx context.Context) bool {
	const refused = "agents/refused" // "<hours since 1970> <how many there were>"
	hour := b.in.Now().Unix() / 3600
	var of, n int64
	if text, _, ok := small(filepath.Join(b.s.Repo().StateDir(), filepath.FromSlash(refused)), 64); ok {
		if _, err := fmt.Sscanf(string(text), "%d %d\n", &of, &n); err != nil || of != hour {
			n = 0
		}
	}
	if err := b.s.Repo().WriteState(refused, fmt.Appendf(nil, "%d %d\n", hour, n+1)); err != nil || n < maxDenials {
		return false
	}
	if n%maxDenials == 0 {
		_ = b.seal(ctx) // else the next one does
	}
	return true
}

func (b *bench) call() map[string]any {
	data := map[string]any{"tool": b.e.Tool, "agent": b.e.Agent}
	put(data, "call", b.e.Call)
	put(data, "turn", b.e.Turn)
	put(data, "model", b.e.Model)
	return data
}

// redactor takes secrets out; nil where that can't be done, and then nothing is said.
func (b *bench) redactor() *redaction.Redactor {
	if b.clean == nil {
		if x, err := audit.Redactor(b.in.Env, b.in.ConfigDir); err == nil {
			b.clean = x
		}
	}
	return b.clean
}

func (b *bench) redacted(s string) string {
	x := b.redactor()
	if x == nil {
		return "it was not recorded, since it could not be redacted"
	}
	s, _ = x.Redact(clip(s))
	return s
}

// digest is the SHA-256 of a text as it is after redaction: a plain digest of a short secret could be tried out. "" for nothing, or too much.
func (b *bench) digest(text []byte) string {
	if len(text) == 0 || len(text) > maxDigested {
		return ""
	}
	x := b.redactor()
	if x == nil {
		return ""
	}
	clean, _ := x.Redact(string(text))
	sum := sha256.Sum256([]byte(clean))
	return hex.EncodeToString(sum[:])
}

// after notes how a call ended, and what the files are that it wrote, in each repository.
func (b *bench) after(ctx context.Context, dir string) (agent.Reply, error) {
	mine, others, _, err := b.effects(ctx, dir)
	if err != nil {
		mine, others = nil, nil
	}
	if b.s != nil {
		if err := b.returned(dir, mine); err != nil {
			return agent.Reply{}, err
		}
	}
	return b.elsewhere(ctx, others, func(o *bench, written []site) (agent.Reply, error) { return agent.Reply{}, o.returned(dir, written) })
}

// returned notes how a call ended in one repository.
func (b *bench) returned(dir string, written []site) error {
	e := b.e
	data := b.call()
	put(data, "arguments_sha256", b.digest(e.Arguments))
	put(data, "result_sha256", b.digest(e.Result))
	if e.Usage.Millis > 0 {
		data["duration_ms"] = e.Usage.Millis
	}
	outcome := event.OK
	if e.Failed {
		outcome = event.Failed
	}
	l := journal.Line{State: journal.Returned, Events: []event.Event{{Kind: "tool_call_completed", Outcome: outcome, Data: data}}}
	work := b.workTree()
	for _, p := range b.inTree(written) {
		f, text := fileAt(work, p)
		l.Files = append(l.Files, f)
		told := map[string]any{"path": strings.ToValidUTF8(p, "\uFFFD"), "tool": e.Tool, "agent": e.Agent}
		put(told, "call", e.Call)
		if f.SHA256 != "" {
			told["sha256"], told["bytes"] = f.SHA256, len(text)
		}
		if ranges := b.lines(dir, work, p, text); len(ranges) > 0 && !e.Failed { // what failed put nothing in
			told["lines"] = words(spans(ranges))
			put(told, "line_hashes", b.lineHashes(ranges, text))
		}
		if len(l.Events) <= 64 {
			l.Events = append(l.Events, event.Event{Kind: "file_written", Data: told})
		}
	}
	return b.note(l)
}

// fileAt reads what stands at a path of a work tree. The digest of what is no file or link, or too large, is "".
func fileAt(work, path string) (journal.File, []byte) {
	at := filepath.Join(work, filepath.FromSlash(path))
	f := journal.File{Path: path}
	info, err := os.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return f, nil
	}
	var text []byte
	switch {
	case err != nil:
		f.Mode = "000000"
		return f, nil
	case info.Mode()&fs.ModeSymlink != 0:
		var to string
		f.Mode = "120000"
		to, err = os.Readlink(at)
		text = []byte(filepath.ToSlash(to))
	case info.IsDir():
		f.Mode = "040000"
		return f, nil
	default:
		if f.Mode = "100644"; info.Mode()&0o100 != 0 {
			f.Mode = "100755"
		}
		if !info.Mode().IsRegular() || info.Size() > maxFileSize {
			return f, nil
		}
		text, err = readSame(at, info, maxFileSize)
	}
	if err != nil {
		return f, nil
	}
	sum := sha256.Sum256(text)
	f.SHA256 = hex.EncodeToString(sum[:])
	return f, text
}

// lineRange is some lines of a file, from 1; the last is one of them.
type lineRange struct{ from, to int }

// lines returns which lines of a file an edit put in, as they are after it, sorted.
func (b *bench) lines(dir, work, path string, text []byte) []lineRange {
	var out []lineRange
	for _, c := range b.e.Edits {
		at := c.Path
		if !filepath.IsAbs(at) {
			at = filepath.Join(dir, at)
		}
		s, err := siteAt(at)
		if err != nil {
			continue
		}
		rel, ok := below(work, s.final)
		if !ok || filepath.ToSlash(rel) != path {
			continue
		}
		if c.Whole {
			return []lineRange{{1, max(1, bytes.Count(text, []byte("\n"))+trailing(text))}}
		}
		part := []byte(strings.TrimSuffix(c.Text, "\n"))
		if !bytes.Contains(text, part) { // as agents edit files that have other ends of lines
			part = bytes.ReplaceAll(part, []byte("\n"), []byte("\r\n"))
		}
		size := bytes.Count(part, []byte("\n")) + 1
		for at, line := 0, 1; len(part) > 0 && len(out) < maxRanges; {
			i := bytes.Index(text[at:], part)
			if i < 0 {
				break
			}
			line += bytes.Count(text[at:at+i], []byte("\n"))
			if r := (lineRange{line + c.Head, line + size - 1 - c.Tail}); r.from <= r.to {
				out = append(out, r)
			}
			if !c.All {
				break
			}
			line += size - 1
			at += i + len(part)
		}
	}
	slices.SortFunc(out, func(a, b lineRange) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
	return slices.Compact(out)
}

// lineHashes says the lines of some ranges, one range after the other; "" where they are too many. What is redacted in them is
// redacted first.
func (b *bench) lineHashes(ranges []lineRange, text []byte) string {
	x := b.redactor()
	if x == nil {
		return ""
	}
	lines := slices.Collect(bytes.Lines(text))
	var out strings.Builder
	for _, r := range ranges {
		if r.to > len(lines) || out.Len()/event.HashSize+r.to-r.from >= event.MaxHashed {
			return ""
		}
		part := string(bytes.Join(lines[r.from-1:r.to], nil))
		clean, _ := x.Redact(part)
		if strings.Count(clean, "\n") != strings.Count(part, "\n") {
			return ""
		}
		out.WriteString(event.LineHashes([]byte(clean)))
	}
	return out.String()
}

func trailing(text []byte) int {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return 1
	}
	return 0
}

// spans writes ranges as "3" or "3-5".
func spans(ranges []lineRange) []string {
	out := make([]string, 0, len(ranges))
	for _, r := range ranges {
		if r.to <= r.from {
			out = append(out, fmt.Sprint(r.from))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", r.from, r.to))
		}
	}
	return out
}

// tell notes what is said of a session and of no call.
func (b *bench) tell() error {
	if b.s == nil {
		return nil
	}
	switch b.e.Moment {
	case agent.SubagentStart: // whoever starts it goes on
		return b.note(journal.Line{State: journal.Told, Events: b.began()})
	case agent.SubagentStop:
		return b.note(journal.Line{State: journal.Over, Events: b.ended()})
	}
	return b.note(journal.Line{State: journal.Over, Events: b.said()})
}

// said is that a person said something, and not what.
func (b *bench) said() []event.Event {
	if b.e.Moment != agent.Prompt {
		return nil
	}
	data := map[string]any{"agent": b.e.Agent}
	put(data, "turn", b.e.Turn)
	if b.e.Said != "" {
		put(data, "sha256", b.digest([]byte(b.e.Said)))
		data["bytes"] = len(b.e.Said)
	}
	return []event.Event{{Kind: "prompt_submitted", Data: data}}
}

func (b *bench) began() []event.Event {
	e := b.e
	data := map[string]any{"tool": e.Agent, "agent": e.Agent}
	put(data, "model", e.Model)
	put(data, "version", e.Version)
	put(data, "source", e.Source)
	if e.Sub != "" {
		put(data, "parent", e.Session)
		put(data, "source", e.SubKind)
	}
	return []event.Event{{Kind: "session_started", Data: data}}
}

func (b *bench) ended() []event.Event {
	e := b.e
	data := map[string]any{"agent": e.Agent}
	put(data, "model", e.Model)
	put(data, "reason", e.Source)
	for name, n := range map[string]int64{"duration_ms": e.Usage.Millis, "input_tokens": e.Usage.Input, "output_tokens": e.Usage.Output, "cost_micros": e.Usage.CostMicros} {
		if n > 0 {
			data[name] = n
		}
	}
	outcome := event.OK
	if e.Failed {
		outcome = event.Failed
	}
	return []event.Event{{Kind: "session_ended", Outcome: outcome, Data: data}}
}

// stop compares the work tree with what was told of, and seals the journal of the session.
func (b *bench) stop(ctx context.Context) error {
	if b.s == nil {
		return nil
	}
	if b.t.Stop.rest() {
		unlock, err := b.s.Repo().LockFor(ctx, restLock) // one at a time, however often an agent stops
		if err != nil {
			return err
		}
		defer unlock()
	} else {
		if err := b.note(journal.Line{State: journal.Over, Events: b.ended()}); err != nil {
			return err
		}
		if b.later() {
			return nil
		}
	}
	if b.workTree() != "" {
		found, err := b.compare(ctx)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(found[:min(len(found), maxUnrecorded)], 16) { // a line holds as many, however long they are
			l := journal.Line{State: journal.Told}
			for _, c := range some {
				l.Untold, l.Events = append(l.Untold, c.file), append(l.Events, c.event(b.in.Moment, ""))
			}
			if err := b.note(l); err != nil {
				return err
			}
		}
	}
	kept, err := b.keep()
	if err == nil && len(kept) > 0 {
		err = b.note(journal.Line{State: journal.Told, Events: kept})
	}
	return errors.Join(err, b.seal(ctx))
}

// seal takes the journal of the session into the ledger of who acts, as one segment. Where nobody acts whose key is here it stays.
func (b *bench) seal(ctx context.Context) error {
	j, session := b.journal(), b.e.Agent+"/"+b.e.Session
	a, err := b.who(ctx)
	if err != nil {
		return nil //nolint:nilerr // what is not sealed now is sealed when somebody acts
	}
	hand, err := provenance.ChooseHand(b.s.Repo(), a.authority, a.choice)
	if err != nil {
		return nil //nolint:nilerr // likewise
	}
	unlock, err := b.s.Repo().Lock(ctx) // two moments must not seal the same lines
	if err != nil {
		return err
	}
	defer unlock()
	page, err := j.Read(session, j.Sealed(session))
	if err != nil {
		return err
	}
	x := b.redactor()
	if x == nil {
		return errors.New("events could not be redacted")
	}
	var events []event.Event
	for _, l := range page.Lines {
		for _, ev := range l.Events {
			if ev.Validate() != nil {
				continue // somebody else wrote it
			}
			if _, err := audit.Redact(x, &ev); err != nil {
				return err
			}
			events = append(events, ev)
		}
	}
	if page.Torn > 0 {
		events = append(events, event.Event{Kind: "note", Session: b.session(), Data: map[string]any{"text": fmt.Sprintf("%d lines of the journal were torn or changed, and are not here", page.Torn)}})
	}
	if len(events) > 0 {
		k := &provenance.Sealer{Session: b.s, Root: b.root, Authority: a.authority, Hand: hand, Moment: b.in.Moment, Now: b.in.Now, Locked: true}
		if _, err := audit.Append(ctx, k, true, events...); err != nil {
			return err
		}
	}
	if err := j.Seal(session, page.Size); err != nil {
		return err
	}
	j.Sweep(b.in.Now().Add(-keepFor))
	return nil
}
