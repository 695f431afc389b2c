package witnesscmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/witness"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

type serving struct {
	named
	listen, state, file string
	logs                []string
}

func newServe(env *cli.Env) *cobra.Command {
	var o serving
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Be a witness: cosign what goes on from what was seen",
		Long: `Answer POST /add-checkpoint of C2SP tlog-witness, and nothing else, for the logs whose keys are
given. The key of a log is what "covenant audit checkpoints --json | jq -r .key" prints.

What was seen of each log is kept in the state directory, on disk before a cosignature is made. The
directory is the witness: never restore it from a backup, never copy it, never let two machines
have it. The program does not start when something in it is damaged or missing, and then nobody
but a new witness, with a new key, can go on.

It prints its own key, and one line about each request on standard error. Requests are not
authenticated: a checkpoint is, by the log's signature. It speaks plain HTTP: for the public, put a
server in front that speaks TLS.`,
		Example: "  covenant-witness serve --listen 127.0.0.1:7380 --name witness.example/a --key witness.key --state /var/lib/witness --logs logs.txt\n  covenant-witness serve --listen unix:/run/witness.sock --name witness.example/a --key witness.key --state /var/lib/witness --log 'covenant/338a8e…+6c66418a+AZsf…'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), env)
		},
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "", "where: ADDRESS:PORT, or unix:PATH for a socket")
	f.StringVar(&o.state, "state", "", "directory of what it has seen; made where there is none")
	f.StringArrayVar(&o.logs, "log", nil, "key of a log; may be repeated")
	f.StringVar(&o.file, "logs", "", "file with keys of logs, one on each line; empty lines and those with # are passed over")
	_ = cmd.MarkFlagRequired("listen")
	_ = cmd.MarkFlagRequired("state")
	return cmd
}

func (o *serving) run(ctx context.Context, env *cli.Env) error {
	logs, err := o.keys(env)
	if err != nil {
		return err
	}
	signer, err := identity.LoadFile(env.Path(o.named.file), terminal.Passphrase)
	if err != nil {
		return explain(err)
	}
	key, err := tlog.NewWitnessKey(o.name, signer.Public())
	if err != nil {
		return explain(err)
	}
	dir, err := witness.OpenDir(env.Path(o.state), key)
	if err != nil {
		return told(err)
	}
	defer func() { _ = dir.Close() }()
	w, err := witness.New(dir, signer, logs, env.Now)
	if err != nil {
		return told(err)
	}
	w.Log = func(line string) { env.Talk().Note("%s", line) }
	l, err := o.open(ctx, env)
	if err != nil {
		return err
	}
	if dir.Anew {
		env.Talk().Warn("%s is new: this witness has seen nothing yet; if it ever cosigned, stop it: it needs what it remembered then", say.Line(env.Path(o.state)))
	}
	for _, k := range logs {
		if seen := w.Seen(k.Origin()); seen.Tree.Size > 0 {
			env.Talk().Note("%s: %d entries, seen %s", k.Origin(), seen.Tree.Size, seen.Time.Format(time.RFC3339))
		} else {
			env.Talk().Note("%s: nothing seen", k.Origin())
		}
	}
	if _, err := fmt.Fprintln(env.Out, key); err != nil {
		_ = l.Close()
		return err
	}
	env.Talk().Note("listening on %s", address(l))
	return witness.Serve(ctx, w.Server(), l)
}

// keys reads the keys of the logs.
func (o *serving) keys(env *cli.Env) ([]tlog.LogKey, error) {
	var out []tlog.LogKey
	add := func(from, text string) error {
		k, err := tlog.ParseLogKey(text)
		if err != nil {
			return cli.Hint(fmt.Errorf("%s: %w", from, err), "the key of a log is what this prints: covenant audit checkpoints --json | jq -r .key")
		}
		out = append(out, k)
		return nil
	}
	for _, text := range o.logs {
		if err := add("--log", text); err != nil {
			return nil, err
		}
	}
	if o.file != "" {
		f, err := os.Open(env.Path(o.file))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		s := bufio.NewScanner(f)
		for n := 1; s.Scan(); n++ {
			text := strings.TrimSpace(s.Text())
			if text == "" || strings.HasPrefix(text, "#") {
				continue
			}
			if err := add(fmt.Sprintf("%s: line %d", o.file, n), text); err != nil {
				return nil, err
			}
		}
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", o.file, err)
		}
	}
	if len(out) == 0 {
		return nil, cli.Usage("a witness needs the key of a log: --log or --logs")
	}
	return out, nil
}

// open begins to listen. A socket that nobody answers on is taken away first.
func (o *serving) open(ctx context.Context, env *cli.Env) (net.Listener, error) {
	var c net.ListenConfig
	file, unix := strings.CutPrefix(o.listen, "unix:")
	if !unix {
		if _, _, err := net.SplitHostPort(o.listen); err != nil {
			return nil, cli.Usage("--listen: %v; it is ADDRESS:PORT or unix:PATH", err)
		}
		return c.Listen(ctx, "tcp", o.listen)
	}
	if file == "" {
		return nil, cli.Usage("--listen unix: needs a path")
	}
	file = env.Path(file)
	if st, err := os.Lstat(file); err == nil && st.Mode()&os.ModeSocket != 0 {
		d := net.Dialer{Timeout: time.Second}
		if conn, err := d.DialContext(ctx, "unix", file); err == nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%s: somebody answers there already", say.Name(file))
		}
		if err := os.Remove(file); err != nil {
			return nil, err
		}
	}
	return c.Listen(ctx, "unix", file)
}

func address(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// told adds what to do about a memory that can't be used.
func told(err error) error {
	switch {
	case errors.Is(err, witness.ErrBusy):
		return cli.Hint(err, "a witness has one process; end the other one first")
	case errors.Is(err, witness.ErrForeign):
		return cli.Hint(err, "each witness has a directory of its own: --state")
	case errors.Is(err, witness.ErrDamaged), errors.Is(err, witness.ErrLost):
		return cli.Hint(err, "a witness that forgets can be made to contradict itself: it does not go on from nothing, nor from an older copy",
			"make a new one, with a new key and a new directory, and have policies name that")
	}
	return explain(err)
}
