package trailer_test

import (
	"bytes"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git/trailer"
)

// asGit asks Git.
func asGit(t *testing.T, message string, ts ...trailer.Trailer) string {
	t.Helper()
	args := []string{"interpret-trailers", "--no-divider", "--if-exists", "replace", "--if-missing", "add"}
	for _, x := range ts {
		args = append(args, "--trailer", x.Key+"="+x.Value)
	}
	cmd := exec.Command("git", args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(cmd.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+cmd.Dir, "XDG_CONFIG_HOME="+cmd.Dir)
	cmd.Stdin = strings.NewReader(message)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git: %v %s", err, errs.String())
	}
	return string(out)
}

func TestAsGit(t *testing.T) {
	who := trailer.Trailer{Key: "Covenant-Principal", Value: "coder"}
	for _, m := range []string{
		"title\n", "title\n\nbody\n", "title\n\nbody\nmore\n\n", "title\n\nSigned-off-by: A <a@b>\n",
		"title\n\nbody\n\nKey: value\nOther: x\n", "title\n\nKey: value\nno trailer\n", "title\n\nno: trailer\nreally not one\nat all\nof these\n",
		"title\n\nSigned-off-by: a\nsome text\nsome more\n", "title\n\nSigned-off-by: a\none\ntwo\nthree\nfour\nfive\n",
		"title\n\nCovenant-Principal: ada\n", "title\n\ncovenant-principal: ada\nKey: v\n", "title\n\nCovenant-Principal: a\n continued\nKey: v\n",
		"title\n\nCovenant-Principal: a\nCovenant-Principal: b\n", "fix: title\n", "Key: value\n", "Key: value\n\nKey: value\n",
		"title\n\nbody\n# comment\n# more\n", "title\n# comment\n\n# Please enter\n", "# comment\ntitle\n\nKey: v\n# end\n",
		"title\n\nKey: v\n# ------------------------ >8 ------------------------\ndiff --git\nKey: x\n", "title\n\n---\nnot: a divider\n",
		"title\n\n(cherry picked from commit 0123)\n", "title\n\n  indented: text\n", "\n\ntitle\n",
		"title\n\n\u00e9: v\n", "title\n \nKey: v\n", "title\n\nKey: v\n\n\n",
	} {
		if got, want := string(trailer.Set([]byte(m), "#", who)), asGit(t, m, who); got != want {
			t.Errorf("%q\n got %q\nwant %q", m, got, want)
		}
	}
}

// TestKeeps: Git writes other trailers anew, and spoils what only looks like one; we leave them as they are.
func TestKeeps(t *testing.T) {
	who := trailer.Trailer{Key: "Covenant-Principal", Value: "coder"}
	for m, want := range map[string]string{
		"title":                                "title\n\nCovenant-Principal: coder\n",
		"title\n\nKey : spaced\n":              "title\n\nKey : spaced\nCovenant-Principal: coder\n",
		"title\n\nhttps://example.org/x\n":     "title\n\nhttps://example.org/x\nCovenant-Principal: coder\n",
		"title\r\n\r\nKey: v\r\n":              "title\r\n\r\nKey: v\r\nCovenant-Principal: coder\n",
		"title\n\nKey: v\n# a comment\nB: c\n": "title\n\nKey: v\n# a comment\nB: c\nCovenant-Principal: coder\n",
	} {
		if got := string(trailer.Set([]byte(m), "#", who)); got != want {
			t.Errorf("%q\n got %q\nwant %q", m, got, want)
		}
	}
}

// withoutComments: Git drops those among trailers.
func withoutComments(s string) string {
	var b strings.Builder
	for l := range strings.Lines(s) {
		if !strings.HasPrefix(l, "#") {
			b.WriteString(l)
		}
	}
	return strings.TrimRight(b.String(), " \n") // and what is blank at the end
}

// TestRandomAsGit: messages made of the lines that matter come out as Git makes them.
func TestRandomAsGit(t *testing.T) {
	lines := []string{"title", "", "", "body of text", "Key: value", "Signed-off-by: A <a@b>", "Covenant-Principal: x", " continued", "# comment", "a: b: c", "(cherry picked from commit 12)", "no trailer here"}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		n := 1 + r.IntN(9)
		var b strings.Builder
		b.WriteString("title\n")
		for range n {
			b.WriteString(lines[r.IntN(len(lines))] + "\n")
		}
		m := b.String()
		who := trailer.Trailer{Key: "Covenant-Principal", Value: "coder"}
		if got, want := withoutComments(string(trailer.Set([]byte(m), "#", who))), withoutComments(asGit(t, m, who)); got != want {
			t.Fatalf("%q\n got %q\nwant %q", m, got, want)
		}
	}
}

// FuzzSet: nothing of a message is lost but the trailer that is replaced, with the lines that continue it.
func FuzzSet(f *testing.F) {
	f.Add("title\n\nbody\n\nKey: v\n")
	f.Fuzz(func(t *testing.T, m string) {
		who := trailer.Trailer{Key: "Covenant-Principal", Value: "coder"}
		once := trailer.Set([]byte(m), "#", who)
		if !bytes.Contains(once, []byte("Covenant-Principal: coder\n")) {
			t.Fatalf("%q has no trailer: %q", m, once)
		}
		for l := range strings.Lines(m) {
			if !strings.Contains(strings.ToLower(m), "covenant-principal") && !bytes.Contains(once, []byte(strings.TrimRight(l, "\n"))) {
				t.Fatalf("%q lost %q: %q", m, l, once)
			}
		}
	})
}
