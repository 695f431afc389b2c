// Package layers holds the plan of the house as a test: which package stands on which
// floor, what may enter only by one door, and what the small programs do without.
// docs/ARCHITECTURE.md explains it.
package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/open-covenant/covenant-git/"

// floors lists all packages, lowest first. A package imports only from floors below
// its own. Names may be patterns of path.Match; a full name is found before those.
var floors = []struct {
	name     string
	packages []string
}{
	{"0 values", []string{"git/oid", "git/pattern", "git/trailer", "git/treepath", "envelope/canonical", "envelope/redaction", "plugins/pluginapi", "runtime/budget"}},
	{"1 walls, lower half", []string{"runtime/children"}},
	{"1 walls", []string{"git", "envelope", "plugins/pluginwire", "runtime/sandbox"}},
	{"1 walls, upper half", []string{"git/gittest", "envelope/identity", "envelope/intoto", "envelope/vectors"}},
	{"1 walls, registered by programs that want them", []string{"git/gogit", "envelope/identity/openpgp"}},
	{"2a documents and places", []string{
		"envelope/statement", "envelope/trust", "envelope/capability", "envelope/provenance", "envelope/evidence",
		"envelope/handoff", "envelope/intent", "envelope/event", "envelope/receipt", "envelope/attestation", "envelope/seedlog", "envelope/tlog", "git/ledger", "git/notes",
	}},
	{"2a documents about changes", []string{"envelope/release", "envelope/review"}},
	{"2b judgement", []string{"envelope/verdict"}},
	{"3 services", []string{"git/provenance", "git/attested", "memory", "runtime/gate"}},
	{"3 services, middle", []string{"git/handoff"}},
	{"3 services, upper half", []string{"git/audit", "git/intents", "git/sync", "runtime/evidence"}},
	{"4 moments, what agents say", []string{"hooks/agent"}},
	{"4 moments, what is told of them", []string{"hooks/journal", "hooks/settings", "hooks/shell"}},
	{"4 moments", []string{"hooks", "hooks/install"}},
	{"4 engine", []string{"runtime/session"}},
	{"5 shell, standard library", []string{"cmd/internal/say", "cmd/internal/terminal"}},
	{"5 shell, reports", []string{"cmd/internal/report"}},
	{"5 shell", []string{"cmd/internal/cli"}},
	{"5 shell, what commands share", []string{"cmd/internal/witness", "cmd/internal/work"}},
	{"6 commands that others build on", []string{"cmd/internal/hookscmd", "cmd/internal/provenancecmd", "cmd/internal/trustcmd"}},
	{"6 commands that others build on, upper half", []string{"cmd/internal/showcmd"}},
	{"6 commands", []string{"cmd/internal/*cmd"}},
	{"6 all commands", []string{"cmd/internal/root"}},
	{"7 programs", []string{"cmd/covenant", "cmd/covenant-*", "cmd/internal/docs", "cmd/internal/bench", "cmd/internal/layers", "plugins/*"}},
}

// forTests are packages that no program links.
var forTests = []string{"envelope/vectors", "git/gittest"}

