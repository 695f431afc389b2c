package hooks

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/hooks/agent"
)

// TranscriptsKey is the setting by which what was said in agents' sessions is kept; [KeepTranscripts] is its one value.
const (
	TranscriptsKey  = "covenant.transcripts"
	KeepTranscripts = "keep"
)

// TranscriptPrefix is where transcripts are, under refs that nothing of ours sends: one for each session, with what was kept last.
const TranscriptPrefix = "refs/covenant-transcript/"

// maxTranscript bounds, in bytes, what of a transcript is kept: its end.
const maxTranscript = 4 << 20

// transcripts are the ends of the names of files in which agents keep what was said.
var transcripts = []string{".jsonl", ".json", ".md", ".txt"}

// TranscriptRef is where what was said in a session is kept.
func TranscriptRef(session string) string {
	sum := sha256.Sum256([]byte(session))
	return TranscriptPrefix + hex.EncodeToString(sum[:16])
}

// keep keeps what was said in the session, redacted, where the user asked for that, and returns what to record of it. A transcript is the agent's word: it may name another file.
func (b *bench) keep() ([]event.Event, error) {
	e := b.e
	if value, _ := b.s.Repo().Config().Get(TranscriptsKey); value != KeepTranscripts || e.Transcript == "" || e.Sub != "" {
		return nil, nil
	}
	text, left, err := b.transcript(e.Transcript)
	if err != nil {
		return nil, fmt.Errorf("the transcript was not kept: %w", err)
	}
	x := b.redactor()
	if x == nil || len(text) == 0 {
		return nil, nil
	}
	clean, _ := x.Redact(strings.ToValidUTF8(string(text), "\uFFFD"))
	blob := b.s.Put("blob", []byte(clean))
	ref := TranscriptRef(e.Agent + ":" + e.Session)
	old, err := b.s.Refs(ref)
	if err != nil {
		return nil, err
	}
	var before oid.ID
	if len(old) > 0 {
		before = old[0].ID
		if o, err := b.s.Object(ref+":transcript", 0); err == nil && o.ID == blob {
			return nil, nil // as it was
		}
	}
	tree, err := git.EncodeTree([]git.TreeEntry{{Mode: 0o100644, Name: "transcript", ID: blob}})
	if err != nil {
		return nil, err
	}
	who := git.Ident{Name: "covenant", Email: "covenant@localhost", When: b.in.Now()}
	commit := b.s.Put("commit", git.EncodeCommit(b.s.Put("tree", tree), nil, who, who, "transcript of "+oneLine(e.Agent+":"+e.Session)+"\n"))
	if err := b.s.Update("covenant: transcript", git.RefUpdate{Name: ref, New: commit, Old: before}); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(clean))
	data := map[string]any{"agent": e.Agent, "sha256": hex.EncodeToString(sum[:]), "blob": blob.String(), "bytes": len(clean)}
	if left > 0 {
		data["left_out"] = left
	}
	return []event.Event{{Kind: "transcript_kept", Data: data}}, nil
}

var errTranscript = errors.New("it is no transcript")

// transcript reads the end of a file, from the beginning of a line; left is how many bytes before that are left out.
func (b *bench) transcript(name string) (text []byte, left int64, err error) {
	if rest, ok := strings.CutPrefix(name, "~/"); ok && b.t.Home != "" {
		name = filepath.Join(b.t.Home, rest)
	}
	at, err := follow(name, true)
	if err != nil {
		return nil, 0, err
	}
	info, err := os.Lstat(at)
	switch {
	case err != nil:
		return nil, 0, err
	case !filepath.IsAbs(name) || !info.Mode().IsRegular() || !slices.Contains(transcripts, strings.ToLower(filepath.Ext(at))):
		return nil, 0, fmt.Errorf("%w: %s", errTranscript, quoted(name))
	}
	if why := b.keysAmong([]agent.Named{{Path: at}}); why != "" {
		return nil, 0, fmt.Errorf("%w: %s", errTranscript, why)
	}
	if len(b.secrets([]agent.Named{{Path: at}})) > 0 {
		return nil, 0, fmt.Errorf("%w: the policy says that %s is secret", errTranscript, quoted(name))
	}
	f, err := openSame(at, info)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	if left = max(0, info.Size()-maxTranscript); left > 0 {
		if _, err := f.Seek(left, io.SeekStart); err != nil {
			return nil, 0, err
		}
	}
	text, err = io.ReadAll(io.LimitReader(f, maxTranscript))
	if i := bytes.IndexByte(text, '\n'); left > 0 && i >= 0 {
		text, left = text[i+1:], left+int64(i)+1
	}
	return text, left, err
}
