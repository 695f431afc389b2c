package capability_test

import (
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/identity"
)

// TestBecame: what had become of a grant by a moment leaves out what came later, and tells the first thing that ended it.
func TestBecame(t *testing.T) {
	ada, gone, coder, helper := key(t), key(t), key(t), key(t)
	at := func(minute int) time.Time {
		return time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
	}
	persons := []capability.Principal{
		{Name: "ada", Kind: "human", Accountable: "ada", Operator: true, Keys: []identity.PublicKey{ada}},
		{
			Name: "gone", Kind: "human", Accountable: "gone", Operator: true, Keys: []identity.PublicKey{gone}, Until: at(40), Lapse: true,
			Seen: []envelope.Head{{Ledger: "capability/x", Seq: 99}},
		},
	}
	digest := func(n int) envelope.Digest {
		return envelope.Digest("sha256:" + strings.Repeat("0", 63) + string(rune('0'+n)))
	}
	place := func(n int, by identity.PublicKey, minute int) capability.Place {
		return capability.Place{ID: digest(n), KeyID: by.ID(), Ledger: "capability/x", Seq: uint64(n), Time: at(minute)}
	}
	introduced := grant("coder", "ada", coder)
	introduced.Introduction = true
	lasting := grant("coder", "ada", coder)
	lasting.Delegable, lasting.NotBefore, lasting.Expires = 2, envelope.Timestamp(at(5)), envelope.Timestamp(at(30))
	handed := grant("helper", "ada", helper)
	handed.Parent = digest(2)
	other := grant("coder", "ada", coder)
	other.Action = "repo.vouch"
	a := capability.Fold(persons, []capability.Given{
		{Place: place(1, ada, 1), Granted: introduced},
		{Place: place(2, ada, 2), Granted: lasting},
		{Place: place(3, coder, 6), Granted: handed},
		{Place: place(4, gone, 3), Granted: other},
	}, []capability.Ended{{Place: place(5, ada, 20), Revocation: capability.Revocation{Grant: digest(2), Reason: "done"}}})
	if len(a.Refused) > 0 {
		t.Fatal(a.Refused)
	}
	for name, c := range map[string]struct {
		grant, minute int
		state         capability.State
		since         int
		why           string
	}{
		"introduced":                           {1, 1, capability.Active, -1, ""},
		"introduced, and then granted":         {1, 2, capability.Expired, 1, "its holder was granted something of its own"},
		"not yet":                              {2, 4, capability.Pending, -1, ""},
		"in force":                             {2, 19, capability.Active, -1, ""},
		"revoked":                              {2, 20, capability.Ending, 20, ""},
		"revoked, and would have expired":      {2, 50, capability.Ending, 20, ""},
		"handed on":                            {3, 10, capability.Active, -1, ""},
		"handed on, and what it rests on ends": {3, 25, capability.Ending, 20, ""},
		"given by one who is there":            {4, 39, capability.Active, -1, ""},
		"given by one who went":                {4, 40, capability.Ending, 40, "gone, who gave it, was removed from the trust root"},
		"unknown":                              {9, 40, capability.Ending, -1, "it counts for nothing"},
	} {
		f := a.Became(digest(c.grant), at(c.minute))
		var since time.Time
		if c.since >= 0 {
			since = at(c.since)
		}
		if c.grant == 1 && c.since >= 0 { // the second before the grant that ends it
			since = at(c.since + 1).Add(-time.Second)
		}
		if f.State != c.state || f.Why != c.why || !f.Since.Equal(since) {
			t.Errorf("%s: %s since %v, %q; want %s since %v, %q", name, f.State, f.Since, f.Why, c.state, since, c.why)
		}
		if f.State == capability.Ending && f.Why == "" && (f.By.Revocation.Reason != "done" || f.By.ID != digest(5)) {
			t.Errorf("%s: ended by %+v", name, f.By)
		}
	}
}
