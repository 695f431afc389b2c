package hooks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/identity"
	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/trailer"
)

// The trailers of a commit's message. They are for people: what counts is the seal.
const (
	PrincipalTrailer = "Covenant-Principal"
	IntentTrailer    = "Covenant-Intent"
)

// IntentVariable names the intent that commits are made for.
const IntentVariable = "COVENANT_INTENT"

// Intent returns what commits are made for, as the environment says, else the configuration; "" where neither says anything. It is
// written as it is, so one with a secret in it is refused.
func Intent(environ []string, configDir string, r *git.Repo) (string, error) {
	where, intent := IntentVariable, ""
	if intent, _ = variable(environ, IntentVariable); intent == "" {
		where = provenance.IntentKey
		intent, _ = r.Config().Get(provenance.IntentKey)
	}
	if intent == "" {
		return "", nil
	}
	if prov.IsIntentID(intent) { // no words, and asked for at each moment
		return intent, nil
	}
	if err := audit.Refuse(environ, configDir, intent); err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	if !prov.ValidIntent(intent) {
		return "", fmt.Errorf("%s: %.40q is no name of an intent", where, intent)
	}
	return intent, nil
}

// message adds to a commit's message who makes it, and for which intent. A message that is
// empty stays so: Git then makes no commit.
func message(ctx context.Context, in *Input, s *git.Session, pin envelope.Digest) ([]provenance.Made, error) {
	if len(in.Args) == 0 {
		return nil, fmt.Errorf("%w: commit-msg without a file", ErrMoment)
	}
	in.foresee(s, "")
	file := in.Args[0]
	if !filepath.IsAbs(file) && in.Dir != "" {
		file = filepath.Join(in.Dir, file)
	}
	b, err := os.ReadFile(file) //nolint:gosec // the file Git names
	if err != nil {
		return nil, fmt.Errorf("the commit's message: %w", err)
	}
	comment := commentOf(s.Repo())
	if len(b) > maxMessage || empty(b, comment) {
		return nil, nil
	}
	choice := in.choice()
	name := choice.Named(s.Repo())
	if name == "" || (choice.Tool != "" && choice.Explicit == "") {
		a, err := in.who(ctx, s, pin) // who is not told by the name alone
		if err != nil {
			return nil, err
		}
		name = a.principal.Name
	}
	if !identity.ValidName(name) {
		return nil, fmt.Errorf("%w: %.80q", provenance.ErrNobody, name)
	}
	b = trailer.Set(b, comment, trailer.Trailer{Key: PrincipalTrailer, Value: name})
	intent, err := Intent(in.Env, in.ConfigDir, s.Repo())
	if err != nil {
		return nil, err
	}
	if intent != "" {
		b = trailer.Set(b, comment, trailer.Trailer{Key: IntentTrailer, Value: intent})
	}
	if err := os.WriteFile(file, b, 0o666); err != nil { //nolint:gosec // it is there, with Git's own mode
		return nil, fmt.Errorf("the commit's message: %w", err)
	}
	return nil, nil
}

// maxMessage is how long a message in bytes may be to get trailers.
const maxMessage = 16 << 20

func commentOf(r *git.Repo) string {
	for _, key := range []string{"core.commentString", "core.commentChar"} {
		if c, ok := r.Config().Get(key); ok && c != "" && c != "auto" {
			return c
		}
	}
	return "#"
}

// empty reports whether a message has nothing but comments, sign-offs and what follows the scissors line.
func empty(b []byte, comment string) bool {
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, comment) && strings.Contains(line, " >8 ") {
			break
		}
		if line != "" && !strings.HasPrefix(line, comment) && !strings.HasPrefix(line, "Signed-off-by: ") {
			return false
		}
	}
	return true
}
