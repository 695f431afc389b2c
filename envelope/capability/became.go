package capability

import (
	"time"

	"github.com/open-covenant/covenant-git/envelope"
)

// Fate is what had become of a grant by a moment.
type Fate struct {
	State State
	Since time.Time // when it ended; zero while it had not
	By    Ended     // the revocation that ended it, its own or that of one it rests on; zero where none did
	Why   string    // for people: what else ended it
}

// Became tells what had become of a grant by a moment, those it rests on included: the first thing that ended it counts. Unlike
// [Authority.State] it leaves out revocations that are dated later. Dates are what their writers claim.
func (a *Authority) Became(id envelope.Digest, at time.Time) Fate {
	out := Fate{State: Active}
	end := func(state State, since time.Time, by Ended, why string) {
		if given := a.grants[id].Time; since.Before(given) {
			since = given // a moment is a second: what introduces somebody ends before the next grant of it
		}
		if out.Since.IsZero() || since.Before(out.Since) {
			out = Fate{State: state, Since: since, By: by, Why: why}
		}
	}
	line := a.line(id)
	if len(line) == 0 {
		return Fate{State: Ending, Why: "it counts for nothing"}
	}
	for _, g := range line {
		for _, e := range a.ended[g.ID] {
			if !e.Time.After(at) {
				end(Ending, e.Time, e, "")
			}
		}
		if t, err := time.Parse(time.RFC3339, a.Expires(g)); err == nil && at.After(t) {
			why := "it expired"
			switch {
			case a.Expires(g) != g.Granted.Expires:
				why = "its holder was granted something of its own"
			case g.ID != id:
				why = "a grant it rests on expired"
			}
			end(Expired, t, Ended{}, why)
		}
		if p := a.byKey[g.KeyID]; p != nil && p.Lapse && !p.Until.IsZero() {
			since := p.Until
			if !p.Compromised.IsZero() {
				since = p.Compromised
			}
			if !at.Before(since) {
				end(Ending, since, Ended{}, a.void([]Given{g}, time.Time{}))
			}
		}
		if t, err := time.Parse(time.RFC3339, g.Granted.NotBefore); err == nil && at.Before(t) && out.State == Active {
			out.State = Pending
		}
	}
	return out
}
