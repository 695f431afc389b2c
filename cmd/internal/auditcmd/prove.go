package auditcmd

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// logs opens the logs that a command may answer from, the largest first.
func logs(ctx context.Context, w *work.Work, pin envelope.Digest, writer string) ([]*audit.Tlog, *capability.Authority, error) {
	f, err := provenance.LoadAuthority(ctx, w.Session, pin)
	if err != nil {
		return nil, nil, work.Explain(err)
	}
	list, errs := audit.Logs(w.Session, w.Cache(false), f.Root.ID, f.Authority, writer)
	for _, err := range errs {
		w.Env.Talk().Warn("%v", err)
	}
	if len(list) == 0 && writer != "" {
		return nil, nil, cli.Hint(fmt.Errorf("no writer of checkpoints here is called %s, or so in the beginning", say.Name(writer)), "see who there is: covenant audit checkpoints --json | jq -r .ledger | sort -u")
	}
	if len(list) == 0 {
		err := audit.ErrNoCheckpoint
		if len(errs) > 0 {
			err = errors.New("no log of checkpoints holds here")
		}
		return nil, nil, cli.Hint(err, "who may makes one: covenant audit checkpoint", "fetch those of others: covenant sync")
	}
	// Whose checkpoints count comes first: anybody who may write a ledger can sign some.
	now := w.Env.Now()
	slices.SortStableFunc(list, func(a, b *audit.Tlog) int {
		counts := func(l *audit.Tlog) int {
			if provenance.MayCheckpoint(f.Authority, l.Writer(), now) {
				return 0
			}
			return 1
		}
		return cmp.Compare(counts(a), counts(b))
	})
	return list, f.Authority, nil
}

