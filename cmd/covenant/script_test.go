package main_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/open-covenant/covenant-git/runtime/gate"
)

// scriptDir holds the stories, one folder for each area.
const scriptDir = "../../testdata/script"

// maxExceptions is the number of lines of matrix.txt. It is written here so that
// leaving something out of the matrix takes a second, visible decision.
const maxExceptions = 0

// maxLeaves is the number of lines of scripts that end or skip a story for a layout or
// storage: they leave something out of the matrix as well.
const maxLeaves = 3

var leave = regexp.MustCompile(`^\[!?(main|linked|bare|shallow|partial|loose|packed|sha1|sha256)\] (skip|stop)\b`)

// TestScripts tells every story below testdata/script with the real programs and
// the real git, over the two variants that are chosen for it; with
// MATRIX=full over all, with -short over the first one only. docs/CONTRIBUTING.md
// says how to write one.
func TestScripts(t *testing.T) {
	scripts := findScripts(t)
	table := readExceptions(t, filepath.Join(scriptDir, "matrix.txt"))
	if len(table) != maxExceptions {
		t.Fatalf("matrix.txt has %d lines, this test expects %d", len(table), maxExceptions)
	}
	bin := buildPrograms(t)
	made := newTemplates(t)
	name, told := chosen(t)
	tellings := 0
	for i, v := range variants() {
		areas := plan(scripts, table, told, v, i == 0)
		for _, files := range areas {
			tellings += len(files)
		}
		if len(areas) == 0 && name != "short" {
			t.Errorf("no story is told in %s", v)
		}
		if len(areas) == 0 {
			continue
		}
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			for area, files := range areas {
				t.Run(area, func(t *testing.T) {
					t.Parallel()
					runScripts(t, v, files, bin, made)
				})
			}
		})
	}
	t.Logf("matrix: %s: %d stories, told %d times", name, len(scripts), tellings)
	for _, e := range table {
		if e.used == 0 {
			t.Errorf("matrix.txt: %q leaves nothing out", e.line)
		}
	}
}

// A script is one story.
type script struct {
	name   string // area/name, without the extension
	file   string
	matrix bool // it calls repo, so it is told once per variant
}

func (s script) area() string { return path.Dir(s.name) }

// findScripts returns all scripts; there must be some, each in an area, and each
// must begin by saying why it exists.
func findScripts(t *testing.T) []script {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(scriptDir, "*", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no scripts in %s", scriptDir)
	}
	var scripts []script
	leaves := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if why, _, _ := strings.Cut(string(text), "\n"); !strings.HasPrefix(why, "# ") || len(why) < 20 {
			t.Errorf("%s: the first line does not say why the script exists", f)
		}
		for line := range strings.Lines(string(text)) {
			if leave.MatchString(line) {
				leaves++
			}
		}
		rel, err := filepath.Rel(scriptDir, f)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.ToSlash(rel), ".txtar")
		scripts = append(scripts, script{name, f, callsRepo(string(text))})
	}
	if leaves != maxLeaves {
		t.Errorf("%d lines of scripts leave a layout or storage, this test expects %d", leaves, maxLeaves)
	}
	return scripts
}

// callsRepo reports whether a command line of the script is "repo".
func callsRepo(text string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "-- ") {
			return false
		}
		words := strings.Fields(line)
		for len(words) > 0 && strings.HasPrefix(words[0], "[") {
			words = words[1:]
		}
		if len(words) > 0 && words[0] == "repo" {
			return true
		}
	}
	return false
}

// An exception leaves some scripts out of some variants, for a reason.
type exception struct {
	script, variant string // patterns of path.Match
	line            string
	used            int
}

// readExceptions reads lines of the form "SCRIPT VARIANT REASON…".
func readExceptions(t *testing.T, file string) []*exception {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var table []*exception
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 5 {
			t.Fatalf("matrix.txt: %q is not: script variant reason, the reason in three words or more", line)
		}
		for _, pattern := range words[:2] {
			if _, err := path.Match(pattern, ""); err != nil {
				t.Fatalf("matrix.txt: %q: %v", pattern, err)
			}
		}
		table = append(table, &exception{script: words[0], variant: words[1], line: line})
	}
	return table
}

