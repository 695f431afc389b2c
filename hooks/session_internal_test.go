package hooks

import (
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/hooks/agent"
)

// TestSessionName: whatever an agent calls its session, events that name it are valid, and so are sealed.
func TestSessionName(t *testing.T) {
	for _, name := range []string{"s", strings.Repeat("é", 128), strings.Repeat("a", 255) + "b", "a/" + strings.Repeat("語", 84), "a\u202eb", "\ufeffa", " a ", "\u00a0"} {
		for _, sub := range []string{"", "x", strings.Repeat("é", 100)} {
			b := bench{e: &agent.Event{Agent: "codex", Session: name, Sub: sub}}
			e := event.Event{Kind: "session_ended", At: "2026-11-30T00:00:00Z", Session: b.session(), Outcome: event.OK}
			if err := e.Validate(); err != nil {
				t.Errorf("%q: %v", b.session(), err)
			}
		}
	}
}
