package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git/oid"
)

const (
	idA = "1111111111111111111111111111111111111111"
	idB = "2222222222222222222222222222222222222222"
)

func mustID(s string) oid.ID {
	id, err := oid.Parse(s)
	if err != nil {
		panic(err)
	}
	return id
}

func TestConfig(t *testing.T) {
	in := "system\x00file:/etc/gitconfig\x00core.editor\nvi\x00" +
		"local\x00file:.git/config\x00core.bare\nfalse\x00" +
		"local\x00file:.git/config\x00remote.Ünï.x.url\na\nb\x00" +
		"local\x00file:.git/config\x00remote.Ünï.x.url\nc\x00" +
		"local\x00file:.git/config\x00hook.a.command\nx\x00" +
		"local\x00file:.git/config\x00hook.a.event\x00" +
		"worktree\x00file:.git/config.worktree\x00core.bare\n\x00" +
		"command\x00command line:\x00core.editor\nemacs\x00"
	c, err := parseConfig([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := c.Get("CORE.Editor"); v != "emacs" || !ok || c.Scope("core.editor") != "command" {
		t.Errorf("editor %q from %q", v, c.Scope("core.editor"))
	}
	if v := c.All("Remote.Ünï.x.URL"); !slices.Equal(v, []string{"a\nb", "c"}) {
		t.Errorf("urls %q", v)
	}
	if _, ok := c.Get("remote.ünï.x.url"); ok {
		t.Error("a subsection was folded")
	}
	if v := c.Keys("Hook."); !slices.Equal(v, []string{"hook.a.command", "hook.a.event"}) {
		t.Errorf("keys %q", v)
	}
	if !c.Bool("hook.a.event", false) || c.Bool("core.bare", true) || !c.Bool("none", true) || c.Scope("none") != "" {
		t.Error("booleans")
	}
	for v, want := range map[string]bool{"true": true, "YES": true, "On": true, "1": true, "2k": true, "-1": true, "0x10": true, "false": false, "no": false, "oFF": false, "0": false, "": false, "0k": false} {
		if parseBool(v, !want) != want {
			t.Errorf("%q is not %v", v, want)
		}
	}
	if !parseBool("maybe", true) || parseBool("maybe", false) {
		t.Error("no boolean, no default")
	}
	if v, ok := (Config{}).Get("a.b"); v != "" || ok {
		t.Error("the zero value holds something")
	}
}

// Whatever parses holds every byte of the input, in order.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("local\x00file:.git/config\x00core.bare\nfalse\x00local\x00file:x\x00a.b.c\x00"))
	f.Add([]byte("command\x00command line:\x00a.b\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseConfig(b)
		if err != nil {
			return
		}
		var again bytes.Buffer
		for _, s := range c.entries {
			again.WriteString(s.scope + "\x00" + s.origin + "\x00" + s.key)
			if !s.bare {
				again.WriteString("\n" + s.value)
			}
			again.WriteByte(0)
			if len(c.All(s.key)) == 0 && canonical(s.key) == s.key {
				t.Errorf("key %q is lost", s.key)
			}
		}
		if !bytes.Equal(again.Bytes(), b) {
			t.Errorf("%q became %q", b, again.Bytes())
		}
	})
}

func TestTree(t *testing.T) {
	e := func(mode Mode, name string) TreeEntry { return TreeEntry{mode, name, mustID(idA)} }
	body, err := EncodeTree([]TreeEntry{e(ModeFile, "a.b"), e(ModeTree, "a"), e(ModeLink, "a-"), e(ModeExecutable, "\xff\n"), e(ModeGitlink, "z")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseTree(oid.SHA1, body)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range got {
		names = append(names, e.Name)
	}
	if want := []string{"a-", "a.b", "a", "z", "\xff\n"}; !slices.Equal(names, want) {
		t.Errorf("order %q, want %q", names, want)
	}
	if b, err := EncodeTree(nil); err != nil || len(b) != 0 {
		t.Errorf("empty: %q, %v", b, err)
	}
	for name, bad := range map[string][]TreeEntry{
		"empty name": {e(ModeFile, "")}, "slash": {e(ModeFile, "a/b")}, "NUL": {e(ModeFile, "a\x00")}, "dot": {e(ModeTree, ".")}, "dotdot": {e(ModeTree, "..")},
		"twice": {e(ModeFile, "a"), e(ModeFile, "a")}, "file and directory": {e(ModeFile, "a"), e(ModeTree, "a")},
		"file and directory, apart": {e(ModeFile, "a"), e(ModeFile, "a-"), e(ModeFile, "a.b"), e(ModeTree, "a")},
		"mode":                      {e(0o100600, "a")}, "no mode": {e(0, "a")}, "no id": {{ModeFile, "a", oid.ID{}}},
		"mixed formats": {e(ModeFile, "a"), {ModeFile, "b", oid.SHA256.EmptyBlob()}},
	} {
		if b, err := EncodeTree(bad); !errors.Is(err, errTree) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	raw := string(mustID(idA).Bytes())
	for name, bad := range map[string]string{
		"unsorted": "100644 b\x00" + raw + "100644 a\x00" + raw, "zero padded": "0100644 a\x00" + raw, "cut id": "100644 a\x00" + raw[1:], "cut name": "100644 a",
		"no mode": " a\x00" + raw, "octal": "100648 a\x00" + raw, "long mode": "1000000644 a\x00" + raw, "twice": "100644 a\x00" + raw + "100644 a\x00" + raw,
		"directory sorted as file": "40000 a\x00" + raw + "100644 a.b\x00" + raw, "tab": "100644\ta\x00" + raw, "zero id": "100644 a\x00" + string(make([]byte, 20)), "sign": "+100644 a\x00" + raw,
	} {
		if got, err := ParseTree(oid.SHA1, []byte(bad)); !errors.Is(err, errTree) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// What parses encodes to the same bytes.
func FuzzTree(f *testing.F) {
	raw := string(mustID(idA).Bytes())
	f.Add([]byte("100644 a\x00"+raw+"40000 a.b\x00"+raw), false)
	f.Add([]byte("160000 m\x00"+raw+raw[:12]), true)
	f.Add([]byte("100664 old\x00"+raw+"120000 s\x00"+raw), false)
	f.Fuzz(func(t *testing.T, b []byte, long bool) {
		format := oid.SHA1
		if long {
			format = oid.SHA256
		}
		entries, err := ParseTree(format, b)
		if err != nil {
			return
		}
		again, err := EncodeTree(entries)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q became %q, %v", b, again, err)
		}
	})
}

const commitBody = "tree " + idA + "\nparent " + idB + "\nparent " + idA + "\nauthor A U Thor <a@b> 1 +0100\ncommitter C <c@d> 2 -0230\n" +
	"gpgsig -----BEGIN\n \n more\n -----END\nencoding x\n\nsubject\nmore\n\nbody\n"

func TestParseCommit(t *testing.T) {
	c, err := ParseCommit(oid.SHA1, mustID(idB), []byte(commitBody))
	if err != nil {
		t.Fatal(err)
	}
	if c.Tree != mustID(idA) || len(c.Parents) != 2 || c.Parents[0] != mustID(idB) || c.Author.Name != "A U Thor" || c.Author.Email != "a@b" || c.Subject != "subject more" {
		t.Errorf("%+v", c)
	}
	if got := c.Committer.When.Format(time.RFC3339); got != "1969-12-31T21:30:02-02:30" {
		t.Errorf("time %s", got)
	}
	for name, bad := range map[string]string{
		"empty": "", "no tree": strings.TrimPrefix(commitBody, "tree "+idA+"\n"), "short tree": strings.Replace(commitBody, idA, idA[1:], 1),
		"long tree":               strings.Replace(commitBody, idA, idA+"0", 1),
		"upper case":              strings.Replace(commitBody, idA, strings.Repeat("A", 40), 1),
		"two trees":               strings.Replace(commitBody, "parent", "tree "+idA+"\nparent", 1),
		"tree again later":        strings.Replace(commitBody, "encoding x", "tree "+idA, 1),
		"parent later":            strings.Replace(commitBody, "encoding x", "parent "+idA, 1),
		"author again":            strings.Replace(commitBody, "encoding x", "author A <a@b> 1 +0000", 1),
		"committer before author": strings.Replace(strings.Replace(commitBody, "author", "x", 1), "committer", "author", 1),
		"no committer":            strings.Replace(commitBody, "committer", "x-committer", 1),
		"header between":          strings.Replace(commitBody, "committer", "x y\ncommitter", 1),
		"cut":                     commitBody[:100], "NUL in a header": strings.Replace(commitBody, "encoding x", "encoding \x00", 1),
		"long header": strings.Replace(commitBody, "encoding x", "encoding "+strings.Repeat("x", headerLimit), 1),
		"sha256 tree": strings.Replace(commitBody, idA, idA+strings.Repeat("0", 24), 1),
		"zero tree":   strings.Replace(commitBody, "tree "+idA, "tree "+zero, 1),
		"zero parent": strings.Replace(commitBody, "parent "+idA, "parent "+zero, 1),
		"no author":   strings.Replace(commitBody, "author A U Thor <a@b> 1 +0100", "author", 1),
		"no end":      "tree " + idA + "\nauthor A <a@b> 1 +0000\ncommitter C <c@d> 1 +0000",
	} {
		if c, err := ParseCommit(oid.SHA1, oid.ID{}, []byte(bad)); !errors.Is(err, errCommit) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	if _, err := ParseCommit(oid.SHA1, oid.ID{}, []byte("tree "+idA+"\nauthor A <a@b> 1 +0000\ncommitter C <c@d> 1 +0000\n")); err != nil {
		t.Errorf("no message: %v", err)
	}
	evil := Ident{Name: " x\n<y>\x00 ", Email: "a>\n@b", When: time.Unix(-5, 0)}
	body := EncodeCommit(mustID(idA), nil, evil, evil, "m\n\nx")
	if c, err = ParseCommit(oid.SHA1, oid.ID{}, body); err != nil || c.Author.Name != "xy" || c.Author.Email != "a@b" || c.Author.When.Unix() != 0 || c.Subject != "m" {
		t.Errorf("encoded %q: %+v, %v", body, c, err)
	}
}

// What parses has one meaning: its headers written again parse to the same commit.
func FuzzParseCommit(f *testing.F) {
	f.Add([]byte(commitBody))
	f.Add([]byte("tree " + idA + "\nauthor <> 1 +0\ncommitter x> <y> <z> 99999999999999999999 -9\n\n\n \n x\xff\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCommit(oid.SHA1, oid.ID{}, b)
		if err != nil {
			return
		}
		if strings.ContainsAny(c.Subject, "\n\x00") || strings.ContainsAny(c.Author.Name+c.Author.Email, "\n\x00") || c.Tree.Format() != oid.SHA1 {
			t.Errorf("%+v", c)
		}
		head := "tree " + c.Tree.String() + "\n"
		for _, p := range c.Parents {
			head += "parent " + p.String() + "\n"
		}
		if !bytes.HasPrefix(b, []byte(head+"author ")) {
			t.Errorf("%q does not begin with %q", b, head)
		}
		again, err := ParseCommit(oid.SHA1, oid.ID{}, EncodeCommit(c.Tree, c.Parents, c.Author, c.Committer, c.Subject))
		if err != nil || again.Tree != c.Tree || !slices.Equal(again.Parents, c.Parents) {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}

func rawDiff(changes string) string { return idA + " " + idB + "\n" + changes + marker }

var diffPair = TreePair{mustID(idA), mustID(idB)}

const zero = "0000000000000000000000000000000000000000"

func TestReadDiff(t *testing.T) {
	good := rawDiff(":100644 000000 " + idA + " " + zero + " D\x00a\nb\x00:000000 160000 " + zero + " " + idB + " A\x00.\x00")
	cs, err := readDiff(bufio.NewReader(strings.NewReader(good+good)), diffPair)
	if err != nil || len(cs) != 2 || cs[0].Path != "a\nb" || cs[1].Path != "." || cs[0].New != (oid.ID{}) {
		t.Errorf("%+v, %v", cs, err)
	}
	if _, err := readDiff(bufio.NewReader(strings.NewReader(marker)), diffPair); !errors.Is(err, errNoDiff) {
		t.Error(err)
	}
	long := ":100644 100755 " + idA + " " + idB + " M\x00" + strings.Repeat("x", pathLimit)
	if cs, err := readDiff(bufio.NewReaderSize(strings.NewReader(rawDiff(long+"\x00")), 100), diffPair); err != nil || len(cs[0].Path) != pathLimit {
		t.Errorf("long path: %v", err)
	}
	for name, bad := range map[string]string{
		"empty": "", "no end": strings.TrimSuffix(good, marker), "other trees": idB + " " + idA + "\n" + marker, "cut": good[:len(good)-20],
		"rename":     rawDiff(":100644 100644 " + idA + " " + idA + " R100\x00a\x00b\x00"),
		"unmerged":   rawDiff(":000000 100644 " + zero + " " + idA + " U\x00a\x00"),
		"short name": rawDiff(":100644 100644 " + idA[1:] + " " + idB + " M\x00a\x00"),
		"no path":    rawDiff(":100644 100644 " + idA + " " + idB + " M\x00\x00"),
		"added both": rawDiff(":100644 100644 " + idA + " " + idB + " A\x00a\x00"),
		"half gone":  rawDiff(":100644 000000 " + idA + " " + idB + " D\x00a\x00"),
		"long path":  rawDiff(long + "x\x00"),
		"colours":    rawDiff("\x1b[1m:100644 100644 " + idA + " " + idB + " M\x00a\x00"),
	} {
		if cs, err := readDiff(bufio.NewReaderSize(strings.NewReader(bad), 100), diffPair); err == nil {
			t.Errorf("%s: %+v", name, cs)
		}
	}
}

// A diff that is read prints as it was written, and ends exactly at the marker.
func FuzzReadDiff(f *testing.F) {
	f.Add([]byte(rawDiff(":100644 000000 " + idA + " " + zero + " D\x00a\nb\x00:000000 160000 " + zero + " " + idB + " A\x00.\x00")))
	f.Add([]byte(rawDiff(":100644 120000 "+idA+" "+idB+" T\x00x\x00") + "rest"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		cs, err := readDiff(r, diffPair)
		if err != nil {
			return
		}
		var out strings.Builder
		for _, c := range cs {
			side := func(id oid.ID) string {
				if id == (oid.ID{}) {
					return zero
				}
				return id.String()
			}
			fmt.Fprintf(&out, ":%s %s %s %s %c\x00%s\x00", c.OldMode, c.NewMode, side(c.Old), side(c.New), c.Status, c.Path)
		}
		rest, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := rawDiff(out.String()) + string(rest); got != string(b) {
			t.Errorf("%q became %q", b, got)
		}
	})
}

func logRecord(fields ...string) string { return strings.Join(fields, "\x00") + "\x00" }

// Of a record that is read every field is accounted for, and the next record begins after it.
func FuzzReadLog(f *testing.F) {
	f.Add([]byte(logRecord(idA, idB, idA+" "+idB, "n", "e", "1 +0100", "", "", "", "s", "HEAD -> refs/heads/x, tag: refs/tags/y")))
	f.Add([]byte(logRecord(idA, idB, "", "n", "e", "18446744073709551615 -9999", "c", "d", "0 +0000", "", "grafted")))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		c, err := readLog(r, oid.SHA1, true)
		if err != nil {
			return
		}
		fields := strings.SplitN(string(b), "\x00", logFields+1)
		if len(fields) != logFields+1 {
			t.Fatalf("%q has %d fields", b, len(fields))
		}
		if rest, _ := io.ReadAll(r); string(rest) != fields[logFields] {
			t.Errorf("%q is left, want %q", rest, fields[logFields])
		}
		if c.ID.String() != fields[0] || c.Tree.String() != fields[1] || c.Author.Name != fields[3] || c.Committer.Email != fields[7] || c.Subject != fields[9] {
			t.Errorf("%q became %+v", b, c)
		}
		if len(c.Parents) != len(strings.Fields(fields[2])) {
			t.Errorf("%q became parents %v", fields[2], c.Parents)
		}
		for _, ref := range c.Refs {
			if !strings.Contains(fields[10], ref) || ref != "HEAD" && !strings.HasPrefix(ref, "refs/") {
				t.Errorf("%q became ref %q", fields[10], ref)
			}
		}
	})
}

// A pack header decodes to what it was made of.
func FuzzPackHeader(f *testing.F) {
	f.Add(byte(3), uint64(1<<40))
	f.Fuzz(func(t *testing.T, kind byte, size uint64) {
		kind = kind & 7
		b := packHeader(kind, size)
		got, shift := uint64(b[0]&15), 4
		for i := 0; b[i]&0x80 != 0; i++ {
			got |= uint64(b[i+1]&0x7f) << shift
			shift += 7
		}
		if got != size || b[0]>>4&7 != kind || len(b) > 10 {
			t.Errorf("%d of kind %d became %x", size, kind, b)
		}
	})
}

func TestRefNames(t *testing.T) {
	for _, good := range []string{"refs/heads/x", "refs/covenant/ledger/a,b/ü", "refs/x", "refs/x/HEAD", "refs/x/a@b", "refs/-x"} {
		if err := checkRefName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "HEAD", "heads/x", "refs/", "refs//x", "refs/x/", "refs/x.", "refs/x.lock", "refs/x.lock/y", "refs/.x", "refs/x/.y", "refs/a..b",
		"refs/a b", "refs/a\nb", "refs/a~1", "refs/a^", "refs/a:b", "refs/a?", "refs/a*", "refs/a[", `refs/a\b`, "refs/a@{1}", "refs/a\x7f",
	} {
		if err := checkRefName(bad); !errors.Is(err, errRefName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestVersions(t *testing.T) {
	for in, want := range map[string]string{
		"git version 2.39.5\n": "2 39 true", "git version 2.39.5 (Apple Git-154)\n": "2 39 true", "git version 2.45\n": "2 45 true",
		"git version 3.0.0-rc1": "3 0 true", "git version 2.50.1.windows.1": "2 50 true", "nonsense": "0 0 false", "git version x.y": "0 0 false",
	} {
		a, b, ok := parseVersion(in)
		if got := fmt.Sprint(a, b, ok); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// TestCommandErrorIsALine: of what Git was told no more is shown than a line, and no setting.
func TestCommandErrorIsALine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-c", "log.showRoot=true", "-c", "a.b=c", "log", "-z", "main"}, "git log -z main: exit status 128: no"},
		{[]string{"log", "-c", "main"}, "git log -c main: exit status 128: no"},
		{[]string{"commit", "-m", "two\nlines"}, `git commit -m "two\nlines": exit status 128: no`},
		{[]string{"show", "a\x1bb"}, `git show "a\x1bb": exit status 128: no`},
		{append([]string{"rev-list"}, slices.Repeat([]string{"0123456789012345678901234567890123456789"}, 9)...), "git rev-list" + strings.Repeat(" 0123456789012345678901234567890123456789", 3) + " …: exit status 128: no"},
	} {
		if got := (&CommandError{Args: c.args, Code: 128, Stderr: "no\n"}).Error(); got != c.want {
			t.Errorf("%q\nwant %q", got, c.want)
		}
	}
}