// plan returns the files to run for v by area. Scripts without a repository of
// the matrix are run with the first variant only.
func plan(scripts []script, table []*exception, told choice, v variant, first bool) map[string][]string {
	files := make(map[string][]string)
	for _, s := range scripts {
		if !s.matrix && !first || s.matrix && (excepted(table, s, v) || !told(s.name, v)) {
			continue
		}
		files[s.area()] = append(files[s.area()], s.file)
	}
	return files
}

func excepted(table []*exception, s script, v variant) bool {
	found := false
	for _, e := range table {
		a, _ := path.Match(e.script, s.name)
		b, _ := path.Match(e.variant, v.String())
		if a && b {
			e.used++
			found = true
		}
	}
	return found
}

func runScripts(t *testing.T, v variant, files []string, bin string, made *templates) {
	testscript.Run(t, testscript.Params{
		Files:               files,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(e *testscript.Env) error { return setup(e, v, bin) },
		Condition:           func(c string) (bool, error) { return condition(v, c) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"repo":      func(ts *testscript.TestScript, neg bool, args []string) { cmdRepo(ts, neg, args, v, made) },
			"settle":    func(ts *testscript.TestScript, neg bool, args []string) { cmdSettle(ts, neg, args, v) },
			"commit":    cmdCommit,
			"covenant":  cmdCovenant,
			"tick":      cmdTick,
			"exits":     cmdExits,
			"capture":   cmdCapture,
			"recipe":    cmdRecipe,
			"json":      cmdJSON,
			"jsoncount": cmdJSONCount,
			"jsonvar":   cmdJSONVar,
		},
	})
}

// buildPrograms builds covenant and its siblings once, and returns their folder.
// With GOCOVERDIR set they record coverage there.
var buildPrograms = func() func(*testing.T) string {
	var (
		once sync.Once
		dir  string
		err  error
	)
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() { dir, err = build() })
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
}()

var binRoot string // removed by TestMain

func TestMain(m *testing.M) {
	// A story mostly waits for programs that wait for each other, or for the clock.
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if binRoot != "" {
		_ = os.RemoveAll(binRoot)
	}
	os.Exit(code)
}

func build() (string, error) {
	mains, err := filepath.Glob("../covenant*")
	if err != nil {
		return "", err
	}
	if binRoot, err = os.MkdirTemp("", "covenant-bin-"); err != nil {
		return "", err
	}
	// A result that go test remembers is good for these files only: it notes what a test looks at.
	err = filepath.WalkDir("../..", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && d.Name() != ".":
			return fs.SkipDir
		case filepath.Ext(file) == ".go" || d.Name() == "go.mod":
			_, err = os.Stat(file)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	args := []string{"build", "-o", binRoot + string(filepath.Separator)}
	if os.Getenv("GOCOVERDIR") != "" {
		args = append(args, "-cover", "-coverpkg=github.com/open-covenant/covenant-git/...")
	}
	for _, m := range mains {
		args = append(args, filepath.ToSlash(m))
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	// Plugins stand beside the programs under the names they are looked for, as make build puts them.
	for name, source := range map[string]string{gate.Prefix + "cedar": "../../plugins/cedar", gate.RedactorPrefix + "words": "./testdata/redactor"} {
		args := append(slices.Clone(args[:1]), "-o", filepath.Join(binRoot, name), source)
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return binRoot, nil
}

func TestPlan(t *testing.T) {
	table := []*exception{{script: "a/*", variant: "sha256/*/packed"}, {script: "b/none", variant: "*/*/*"}}
	scripts := []script{{"a/x", "x", true}, {"a/once", "once", false}, {"b/y", "y", true}, {"b/z", "z", true}}
	notZ := func(story string, _ variant) bool { return story != "b/z" }
	v := variant{"sha256", "bare", "packed"}
	got := plan(scripts, table, notZ, v, false)
	if len(got) != 1 || !slices.Equal(got["b"], []string{"y"}) {
		t.Errorf("planned %v", got)
	}
	got = plan(scripts, table, notZ, variant{"sha1", "main", "loose"}, true)
	if !slices.Equal(got["a"], []string{"x", "once"}) || !slices.Equal(got["b"], []string{"y"}) {
		t.Errorf("planned %v", got)
	}
	if table[0].used != 1 || table[1].used != 0 {
		t.Errorf("used %d and %d times", table[0].used, table[1].used)
	}
	got = plan(scripts, table, everywhere, v, false)
	if !slices.Equal(got["b"], []string{"y", "z"}) {
		t.Errorf("planned %v", got)
	}
}
