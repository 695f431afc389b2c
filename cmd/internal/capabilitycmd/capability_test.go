package capabilitycmd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
)

// TestPick: what begins several ids names none of them, and all are told, in one order.
func TestPick(t *testing.T) {
	id := func(s string) envelope.Digest { return envelope.Digest("sha256:" + s + strings.Repeat("0", 64-len(s))) }
	ids := []envelope.Digest{id("abcd2"), id("ffff"), id("abcd1")}
	for text, want := range map[string]string{"ffff": string(id("ffff")), "sha256:abcd1": string(id("abcd1")), string(id("abcd2")): string(id("abcd2"))} {
		if got, err := pick("grant", text, ids, ""); err != nil || string(got) != want {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"abcd": fmt.Sprintf("abcd is the beginning of more than one grant: %s, %s", id("abcd1"), id("abcd2")),
		"1234": "there is no grant 1234 here", "abc": "too short", "": "too short", "sha256:": "too short",
	} {
		if got, err := pick("grant", text, ids, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
}