func newProve(env *cli.Env) *cobra.Command {
	var out, writer, root string
	cmd := &cobra.Command{
		Use:   "prove ENTRY",
		Short: "Make a file that proves that an entry is in the log",
		Long: `Make a proof that an entry is in the log, as the newest checkpoint has it: a file in the
format of C2SP tlog-proof, which carries the entry's envelope, the hashes that lead from it to
the root, and the checkpoint with its cosignatures. "covenant audit check-proof" checks it
offline, without this repository, and so does any program for that format.

ENTRY is the id that "covenant audit log" prints, or at least four digits of it; or the commit
of a ledger that holds it.`,
		Example: "  covenant audit prove 18c50c49ec2a >entry.tlog-proof\n  covenant audit check-proof entry.tlog-proof --key \"$(covenant audit checkpoints --json | jq -r .key | tail -n1)\"",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runProve(cmd.Context(), env, root, writer, out, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVarP(&out, "output", "o", "", "write the file there, not to standard output")
	f.StringVar(&writer, "log", "", "writer of the log, or how its name begins (default: the largest log that has the entry)")
	f.StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

func runProve(ctx context.Context, env *cli.Env, root, writer, out, entry string) error {
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return err
	}
	defer w.Close()
	list, _, err := logs(ctx, w, pin, writer)
	if err != nil {
		return err
	}
	text := entry
	if !strings.HasPrefix(entry, "sha256:") {
		if c := commitOf(w, entry); !c.IsZero() {
			if e, _, err := ledger.Read(w.Session, c); err == nil {
				text = string(e.ID())
			}
		}
	}
	var proof *tlog.Proof
	for _, l := range list {
		var at audit.Where
		if at, err = l.Find(text); err != nil {
			continue
		}
		proof, err = l.Prove(at)
		break
	}
	switch {
	case errors.Is(err, audit.ErrDropped):
		return cli.Hint(fmt.Errorf("%s: %w", entry, err), "see who dropped it, and why: covenant audit log --kind ledger.pruned")
	case errors.Is(err, audit.ErrUncovered):
		return cli.Hint(err, "make a newer one: covenant audit checkpoint")
	case errors.Is(err, audit.ErrNoEntry):
		return cli.Hint(err, "see what there is: covenant audit log", "what is newer than the newest checkpoint is in none: covenant audit checkpoint")
	case errors.Is(err, audit.ErrAmbiguous):
		return cli.Hint(err, "give more of it")
	case err != nil:
		return err
	}
	b, err := proof.Bytes()
	if err != nil {
		return err
	}
	return writeTo(env, out, func(inner *cli.Env) error {
		_, err := inner.Out.Write(b)
		return err
	})
}

// commitOf resolves a revision to a commit; zero when it is none.
func commitOf(w *work.Work, rev string) oid.ID {
	c, err := w.Session.Commit(rev + "^{commit}")
	if err != nil {
		return oid.ID{}
	}
	return c.ID
}

func newCheckProof(env *cli.Env) *cobra.Command {
	var o proving
	cmd := &cobra.Command{
		Use:   "check-proof FILE",
		Short: "Check offline that an entry was in a log",
		Long: `Check a proof made by "prove", or by another program, without the repository: that the
checkpoint in it is signed with the log's key, that as many of the witnesses as you need saw
it, and that the entry's envelope leads to its root. FILE may be "-".

The log's key is --key, as who keeps the repository tells it (covenant audit checkpoints
--json | jq -r .key). Inside a clone of the repository it is found there. --signer is the
public key that the entry must be signed by; without it, and outside of a clone, who signed is
only said by the entry. The exit code is 0 when it holds, 1 when it does not, 2 when it can't be
told.`,
		Example: "  covenant audit check-proof entry.tlog-proof --key 'covenant/338a8e…+6c66418a+AZsf…'\n  covenant audit check-proof - --key KEY --witness 'w.example+31b5dacd+BEmt…' --need 1 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), env, args[0])
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.key, "key", "", "key of the log")
	f.StringArrayVar(&o.witnesses, "witness", nil, "key of a witness; may be repeated")
	f.IntVar(&o.need, "need", -1, "how many of the witnesses must have seen it (default: all that are named)")
	f.StringVar(&o.signer, "signer", "", "public key that signed the entry: the path of a .pub file, or its text")
	f.BoolVar(&o.json, "json", false, "print a JSON object with the entry's statement")
	return cmd
}

type proving struct {
	key, signer string
	witnesses   []string
	need        int
	json        bool
}

// Proven is what check-proof prints with --json.
type Proven struct {
	Type      string          `json:"type"` // "proof"
	OK        bool            `json:"ok"`
	ID        string          `json:"id"`
	Index     uint64          `json:"index"`
	Origin    string          `json:"origin"`
	Size      uint64          `json:"size"`
	Root      string          `json:"root"`
	Witnesses []string        `json:"witnesses,omitempty"`
	Signer    string          `json:"signer"`              // key id that the entry says it is signed with
	Verified  bool            `json:"verified"`            // that signature was checked
	Principal string          `json:"principal,omitempty"` // whose key it is, where a clone tells
	Statement json.RawMessage `json:"statement"`
}

func (o *proving) run(ctx context.Context, env *cli.Env, file string) error {
	b, err := readFile(env, file, tlog.MaxExtra*2)
	if err != nil {
		return err
	}
	policy, err := o.policy()
	if err != nil {
		return err
	}
	p, err := tlog.ParseProof(b)
	if err != nil {
		return cli.Hint(fmt.Errorf("%s is no proof: %w", file, err), "who has the repository makes one: covenant audit prove ENTRY", "checkpoints are held to each other by: covenant audit consistency")
	}
	key, known, err := o.logKey(ctx, env, &p)
	if err != nil {
		return err
	}
	proven, err := tlog.CheckProof(b, key, policy.Until(env.Now()), audit.RecordOfEnvelope)
	if err != nil {
		return cli.No(fmt.Errorf("%s: %w", file, err))
	}
	e, err := envelope.Parse(proven.Extra)
	if err != nil {
		return cli.No(err)
	}
	t := proven.Checkpoint.Tree()
	out := Proven{Type: "proof", OK: true, ID: string(e.ID()), Index: proven.Index, Origin: string(key.Origin()), Size: t.Size, Root: t.Root.String(), Signer: strings.Join(e.KeyIDs(), ", ")}
	for _, x := range proven.Witnesses {
		out.Witnesses = append(out.Witnesses, x.Name)
	}
	ring, err := o.ring(ctx, env, known)
	if err != nil {
		return err
	}
	opened, err := e.OpenPinned(e.PayloadType(), e.ID())
	if err != nil {
		return cli.No(err)
	}
	if ring != nil {
		if opened, err = e.Open(e.PayloadType(), 1, ring); err != nil {
			return cli.No(fmt.Errorf("%s: the log has this entry, and it is not signed as it must be: %w", file, err))
		}
		out.Verified = true
		if known != nil {
			if who, ok := known.ByKey(opened.KeyIDs[0]); ok {
				out.Principal = who.Name
			}
		}
	}
	out.Statement = opened.Payload
	if o.json {
		return env.JSON(out)
	}
	return printProven(env, &out)
}

func printProven(env *cli.Env, p *Proven) error {
	sign := "signed, as it says, by " + p.Signer + " (not checked: --signer)"
	if p.Verified {
		sign = "signed by " + p.Signer
		if p.Principal != "" {
			sign += ", " + p.Principal
		}
	}
	seen := ""
	if len(p.Witnesses) > 0 {
		seen = ", seen by " + strings.Join(p.Witnesses, ", ")
	}
	_, err := fmt.Fprintf(env.Out, "%s: entry %s is number %d of %d in the log %s%s\n%s\n%s\n", env.Palette().Good("ok"), p.ID, p.Index+1, p.Size, say.Line(p.Origin), say.Line(seen), say.Line(sign), say.Clean(string(p.Statement)))
	return err
}

func (o *proving) policy() (tlog.Policy, error) {
	var keys []tlog.WitnessKey
	for _, text := range o.witnesses {
		k, err := tlog.ParseWitnessKey(text)
		if err != nil {
			return tlog.Policy{}, cli.Usage("--witness: %v", err)
		}
		keys = append(keys, k)
	}
	need := o.need
	if need < 0 {
		need = len(keys)
	}
	p, err := tlog.NewPolicy(need, keys...)
	if err != nil {
		return p, cli.Usage("--need: %v", err)
	}
	return p, nil
}

// logKey is the key that was given; else that of the writer whom the checkpoint names, where this is a clone that knows it.
func (o *proving) logKey(ctx context.Context, env *cli.Env, p *tlog.Proof) (tlog.LogKey, *capability.Authority, error) {
	if o.key != "" {
		k, err := tlog.ParseLogKey(o.key)
		if err != nil {
			return k, nil, cli.Usage("--key: %v", err)
		}
		return k, nil, nil
	}
	missing := func(err error) error {
		return cli.Hint(fmt.Errorf("the key of the log is not known: %s", err.Error()), "give it: --key KEY; who keeps the repository prints it: covenant audit checkpoints --json")
	}
	w, pin, err := work.OpenPinned(ctx, env, "")
	if err != nil {
		return tlog.LogKey{}, nil, missing(err)
	}
	defer w.Close()
	f, err := provenance.LoadAuthority(ctx, w.Session, pin)
	if err != nil {
		return tlog.LogKey{}, nil, missing(err)
	}
	origin, _, _ := strings.Cut(string(p.Checkpoint), "\n")
	k, err := audit.LogKey(f.Root.ID, f.Authority, origin)
	if err != nil {
		return k, nil, missing(err)
	}
	if writer := ledger.Writer(origin[strings.LastIndexByte(origin, '/')+1:]); !provenance.MayCheckpoint(f.Authority, writer, env.Now()) {
		return k, nil, cli.No(cli.Hint(fmt.Errorf("the log %s is that of a writer who may not make checkpoints, and proves nothing", say.Line(origin)), "who may: covenant capability list", "to check it by a key that you trust otherwise: --key KEY"))
	}
	return k, f.Authority, nil
}

// ring are the keys that an entry may be signed by; nil: nobody says.
func (o *proving) ring(ctx context.Context, env *cli.Env, known *capability.Authority) (envelope.Keyring, error) {
	if o.signer != "" {
		pub, err := work.PublicKey(ctx, env, o.signer)
		if err != nil {
			return nil, cli.Hint(err, "--signer takes the path of a .pub file, or its text")
		}
		return func(id string) (envelope.Key, bool) { return pub, id == pub.ID() }, nil
	}
	if known != nil {
		return known.Ring, nil
	}
	return nil, nil
}

func readFile(env *cli.Env, file string, most int64) ([]byte, error) {
	in := env.In
	if file != "-" {
		f, err := os.Open(env.Path(file))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s: more than %d bytes", file, most)
	}
	return b, err
}

func newConsistency(env *cli.Env) *cobra.Command {
	var writer, root string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "consistency OLD NEW",
		Short: "Show that a later checkpoint has all that an earlier one had",
		Long: `Show that the tree of NEW begins as that of OLD: nothing that OLD covers was changed or
taken out. Each is a file with a checkpoint, or a number of entries of the log here. The
proof, in the format of RFC 6962, section 2.1.2, is printed one hash a line. The exit
code is 1 when one of the two is not what the ledgers here make: somebody showed you another
log.`,
		Example: "  covenant audit consistency yesterday.checkpoint today.checkpoint\n  covenant audit consistency 1000 2000",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runConsistency(cmd.Context(), env, root, writer, asJSON, args[0], args[1])
		},
	}
	f := cmd.Flags()
	f.StringVar(&writer, "log", "", "writer of the log, or how its name begins (default: the log that the checkpoints name, else the largest)")
	f.StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	f.BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

// Consistent is what consistency prints with --json.
type Consistent struct {
	Type  string      `json:"type"` // "consistency"
	OK    bool        `json:"ok"`
	Old   uint64      `json:"old"`
	New   uint64      `json:"new"`
	Proof []tlog.Hash `json:"proof"`
}

func runConsistency(ctx context.Context, env *cli.Env, root, writer string, asJSON bool, before, after string) error {
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return err
	}
	defer w.Close()
	list, _, err := logs(ctx, w, pin, writer)
	if err != nil {
		return err
	}
	l := list[0]
	var notes [2][]byte
	for i, arg := range []string{before, after} {
		if _, err := strconv.ParseUint(arg, 10, 53); err == nil {
			continue
		}
		if notes[i], err = readFile(env, arg, tlog.MaxCheckpoint); err != nil {
			return cli.Hint(err, "each is a file with a checkpoint, or a number of entries")
		}
		origin, _, _ := strings.Cut(string(notes[i]), "\n")
		for _, x := range list {
			if string(x.Key.Origin()) == origin {
				l = x
			}
		}
	}
	var trees [2]tlog.Tree
	var proof []tlog.Hash
	if err := l.Read(func(v *tlog.View) (err error) {
		for i, arg := range []string{before, after} {
			if trees[i], err = treeOf(v, l.Key, arg, notes[i]); err != nil {
				return err
			}
		}
		if trees[0].Size > trees[1].Size {
			return cli.Usage("the first is the older one: %d entries are more than %d", trees[0].Size, trees[1].Size)
		}
		proof, err = v.Between(trees[0].Size, trees[1].Size)
		return err
	}); err != nil {
		return err
	}
	if err := trees[1].CheckConsistency(proof, trees[0]); err != nil {
		return cli.No(err)
	}
	if asJSON {
		return env.JSON(Consistent{Type: "consistency", OK: true, Old: trees[0].Size, New: trees[1].Size, Proof: proof})
	}
	for _, h := range proof {
		if _, err := fmt.Fprintln(env.Out, base64.StdEncoding.EncodeToString(h[:])); err != nil {
			return err
		}
	}
	env.Talk().Note("the log %s of %d entries began as that of %d", l.Key.Origin(), trees[1].Size, trees[0].Size)
	return nil
}

