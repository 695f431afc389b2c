package audit

import (
	"context"
	"fmt"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Topic is the topic of the ledgers that events are recorded in.
const Topic = provenance.AuditTopic

// Place says where an event was recorded.
type Place struct {
	ID        envelope.Digest // the entry
	Ledger    string
	Seq       uint64
	Index, Of int // which event of how many of the entry, from 1
}

// Append records events in the hand's ledger, all or none, in one transaction: an entry each, or one entry for all
// of them, as a segment. When it returns without an error they are there, and as durable as Git makes what it is given
// (core.fsync of git-config(1)). What an event says is held to its kind first.
func Append(ctx context.Context, k *provenance.Sealer, segment bool, events ...event.Event) ([]Place, error) {
	if len(events) == 0 {
		return nil, nil
	}
	for i := range events {
		if err := events[i].Validate(); err != nil {
			return nil, err
		}
	}
	var items []provenance.Item
	if segment {
		for rest := events; len(rest) > 0; {
			n := fit(rest)
			items = append(items, item(rest[:n]))
			rest = rest[n:]
		}
	} else {
		for i := range events {
			items = append(items, item(events[i:i+1]))
		}
	}
	made, err := k.Record(ctx, Topic, items...)
	if err != nil {
		return nil, err
	}
	out := make([]Place, 0, len(events))
	for i, a := range made {
		of := len(items[i].Body.(event.Recording).Events) //nolint:forcetypeassert // item made it
		for j := range of {
			out = append(out, Place{ID: a.ID, Ledger: a.Ledger.String(), Seq: a.Seq, Index: j + 1, Of: of})
		}
	}
	return out, nil
}

// maxSegment bounds the events of one entry by their greatest size, so that an entry is read in one piece.
const maxSegment = 16 << 20

// fit returns how many of the events go into one entry.
func fit(events []event.Event) int {
	size := 0
	for i := range events {
		if size += events[i].Size(); i > 0 && (size > maxSegment || i == event.MaxEvents) {
			return i
		}
	}
	return len(events)
}

func item(events []event.Event) provenance.Item {
	what := events[0].Kind
	if len(events) > 1 {
		what = fmt.Sprintf("%d events", len(events))
	}
	return provenance.Item{Type: event.Recorded, Body: event.Recording{Events: events}, Subject: "audit.recorded " + what}
}
