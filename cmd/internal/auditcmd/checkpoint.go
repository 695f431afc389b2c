package auditcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Checkpoint is one checkpoint, with --json.
type Checkpoint struct {
	Type      string   `json:"type"` // "checkpoint"
	ID        string   `json:"id"`   // its entry
	Ledger    string   `json:"ledger"`
	Seq       uint64   `json:"seq"`
	Time      string   `json:"time,omitempty"`
	Principal string   `json:"principal,omitempty"`
	Size      uint64   `json:"size"`               // that it signs; 0 where it is none
	Root      string   `json:"root"`               // likewise, base64
	Made      uint64   `json:"made,omitempty"`     // of a wrong one: how many entries the ledgers make
	MadeRoot  string   `json:"madeRoot,omitempty"` // likewise: their root
	Key       string   `json:"key"`                // of its log, as any program for C2SP checkpoints takes it
	Note      string   `json:"note,omitempty"`
	Witnesses []string `json:"witnesses,omitempty"` // of the policy, that cosigned it
	OK        bool     `json:"ok"`                  // the ledgers make the tree that it signs
	Reason    string   `json:"reason,omitempty"`    // why not
}

func newCheckpoint(env *cli.Env) *cobra.Command {
	var who string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Sign all that the ledgers say until now",
		Long: `Sign the tree of all entries of all other ledgers, in the format of C2SP tlog-checkpoint, and
record that in your ledger of checkpoints. Whoever has a checkpoint, however it came there,
can tell later whether anything that it covers was taken out or changed. Policy can demand
one that is recent (maxCheckpointAge), and that witnesses saw it: without either, a server that
withholds the newest entries, or rolls all of them back, is not seen by whoever has no memory.

It takes audit.checkpoint, and a plain ed25519 key. It is signed also when nothing is new.`,
		Example: "  covenant audit checkpoint\n  covenant audit checkpoint --identity ci --json | jq -r .note >checkpoint",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCheckpoint(cmd.Context(), env, who, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&who, "identity", "", "act as this principal: a name, or the path of a private key")
	f.BoolVar(&asJSON, "json", false, "print a JSON object, with the checkpoint as text in \"note\"")
	return cmd
}

func runCheckpoint(ctx context.Context, env *cli.Env, who string, asJSON bool) error {
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = who
	f, err := provenance.LoadAuthority(ctx, w.Session, pin)
	if err != nil {
		return work.Explain(err)
	}
	k, err := w.Sealer(f)
	if err != nil {
		return err
	}
	if err := provenance.InForce(w.Session, f.Root, env.Now()); err != nil {
		return work.Explain(err)
	}
	if err := permit(ctx, k, provenance.CheckpointAction); err != nil {
		return err
	}
	done := env.Talk().Progress("checkpoint", 0)
	made, err := audit.Checkpoint(ctx, k, w.Cache(false))
	done.Done()
	if errors.Is(err, tlog.ErrKeyType) {
		return cli.Hint(err, "checkpoints are signed with plain ed25519 keys, which all programs for them know: act with such a key: --identity")
	}
	if err != nil {
		return work.Explain(err)
	}
	for _, name := range made.Missed {
		env.Talk().Warn("it does not cover what is new in ledger %s, which can't be followed to its end", name)
	}
	if len(made.Missed) > 0 {
		env.Talk().Hint("see what is wrong: covenant audit verify")
	}
	t := made.Note.Tree()
	if asJSON {
		return env.JSON(Checkpoint{
			Type: "checkpoint", ID: string(made.ID), Ledger: made.Ledger, Seq: made.Seq, Principal: k.Hand.Principal.Name, Size: t.Size, Root: t.Root.String(),
			Key: made.Key.String(), Note: string(made.Note.Bytes()), OK: true,
		})
	}
	_, err = fmt.Fprintf(env.Out, "%s %d %s\n", made.ID, t.Size, t.Root)
	return err
}

func newCheckpoints(env *cli.Env) *cobra.Command {
	var asJSON, note bool
	var root string
	cmd := &cobra.Command{
		Use:   "checkpoints",
		Short: "List the checkpoints, and whether the ledgers agree with them",
		Long: `List the checkpoints of all writers, oldest first, with the key by which each is verified.
Each is computed again from the ledgers: one that says something else is marked, and the
exit code is 1. --note prints the newest one as text, with its cosignatures, for a file or
for another program.`,
		Example: "  covenant audit checkpoints\n  covenant audit checkpoints --json | jq -r .key | sort -u\n  covenant audit checkpoints --note >checkpoint",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCheckpoints(cmd.Context(), env, root, asJSON, note)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "print one JSON object per checkpoint")
	f.BoolVar(&note, "note", false, "print the newest one as text")
	f.StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

func runCheckpoints(ctx context.Context, env *cli.Env, root string, asJSON, note bool) error {
	w, err := openRecord(ctx, env, root, false)
	if err != nil {
		return err
	}
	defer w.Close()
	f := w.facts
	list, err := f.Signed(env.Now())
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return cli.Hint(audit.ErrNoCheckpoint, "make one: covenant audit checkpoint")
	}
	slices.SortStableFunc(list, func(a, b provenance.Signed) int { return a.Time.Compare(b.Time) })
	if note {
		for _, s := range slices.Backward(list) {
			if s.Err == nil {
				_, err := env.Out.Write(s.Note.Bytes())
				return err
			}
		}
		return cli.No(fmt.Errorf("the ledgers agree with none of the %s here", say.Count(len(list), "checkpoint")))
	}
	bad := 0
	for i := range list {
		s := &list[i]
		if s.Err != nil {
			bad++
		}
		if err := printCheckpoint(env, f, s, asJSON); err != nil {
			return err
		}
	}
	if bad > 0 {
		return cli.No(cli.Hint(fmt.Errorf("the ledgers disagree with %s", say.Count(bad, "checkpoint")), "see what is wrong: covenant audit verify"))
	}
	return nil
}

func printCheckpoint(env *cli.Env, f *provenance.Facts, s *provenance.Signed, asJSON bool) error {
	who := ""
	if p, ok := f.Authority.ByKey(s.KeyID); ok {
		who = p.Name
	}
	c := Checkpoint{
		Type: "checkpoint", ID: string(s.ID), Ledger: s.Ledger, Seq: s.Seq, Time: envelope.Timestamp(s.Time), Principal: who, Key: s.Key.String(),
		Note: s.Checkpoint.Note, OK: s.Err == nil,
	}
	if s.Note != nil {
		c.Size, c.Root = s.Note.Tree().Size, s.Note.Tree().Root.String()
	}
	for _, x := range s.Witnessed {
		c.Witnesses = append(c.Witnesses, x.Name)
	}
	if s.Err != nil {
		c.Reason, c.Made, c.MadeRoot = s.Err.Error(), s.Tree.Size, s.Tree.Root.String()
	} else {
		c.Note = string(s.Note.Bytes())
	}
	if asJSON {
		return env.JSON(c)
	}
	p := env.Palette()
	word := p.Good("ok ")
	if !c.OK {
		word = p.Bad("bad")
	}
	line := fmt.Sprintf("%s %s %s %-12s %d entries  %s", p.Mark(s.ID.Short()), strings.Replace(c.Time, "T", " ", 1), word, say.Line(who), c.Size, c.Root)
	if len(c.Witnesses) > 0 {
		line += "  seen by " + say.Line(strings.Join(c.Witnesses, ", "))
	}
	if c.Reason != "" {
		line += "\n    " + say.Line(c.Reason)
	}
	_, err := fmt.Fprintln(env.Out, line)
	return err
}