// treeOf is the tree that an argument names: a number of entries of the log here, or a checkpoint, which must be of that log.
func treeOf(v *tlog.View, key tlog.LogKey, arg string, note []byte) (tlog.Tree, error) {
	if note == nil {
		n, err := strconv.ParseUint(arg, 10, 53)
		if err != nil {
			return tlog.Tree{}, err
		}
		t, err := v.Was(n)
		return t, cli.Hint(err, "see what is covered: covenant audit checkpoints")
	}
	text, err := tlog.Tidy(note)
	if err != nil {
		return tlog.Tree{}, cli.No(fmt.Errorf("%s: %w", arg, err))
	}
	c, err := tlog.Open(text, key)
	if err != nil {
		return tlog.Tree{}, cli.No(fmt.Errorf("%s: %w", arg, err))
	}
	t := c.Tree()
	if t.Size > v.Tree().Size {
		return t, cli.Hint(fmt.Errorf("%s covers %d entries, and the newest checkpoint here %d", arg, t.Size, v.Tree().Size),
			"fetch the newer ones: covenant sync", "if nobody has them, the ledgers were rolled back: keep the file, it proves that there were more")
	}
	here, err := v.Was(t.Size)
	if err == nil && here != t {
		err = cli.No(cli.Hint(fmt.Errorf("%s is signed by the log's key and is not the log that is here: with %d entries that has root %s, and the file says %s", arg, here.Size, here.Root, t.Root),
			"keep the file: it proves that its signer shows different logs"))
	}
	return t, err
}