// doors names, for each heavy or security-relevant library, the packages that may
// import it. Everybody else asks those.
var doors = map[string][]string{
	"github.com/go-git":                {"git/gogit"},
	"github.com/ProtonMail/go-crypto":  {"envelope/identity/openpgp"},
	"github.com/cloudflare/circl":      {"envelope/identity"},
	"github.com/hiddeco/sshsig":        {"envelope/identity"},
	"golang.org/x/crypto/ssh":          {"envelope/identity"},
	"github.com/gowebpki/jcs":          {"envelope/canonical"},
	"golang.org/x/mod/sumdb":           {"envelope/tlog"},
	"github.com/spf13":                 {"cmd/internal/cli", "cmd/internal/*cmd", "cmd/internal/root", "cmd/internal/docs"},
	"github.com/hashicorp/go-plugin":   {"plugins/pluginwire"},
	"google.golang.org/grpc":           {"plugins/pluginwire"},
	"github.com/bmatcuk/doublestar":    {"git/pattern"},
	"github.com/cedar-policy":          {"plugins/cedar"},
	"github.com/landlock-lsm":          {"runtime/sandbox"},
	"mvdan.cc/sh":                      {"hooks/shell"},
	"github.com/tailscale/hujson":      {"hooks/settings"},
	"github.com/BurntSushi/toml":       {"hooks/settings"},
	"golang.org/x/term":                {"cmd/internal/cli", "cmd/internal/terminal"},
	"golang.org/x/net/http/httpproxy":  {"cmd/internal/witnesscmd"},
	"net/http":                         {"cmd/internal/witness", "cmd/covenant"}, // there for tests only
	"github.com/rogpeppe/go-internal/": {"git", "cmd/covenant"},
	// For tests only: what else reads a log.
	"github.com/transparency-dev/formats": {"envelope/tlog"},
	// For tests only: what else reads a report.
	"github.com/santhosh-tekuri/jsonschema": {"cmd/internal/report"},
	"github.com/yuin/goldmark":              {"cmd/internal/report"},
	"golang.org/x/net/html":                 {"cmd/internal/report"},
}

// plain packages import nothing but the standard library and this module.
var plain = []string{
	"git/oid", "git/trailer", "git/treepath", "plugins/pluginapi", "envelope", "envelope/intoto", "envelope/redaction", "envelope/seedlog", "envelope/trust", "envelope/capability", "envelope/provenance", "envelope/handoff", "envelope/verdict",
	"git/ledger", "git/notes", "git/provenance", "git/handoff", "git/sync", "hooks", "hooks/agent", "hooks/install", "hooks/journal", "runtime/gate", "cmd/internal/say", "cmd/internal/report",
}

// lean says what a program must not link, directly or not: it is started often, or by
// everybody.
var lean = map[string][]string{
	"cmd/covenant-hook": {
		"github.com/spf13", "github.com/go-git", "github.com/ProtonMail", "github.com/hashicorp", "google.golang.org", "modernc.org", "mvdan.cc", "github.com/tailscale",
		"net/http", "html/template", "text/template", "testing",
	},
	"cmd/covenant-agent-hook": {
		"github.com/spf13", "github.com/go-git", "github.com/ProtonMail", "github.com/hashicorp", "google.golang.org", "modernc.org", "github.com/tailscale", "github.com/BurntSushi",
		"net/http", "html/template", "text/template", "testing",
	},
	"cmd/covenant-witness": {
		"github.com/hashicorp", "google.golang.org", "modernc.org", "github.com/go-git", "github.com/spf13/cobra/doc", "html/template", "testing",
	},
	"cmd/covenant": {
		"github.com/hashicorp", "google.golang.org", "modernc.org", "github.com/spf13/cobra/doc", "net/http", "html/template", "testing",
	},
}

// worldly are the functions that read what a library must be told: the environment,
// the clock and the working directory. Below cmd nobody calls them, but for these.
var worldly = map[string][]string{
	"os.Getenv": nil, "os.LookupEnv": nil, "os.ExpandEnv": nil, "os.Getwd": nil, "os.Chdir": nil, "os.Exit": nil,
	"os.UserHomeDir": nil, "os.UserConfigDir": nil, "os.UserCacheDir": nil,
	"os.Environ": {"git"}, // the documented meaning of no environment
	"time.Now":   {"git"}, // objects that are written again are made young, as Git does
	"time.Since": {"git"}, // how long a lock has stood is told by the clock that made its file
}

type pkg struct {
	ImportPath, Dir, Name string
	GoFiles               []string
	Imports               []string
	TestImports           []string
	XTestImports          []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// packages returns all packages of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports,TestImports,XTestImports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("the module has no packages")
	}
	return all
}

