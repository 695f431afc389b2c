package witnesscmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/http/httpproxy"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/witness"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/envelope/tlog"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Asked is what came of one witness, with --json.
type Asked struct {
	Type      string   `json:"type"` // "asked"
	URL       string   `json:"url"`  // or the file
	OK        bool     `json:"ok"`
	Witnesses []string `json:"witnesses,omitempty"` // whose cosignatures it gave
	Seen      uint64   `json:"seen,omitempty"`      // entries that it has seen, where that is why not
	Reason    string   `json:"reason,omitempty"`
}

// Cosigned is the last line of --json.
type Cosigned struct {
	Type       string   `json:"type"`         // "cosigned"
	ID         string   `json:"id,omitempty"` // of the entry that brings the cosignatures, if any were new
	Ledger     string   `json:"ledger,omitempty"`
	Seq        uint64   `json:"seq,omitempty"`
	Checkpoint string   `json:"checkpoint"` // its entry
	Size       uint64   `json:"size"`
	Witnesses  []string `json:"witnesses"` // that saw it, now or before
	Need       int      `json:"need"`
	OK         bool     `json:"ok"`
}

type cosigning struct {
	urls, witnesses         []string
	from, who, writer, root string
	timeout                 time.Duration
	json                    bool
}

func newCosign(env *cli.Env) *cobra.Command {
	var o cosigning
	cmd := &cobra.Command{
		Use:   "cosign",
		Short: "Have witnesses cosign the newest checkpoint of this clone",
		Long: `Send the newest checkpoint, with the proof that it continues what the witness saw last, to each
witness, and record the cosignatures that come back as one entry of your ledger of checkpoints.
Only those of the policy's witnesses count, or, with --witness, of those that are named.

--from takes signature lines, or a checkpoint with them, that came another way.

The exit code is 0 when as many witnesses as the policy needs have cosigned the checkpoint (with
--witness: all of them), 1 when fewer have, 2 when nobody could be asked. What came is recorded in
any case. A witness that has seen more than there is here, or another log, is told: somebody
rolled the record back, or shows different ones.`,
		Example: "  covenant audit witness cosign --url https://witness.example/a --url https://other.example\n  covenant audit witness cosign --url unix:/run/witness.sock --witness 'witness.example/a+31b5dacd+BEmt…'\n  covenant audit witness cosign --from cosignatures.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), env)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.urls, "url", nil, "where a witness is: https://HOST/PREFIX or unix:PATH; may be repeated")
	f.StringArrayVar(&o.witnesses, "witness", nil, "key of a witness, in the place of the policy's; may be repeated")
	f.StringVar(&o.from, "from", "", "file with cosignatures; - is standard input")
	f.StringVar(&o.writer, "log", "", "writer of the log, or how its name begins (default: the largest by a key that may make checkpoints)")
	f.StringVar(&o.who, "identity", "", "record as this principal: a name, or the path of a private key")
	f.StringVar(&o.root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long a witness may take")
	f.BoolVar(&o.json, "json", false, "print a JSON object for each witness, and one for all")
	return cmd
}

func (o *cosigning) run(ctx context.Context, env *cli.Env) error {
	ends, err := o.endpoints(env)
	if err != nil {
		return err
	}
	var brought []byte
	if o.from != "" {
		if brought, err = readLines(env, o.from); err != nil {
			return err
		}
	}
	w, pin, err := work.OpenPinned(ctx, env, o.root)
	if err != nil {
		return err
	}
	defer w.Close()
	w.Explicit = o.who
	f, err := provenance.LoadAuthority(ctx, w.Session, pin)
	if err != nil {
		return work.Explain(err)
	}
	k, err := w.Sealer(f)
	if err != nil {
		return err
	}
	policy, need, err := o.policy(f, env.Now())
	if err != nil {
		return err
	}
	l, err := o.log(w, f)
	if err != nil {
		return err
	}
	bare, stored, err := cut(l)
	if err != nil {
		return err
	}
	c := collected{policy: policy, bare: bare, all: bare}
	for line := range bytes.Lines(stored) {
		_, _ = c.take(line) // what fails counted for nothing before
	}
	before := c.all
	var results []asked
	if brought != nil {
		results = append(results, asked{Asked: Asked{URL: o.from}, lines: brought, told: true})
	}
	results = append(results, o.ask(ctx, l, bare, ends, recall(w, l))...)
	reached, gave, err := c.results(env, results, o.json)
	if err != nil {
		return err
	}
	remember(w, l, gave)
	if reached == 0 {
		return cli.Hint(errors.New("no witness could be asked"), "see what was said above; nothing was recorded")
	}
	have, err := policy.Check(c.all)
	if err != nil {
		return err
	}
	sum := Cosigned{Type: "cosigned", Checkpoint: string(l.ID), Size: bare.Tree().Size, Need: need, OK: len(have) >= need, Witnesses: []string{}}
	for _, s := range have {
		sum.Witnesses = append(sum.Witnesses, s.Name)
	}
	if lines := gained(before, c.all); lines != "" {
		made, err := k.Record(ctx, event.CheckpointTopic, provenance.Item{
			Type: event.Cosigned, Body: event.Cosigning{Checkpoint: l.ID, Lines: lines},
			Subject: fmt.Sprintf("checkpoint.cosigned %d entries by %s", sum.Size, strings.Join(sum.Witnesses, ", ")),
		})
		if err != nil {
			return work.Explain(err)
		}
		sum.ID, sum.Ledger, sum.Seq = string(made[0].ID), made[0].Ledger.String(), made[0].Seq
	}
	return o.print(env, sum)
}

func (o *cosigning) print(env *cli.Env, sum Cosigned) error {
	var err error
	if o.json {
		err = env.JSON(sum)
	} else if len(sum.Witnesses) > 0 {
		_, err = fmt.Fprintf(env.Out, "%s %d seen by %s\n", sum.Checkpoint, sum.Size, say.Line(strings.Join(sum.Witnesses, ", ")))
	}
	switch {
	case err != nil:
		return err
	case !sum.OK:
		return cli.No(fmt.Errorf("%d of the %d witnesses needed have cosigned the checkpoint of %d entries", len(sum.Witnesses), sum.Need, sum.Size))
	}
	return nil
}

// endpoints reads where witnesses are.
func (o *cosigning) endpoints(env *cli.Env) ([]*witness.Endpoint, error) {
	if len(o.urls) == 0 && o.from == "" {
		return nil, cli.Usage("say where a witness is: --url; or which file has cosignatures: --from")
	}
	get := func(name string) string {
		if v := env.Value(strings.ToLower(name)); v != "" {
			return v
		}
		return env.Value(name)
	}
	proxy := (&httpproxy.Config{HTTPProxy: get("HTTP_PROXY"), HTTPSProxy: get("HTTPS_PROXY"), NoProxy: get("NO_PROXY")}).ProxyFunc()
	var out []*witness.Endpoint
	for _, text := range o.urls {
		if file, ok := strings.CutPrefix(text, "unix:"); ok && file != "" {
			text = "unix:" + env.Path(file)
		}
		e, err := witness.NewEndpoint(text, func(u *url.URL) (*url.URL, error) { return proxy(u) })
		if err != nil {
			return nil, cli.Usage("--url %.100q: %v", text, err)
		}
		out = append(out, e)
	}
	return out, nil
}

// readLines reads signature lines, which may stand behind a checkpoint.
func readLines(env *cli.Env, file string) ([]byte, error) {
	in := env.In
	if file != "-" {
		f, err := os.Open(env.Path(file))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, tlog.MaxCheckpoint+1))
	if err != nil {
		return nil, err
	}
	if i := bytes.LastIndex(b, []byte("\n\n")); i >= 0 {
		b = b[i+2:]
	}
	return b, nil
}

// policy says who is believed, and how many are needed.
func (o *cosigning) policy(f *provenance.Facts, now time.Time) (tlog.Policy, int, error) {
	texts, need := o.witnesses, len(o.witnesses)
	if p := f.Root.Policy; len(texts) == 0 && p != nil {
		texts, need = p.Witnesses, p.WitnessQuorum
	}
	if len(texts) == 0 {
		return tlog.Policy{}, 0, cli.Hint(errors.New("the policy names no witnesses"), "name them there, with maxCheckpointAge and witnessQuorum: covenant policy edit", "or take what one says all the same: --witness KEY")
	}
	var keys []tlog.WitnessKey
	for _, text := range texts {
		k, err := tlog.ParseWitnessKey(text)
		if err != nil {
			return tlog.Policy{}, 0, cli.Hint(fmt.Errorf("witness %.80q: %w", text, err), "who runs a witness prints its key: covenant-witness key")
		}
		keys = append(keys, k)
	}
	p, err := tlog.NewPolicy(0, keys...)
	return p.Until(now.Add(ahead)), need, err
}

// ahead is how far a witness's clock may be ahead of ours, as verification has it.
const ahead = 5 * time.Minute

// log finds the log whose newest checkpoint is to be cosigned.
func (o *cosigning) log(w *work.Work, f *provenance.Facts) (*audit.Tlog, error) {
	list, errs := audit.Logs(w.Session, w.Cache(false), f.Root.ID, f.Authority, o.writer)
	for _, err := range errs {
		w.Env.Talk().Warn("%v", err)
	}
	for _, l := range list {
		if o.writer != "" || provenance.MayCheckpoint(f.Authority, l.Writer(), w.Env.Now()) {
			return l, nil
		}
	}
	err := audit.ErrNoCheckpoint
	if len(list) > 0 {
		err = errors.New("no checkpoint here is by a key that may make checkpoints")
	} else if len(errs) > 0 {
		err = errors.New("no log of checkpoints holds here")
	}
	return nil, cli.Hint(err, "who may makes one: covenant audit checkpoint", "fetch those of others: covenant sync")
}
