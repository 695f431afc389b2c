package auditcmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git/audit"
)

// batch is how many events one transaction takes: more come in several.
const batch = 10_000

type appending struct {
	who, text             string
	json, asSegment, note bool
}

func newAppend(env *cli.Env) *cobra.Command {
	var o appending
	cmd := &cobra.Command{
		Use:   "append [-m TEXT | -]",
		Short: "Record what happened: JSON lines from standard input",
		Long: `Record events in your ledger. Each line of standard input is a JSON object with a "kind"
and the fields of that kind; "at", "outcome", "intent" and "session" go with any. Up
to 10,000 lines are one transaction: all of them are checked before the first is written, and
all or none are there. They are written without the secrets and personal paths that are found in them. For each event a line says where it stands: the entry,
its ledger, number and kind. What was said so is there; without such a line it may not be.

-m records a note, which is free text. A kind of your own is x.WHO.WHAT, with any fields.
With --segment the events of a transaction, up to 65,536 then, become one entry: for what
happens often.`,
		Example: `  echo '{"kind":"note","text":"rolled back by hand"}' | covenant audit append
  covenant audit append -m 'rolled back by hand'
  covenant audit append --segment --json <events.jsonl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] != "-" {
				return cli.Hint(cli.Usage("events come on standard input, not from %q", args[0]), "from a file: covenant audit append <"+say.Shell(args[0]), "as text: covenant audit append -m TEXT")
			}
			o.note = cmd.Flags().Changed("message")
			return runAppend(cmd.Context(), env, o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.text, "message", "m", "", "record this text as a note, and read nothing")
	f.BoolVar(&o.asSegment, "segment", false, "one entry for all events")
	f.StringVar(&o.who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&o.json, "json", false, "print one JSON object per event")
	return cmd
}

// Appended is one event that was recorded, with --json.
type Appended struct {
	Type   string `json:"type"` // "appended"
	ID     string `json:"id"`   // the entry
	Ledger string `json:"ledger"`
	Seq    uint64 `json:"seq"`
	Index  int    `json:"index,omitempty"` // which event of the entry, from 1, where it has several
	Kind   string `json:"kind"`
}

func runAppend(ctx context.Context, env *cli.Env, o appending) error {
	w, err := work.OpenIdle(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = o.who
	if o.note {
		e := event.Event{Kind: "note", Data: map[string]any{"text": o.text}}
		if err := e.Validate(); err != nil {
			return cli.Hint(err, "nothing was recorded", "longer text belongs into a file, and its digest here")
		}
		return o.record(ctx, w, []event.Event{e}, nil)
	}
	most := batch
	if o.asSegment {
		most = event.MaxEvents
	}
	in := bufio.NewScanner(env.In)
	in.Buffer(nil, 2*event.MaxEvent) // escapes can be longer than what they stand for
	var events []event.Event
	var lines []int // where they stood
	n, any := 0, false
	for in.Scan() {
		n++
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue
		}
		e, err := parse(line)
		if err != nil {
			return cli.Hint(fmt.Errorf("line %d: %w", n, err), told(any), "kinds and their fields: covenant audit kinds")
		}
		lines = append(lines, n)
		if events = append(events, e); len(events) == most {
			if err := o.record(ctx, w, events, lines); err != nil {
				return err
			}
			events, lines, any = events[:0], lines[:0], true
		}
	}
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return cli.Hint(fmt.Errorf("line %d: it is longer than any event (%d bytes)", n+1, event.MaxEvent), told(any))
	case err != nil:
		return cli.Hint(fmt.Errorf("standard input: %w", err), told(any))
	case len(events) == 0 && !any:
		return cli.Hint(errors.New("standard input had no event"), `such as: echo '{"kind":"note","text":"…"}' | covenant audit append`, "or: covenant audit append -m 'TEXT'")
	}
	return o.record(ctx, w, events, lines)
}

func told(any bool) string {
	if any {
		return "the lines that were answered are recorded, the others are not"
	}
	return "nothing was recorded"
}

// parse reads a line as people and programs write it, and holds it to its kind.
func parse(line []byte) (event.Event, error) {
	var e event.Event
	text, err := canonical.Of(line)
	if err != nil {
		return e, err
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		return e, errors.New("an event is a JSON object")
	}
	for name, into := range map[string]*string{"at": &e.At, "intent": &e.Intent, "kind": &e.Kind, "outcome": (*string)(&e.Outcome), "session": &e.Session} {
		v, there := m[name]
		if !there {
			continue
		}
		s, ok := v.(string)
		if !ok || s == "" {
			return e, fmt.Errorf("%w: %q takes a text", event.ErrInvalid, name)
		}
		*into = s
		delete(m, name)
	}
	if e.Kind == "" {
		return e, fmt.Errorf(`%w: it has no "kind"`, event.ErrInvalid)
	}
	if len(m) > 0 {
		e.Data = m
	}
	return e, e.Validate()
}

// redact takes out of events what history should not have, and tells that it did.
func redact(ctx context.Context, w *work.Work, events []event.Event, lines []int) error {
	env := w.Env
	more, err := w.Redactors()
	if err != nil {
		return err
	}
	var texts []string
	for i := range events {
		texts = append(texts, audit.Texts(&events[i])...)
	}
	x, err := w.Redactor(ctx, more, texts...)
	if err != nil {
		return err
	}
	for i := range events {
		hits, err := audit.Redact(x, &events[i])
		if err != nil {
			return err
		}
		for _, h := range hits {
			where := ""
			if lines != nil {
				where = fmt.Sprintf("line %d: ", lines[i])
			}
			env.Talk().Warn("%sredacted before it was written: %s at %s", where, h.Rule, h.Path)
		}
	}
	return nil
}

func (o *appending) record(ctx context.Context, w *work.Work, events []event.Event, lines []int) error {
	if len(events) == 0 {
		return nil
	}
	if err := redact(ctx, w, events, lines); err != nil {
		return err
	}
	k, err := w.Writer()
	if err != nil {
		return err
	}
	places, err := audit.Append(ctx, k, o.asSegment, events...)
	if err != nil {
		return work.Explain(err)
	}
	for i, e := range events {
		p, kind := places[i], e.Kind
		if o.json {
			a := Appended{Type: "appended", ID: string(p.ID), Ledger: p.Ledger, Seq: p.Seq, Kind: kind}
			if p.Of > 1 {
				a.Index = p.Index
			}
			if err := w.Env.JSON(a); err != nil {
				return err
			}
			continue
		}
		which := ""
		if p.Of > 1 {
			which = fmt.Sprintf(".%d", p.Index)
		}
		if _, err := fmt.Fprintf(w.Env.Out, "%s %s %d%s %s\n", p.ID, p.Ledger, p.Seq, which, strings.TrimSpace(kind)); err != nil {
			return err
		}
	}
	return nil
}
