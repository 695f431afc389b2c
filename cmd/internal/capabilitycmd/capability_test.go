package capabilitycmd

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
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

// TestShapes: docs/spec/cli.md names every field that --json prints, and no other.
func TestShapes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "spec", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	fields := func(v any) string {
		var out []string
		for f := range reflect.TypeOf(v).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !f.IsExported() {
				continue
			}
			out = append(out, name)
		}
		return strings.Join(out, " ")
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		command, shape, ok := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if _, after, found := strings.Cut(shape, "{"); ok && found && strings.HasPrefix(command, "`capability ") {
			shape, _, _ = strings.Cut(after, "}")
			rows[command] = strings.NewReplacer(`"type":"decision"`, "type", `"type":"revocation"`, "type", `"`, "", ":[…]", "", ",", " ").Replace(shape)
		}
	}
	check, explain := rows["`capability check`"], rows["`capability explain`"]
	for command, got := range map[string][2]string{
		"grant":  {rows["`capability grant`, `delegate`, `request`"], fields(Granted{})},
		"list":   {rows["`capability list`, `show`"], fields(Listed{})},
		"check":  {check + " " + explain, fields(Answer{})},
		"revoke": {rows["`capability revoke`"], fields(Revoked{})},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: described as %q, printed as %q", command, got[0], got[1])
		}
	}
}
