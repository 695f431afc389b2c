package auditcmd

import (
	"context"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// record is an opened repository with all that its ledgers say.
type record struct {
	*work.Work
	pin   envelope.Digest
	facts *provenance.Facts
}

// openRecord reads the ledgers under the trust root that is pinned here, or that root names. Who only looks believes what was opened before:
// looking is true. The caller closes it.
func openRecord(ctx context.Context, env *cli.Env, root string, looking bool) (*record, error) {
	w, pin, err := work.OpenPinned(ctx, env, root)
	if err != nil {
		return nil, err
	}
	f, err := w.Cache(!looking).Load(ctx, w.Session, pin)
	if err != nil {
		w.Close()
		return nil, work.Explain(err)
	}
	return &record{w, pin, f}, nil
}

// warn tells of what is wrong with the ledgers, once each.
func warn(env *cli.Env, told map[string]bool, problems []verdict.Finding) {
	for _, p := range problems {
		line := string(p.Code) + ": " + p.Object + ": " + p.Message
		if !told[line] {
			told[line] = true
			env.Talk().Warn("%s", line)
		}
	}
}