// floorOf returns the index of a package's floor, -1 when it has none.
func floorOf(name string) int {
	for i, f := range floors {
		if slices.Contains(f.packages, name) {
			return i
		}
	}
	for i, f := range floors {
		if matches(f.packages, name) {
			return i
		}
	}
	return -1
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return ok && err == nil
	})
}

func TestFloors(t *testing.T) {
	for _, p := range packages(t) {
		floor := floorOf(p.name())
		if floor < 0 {
			t.Errorf("%s stands on no floor: add it to the table of this test", p.name())
			continue
		}
		for _, i := range p.Imports {
			name, ours := strings.CutPrefix(i, module)
			if !ours {
				continue
			}
			switch below := floorOf(name); {
			case slices.Contains(forTests, name):
				t.Errorf("%s imports %s, which is for tests", p.name(), name)
			case below >= floor && below >= 0:
				t.Errorf("%s (%s) imports %s (%s): only downward", p.name(), floors[floor].name, name, floors[below].name)
			}
		}
	}
}

func TestDoors(t *testing.T) {
	for _, p := range packages(t) {
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for library, doors := range doors {
				if under(i, library) && !matches(doors, p.name()) {
					t.Errorf("%s imports %s, which enters by %s only", p.name(), i, strings.Join(doors, ", "))
				}
			}
		}
		for _, i := range p.Imports {
			if strings.Contains(strings.Split(i, "/")[0], ".") && !strings.HasPrefix(i, module) && slices.Contains(plain, p.name()) {
				t.Errorf("%s imports %s, and does with the standard library", p.name(), i)
			}
			if i == "testing" && !slices.Contains(forTests, p.name()) {
				t.Errorf("%s links the package testing", p.name())
			}
		}
	}
}

// under reports whether an import path is library or below it.
func under(i, library string) bool {
	return i == library || strings.HasPrefix(i, strings.TrimSuffix(library, "/")+"/")
}

func TestLeanPrograms(t *testing.T) {
	for program, denied := range lean {
		out, err := exec.Command("go", "list", "-deps", module+program).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", program, err)
		}
		deps := strings.Fields(string(out))
		if !slices.Contains(deps, "runtime") {
			t.Fatalf("go list -deps %s printed %d packages, runtime not among them", program, len(deps))
		}
		for _, d := range deps {
			for _, no := range denied {
				if under(d, no) {
					t.Errorf("%s links %s", program, d)
				}
			}
		}
	}
}

// TestTheWorldComesFromAbove: nothing below cmd reads the environment, the clock or
// the working directory.
func TestTheWorldComesFromAbove(t *testing.T) {
	calls := make(map[string]bool)
	for _, p := range packages(t) {
		if strings.HasPrefix(p.name(), "cmd/") || p.Name == "main" || slices.Contains(forTests, p.name()) {
			continue
		}
		for _, f := range p.GoFiles {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, filepath.Join(p.Dir, f), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := s.X.(*ast.Ident)
				if !ok {
					return true
				}
				call := x.Name + "." + s.Sel.Name
				if allowed, bad := worldly[call]; bad && !slices.Contains(allowed, p.name()) {
					t.Errorf("%s: %s; let the caller pass it", set.Position(n.Pos()), call)
				} else if bad {
					calls[call+" in "+p.name()] = true
				}
				return true
			})
		}
	}
	for call, allowed := range worldly {
		for _, name := range allowed {
			if !calls[call+" in "+name] {
				t.Errorf("%s need not be allowed in %s any more", call, name)
			}
		}
	}
}

// TestTable: every row means something.
func TestTable(t *testing.T) {
	seen := make(map[string]string)
	for _, f := range floors {
		for _, p := range f.packages {
			if at, twice := seen[p]; twice {
				t.Errorf("%s stands on %s and on %s", p, at, f.name)
			}
			seen[p] = f.name
		}
	}
	for library, at := range doors {
		for _, name := range at {
			if floorOf(name) < 0 && !strings.Contains(name, "*") {
				t.Errorf("%s enters by %s, which stands on no floor", library, name)
			}
		}
	}
}
