package work

import (
	"errors"
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/envelope/identity"
	"github.com/open-covenant/covenant-git/envelope/trust"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// ErrAbsent says that the policy wants a person to be present, and none showed.
var ErrAbsent = errors.New("nobody showed to be present")

// Presence asks for a person's presence before key signs an operator act, as the
// policy in force demands; act says what is signed, in a few words. Every command
// that signs a root, a grant, a revocation or an approval calls it right before.
// With presence "ask" somebody at the terminal must say yes; with "sk" the key must
// be one of a security key, which is touched for each signature. A refusal wraps
// ErrAbsent. Nobody acts on a root that a remote has another successor for (trust.ErrFork).
func (w *Work) Presence(root *provenance.Root, key identity.PublicKey, act string) error {
	if err := provenance.Rivals(w.Session, root); err != nil {
		return Explain(err)
	}
	switch root.Policy.AsksPresence() {
	case trust.Ask:
		yes, err := terminal.Confirm(act + "?")
		if errors.Is(err, terminal.ErrNone) {
			return cli.Hint(fmt.Errorf("%w: the policy asks on a terminal before this: %s", ErrAbsent, act), "type the command on a terminal", "see the policy: covenant policy show")
		}
		if err != nil {
			return err
		}
		if !yes {
			return cli.No(fmt.Errorf("%w: not done: %s", ErrAbsent, act))
		}
	case trust.SK:
		if !strings.HasPrefix(key.String(), "sk-") {
			return cli.Hint(fmt.Errorf("%w: the policy wants the key of a security key for this: %s; %s is none", ErrAbsent, act, key.ID()),
				"act with such a key: --identity, or COVENANT_IDENTITY", "see the policy: covenant policy show")
		}
	}
	return nil
}
