package provenance

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/open-covenant/covenant-git/git/oid"
)

// TestSnapshot: of what is remembered some commits can be read alone, in the order of the span; nothing is made up where lines are missing or another's.
func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	c := &Cache{dir: dir, key: make([]byte, sha256.Size)}
	var ids []oid.ID
	body := []byte(`{"question":"q","commits":40,"problems":null}`)
	for i := range 40 {
		id, err := oid.Parse(fmt.Sprintf("%040x", i+1))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		body = fmt.Appendf(body, "\n%s {\"subject\":\"s%d\",\"when\":%d,\"exam\":{\"commit\":\"%s\"}}", id, i, i, id)
	}
	put := func(b []byte) *snapshot {
		if err := os.WriteFile(filepath.Join(dir, "x"), append(c.mac("x", b), b...), 0o600); err != nil {
			t.Fatal(err)
		}
		return c.load("x")
	}
	s := put(body)
	if s == nil || s.Question != "q" || len(s.exams(nil)) != 40 {
		t.Fatalf("%+v", s)
	}
	some := s.exams(map[oid.ID]bool{ids[30]: true, ids[2]: true, ids[3]: false})
	if len(some) != 2 || some[0].Exam.Commit != ids[2] || some[1].Subject != "s30" || some[1].When != 30 {
		t.Errorf("%+v", some)
	}
	if none := s.exams(map[oid.ID]bool{}); none == nil || len(none) != 0 {
		t.Errorf("%+v", none)
	}
	if put(body[:bytes.LastIndexByte(body, '\n')]) != nil {
		t.Error("a line is missing, and nobody noticed")
	}
	if put(bytes.Replace(body, []byte(ids[5].String()+" "), []byte(ids[6].String()+" "), 1)).exams(nil) != nil {
		t.Error("a line stands under another commit's name")
	}
	whole := c.mac("x", body)
	whole[0] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "x"), append(whole, body...), 0o600); err != nil || c.load("x") != nil {
		t.Error("somebody else wrote it", err)
	}
}
