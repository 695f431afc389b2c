package hooks

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
)

// Failure is a commit that a hook could not seal.
type Failure struct {
	Commit oid.ID `json:"commit"`
	Moment string `json:"moment"`
	Reason string `json:"reason"`
	Time   string `json:"time"`
	// Refused: it was no failure. Nobody vouches for it unasked, also where the refusal could not be recorded.
	Refused bool `json:"refused,omitempty"`
}

func failuresFile(r *git.Repo) string { return filepath.Join(r.StateDir(), "unsealed") }

// failed remembers for doctor what was not sealed. The memory is a help, not a record.
func (in *Input) failed(r *git.Repo, ids []oid.ID, reason error) error {
	if err := os.MkdirAll(r.StateDir(), 0o777); err == nil { //nolint:gosec // as Git makes its own; umask applies
		if f, err := os.OpenFile(failuresFile(r), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666); err == nil { //nolint:gosec // likewise
			enc := json.NewEncoder(f)
			refused := errors.Is(reason, ErrUntold) || errors.Is(reason, provenance.ErrDenied)
			for _, id := range ids {
				_ = enc.Encode(Failure{id, in.Moment, reason.Error(), in.Now().UTC().Format(time.RFC3339), refused})
			}
			_ = f.Close()
		}
	}
	return &SealError{Commits: ids, Err: reason, Rebase: rebasing(r)}
}

// Failures returns what hooks could not seal, oldest first.
func Failures(r *git.Repo) []Failure {
	f, err := os.Open(failuresFile(r))
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	var out []Failure
	sc := bufio.NewScanner(io.LimitReader(f, 16<<20))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var x Failure
		if json.Unmarshal(sc.Bytes(), &x) == nil && !x.Commit.IsZero() {
			out = append(out, x)
		}
	}
	return out
}

// ForgetFailures empties the memory of failures.
func ForgetFailures(r *git.Repo) error {
	if err := os.Remove(failuresFile(r)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forgetting failures: %w", err)
	}
	return nil
}

var (
	errProbed  = errors.New("this hook is probed")
	errNoProbe = errors.New(ProbeVariable + " names no probe")
)

func answerProbe(file, moment string) error {
	if filepath.Base(file) != "answer" || !strings.HasPrefix(filepath.Base(filepath.Dir(file)), "covenant-probe-") {
		return errNoProbe
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0) //nolint:gosec // of a probe
	if errors.Is(err, fs.ErrNotExist) {
		return errNoProbe
	}
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	_, err = fmt.Fprintln(f, moment)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}

// AnswerProbe answers a probe of an agent's hook, and reports whether it is one: then nothing is decided. To a tool a probe is a refusal: nobody passes by
// one.
func AnswerProbe(lookup func(string) (string, bool), moment string) (agent.Output, bool) {
	file, ok := lookup(ProbeVariable)
	if !ok || file == "" {
		return agent.Output{}, false
	}
	name, at, _ := strings.Cut(moment, " ")
	err := answerProbe(file, moment)
	if errors.Is(err, errNoProbe) && agent.Moment(at) != agent.BeforeTool {
		return agent.Output{}, false
	}
	return agent.Refuse(name, agent.Moment(at), "covenant: "+cmp.Or(err, errProbed).Error()), true
}
