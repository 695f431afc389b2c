package synccmd

import (
	"context"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/intents"
	"github.com/open-covenant/covenant-git/git/sync"
)

// lost tells who took steps on intents in this clone which of them do not count beside others' that a run brought.
func lost(ctx context.Context, w *work.Work, rep *sync.Report, pin envelope.Digest) error {
	from := rep.Gained()
	if len(from) == 0 {
		return nil
	}
	cache := w.Cache(false)
	root, err := cache.OpenRoot(w.Session, pin)
	if err != nil {
		return err
	}
	list, err := intents.BeatenBy(ctx, w.Session, root, cache, from)
	for _, b := range list {
		w.Env.Talk().Warn("%s", say.Line(b.String()))
	}
	return err
}
