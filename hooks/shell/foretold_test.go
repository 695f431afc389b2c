package shell_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/shell"
)

// A gambler makes up commands of which bash knows what they write.
type gambler struct{ *rand.Rand }

func (g gambler) one(of ...string) string { return of[g.IntN(len(of))] }

func (g gambler) dir() string {
	return g.one("a", "b", "..", "nowhere", "a/c", ".", "../b", "l", "m", "$D", `"$D"`, "-", "-P a", "./a")
}

func (g gambler) file() string {
	return g.one("f", "g", "a/f", "../f", "l/f", "m/f", "b/h", "$F", `"${F}"`, "{f,g}", "a/../g", "$1", `"$@"`, "./$F")
}

// sed is a script of sed that writes, or only seems to.
func (g gambler) sed() string {
	var b strings.Builder
	for range 1 + g.IntN(3) {
		b.WriteString(g.one("", "", "1", "$", "1,2", "/x/", "/[/]/", "\\,x,", "/[w f]/", "1!", "$!", "/x/,$ ") +
			g.one("p", "d", "N", "s/x/y/", "s/x/y/w f", "s,x,y,gw g", "w f", "w a/f", "wg", "a\\\nw f", "a w f", "i\\\nx\\\nw f", "a x\\\\\nw g", "{w f\n}", "{p;w f\n}", "y/x/z/", "s/[/]/w f/", "s/[/w g/]/x/", "s/x/\\\nw f/", "s/x/\\/w f/", "bw f", "b\nw f", ":w f", "r f", "n", "q", "s/x/touch g/e", "1e touch f", "#w f", "c\\\nw f", "s|x|y|2pw h", "s/a\\|x/w/w b/g", "l 5", "=", "}w f", "W f", "s/x/y/ w f") + g.one(";", "\n", "\n", " ; "))
	}
	return strings.ReplaceAll(b.String(), "'", "")
}

func (g gambler) command(depth int) string {
	if depth <= 0 || g.IntN(3) == 0 {
		f := g.file()
		return g.one(
			"cd "+g.dir(), "cd "+g.dir(), "pushd "+g.dir()+" >/dev/null", "popd >/dev/null", "command cd "+g.dir(), "echo x > "+strings.Replace(strings.Replace(f, "{f,g}", "f", 1), `"$@"`, "g", 1), "touch "+f, "echo x | tee "+f, "tee "+f+" <<< x", "cp s "+f, "true", "false", "F="+g.one("f", "a/f", "h"), "D="+g.one("a", "b", ".."), "ln -s "+g.dir()+" "+g.one("l", "m", "a/l"),
			"ln -sf "+g.file()+" "+g.one("k", "a/k"), "echo x > k", "set -- "+g.one("f", "a/f", "g f"), "fun "+g.one("f", "a/h", "g"), "env -C "+g.one("a", "b")+" touch "+f, "sort -uo "+g.one("f", "a/f")+" s", "sed '"+g.sed()+"' s", "sed -n 'w "+g.one("f", "a/g")+"' s", "sed -i s/x/y/ "+g.one("f", "s", "a/f"), "printf 'echo x > "+g.one("f", "a/g")+"' | sh", "echo 'echo x > "+g.one("f", "b/g")+"' > p; sh p",
			"bash -c 'echo x > \"$1\"' z "+g.one("f", "a/g"), "xargs touch <<< "+g.one("f", "a/g"), "eval 'touch "+g.one("f", "$F")+"'", "find a -name c -execdir touch f ';'", "mv "+g.one("f", "a/f")+" "+g.one("g", "a", "b/h"), "rm -f "+f, "cd "+g.dir()+" || exit", "exit", "shift", ". <(echo touch "+g.one("f", "a/g")+")", "CDPATH=$PWD/a", "unset CDPATH", "al f", "read F <<< g", "printf -v F a/f", "cp -t "+g.one("a", "b")+" s",
		)
	}
	x, y := g.command(depth-1), g.command(depth-1)
	return g.one(x+"; "+y, x+"\n"+y, x+" && "+y, x+" || "+y, "( "+x+"; "+y+" )", "{ "+x+"; "+y+"; }", "! "+x+" && "+y, "if "+x+"; then "+y+"; else "+x+"; fi", "for i in 1 2; do "+x+"; done; "+y, "for F in f a/f; do "+x+"; done", "fun() { "+x+"; }; "+y, "while "+x+"; do "+y+"; break; done", "until "+x+"; do "+y+"; break; done", "case x in x) "+x+";; esac; "+y, ": \"$("+x+")\"; "+y, x+" | "+y, "alias al='touch'\n"+x+"; "+y, "trap '"+strings.ReplaceAll(x, "'", "")+"' EXIT; "+y)
}

// binding is a command that binds a variable, or only seems to.
func (g gambler) binding(depth int) string {
	n := g.one("COVENANT_IDENTITY", "CLAUDECODE", "COVENANT_IDENTITY", "X", "$N", `"$N"`, "${N}")
	look := "printenv COVENANT_IDENTITY CLAUDECODE >> out"
	if depth <= 0 || g.IntN(3) == 0 {
		return strings.ReplaceAll(g.one(
			"%=ada", "% =ada", "export %=ada", "export -n %", "declare -x %=ada", "declare +x %", "declare -n X=%; X=ada", "declare -u %", "readonly %", "unset %", "unset -v %", "unset X", "local %=ada", "typeset %", "read % <<< ada", "read -r X % <<< 'x ada'", "printf -v % ada", ": ${%:=ada}", ": ${%:-ada}", ": \"${%=ada}\"", "mapfile % <<< ada", "getopts a % -a", "((%=1))", "((%+=1))", "let %=1", "echo $((%))",
			"for % in ada; do :; done", "%+=a", "%[0]=ada", "%=(ada)", "exec {%}>f", "eval '%=ada'", "eval %=ada", "env %=ada "+look, "env -u % "+look, "env -i "+look, "env -iv PATH=$PATH "+look, "env -S '%=ada' "+look, "env -vu % "+look, "env --uns=% "+look, "env --ig PATH=$PATH "+look, "%=ada "+look, "%= "+look, "(exec -c "+look+")", "(exec -lc "+look+")", "(exec -a x "+look+")", "bash -c '%=ada; "+look+"'", "bash -c 'unset %; "+look+"'", "bash -c 'export %=$1; "+look+"' x ada",
			"export '%=ada'", "declare -gx %=ada", "builtin export %=ada", "command unset %", "wait -p % $!", "N=X", "N=CLAUDECODE", "N=COVENANT_IDENTITY", "set -- %; read $1 <<< ada", "true", "f", "alias al='unset %'", "export -p > f", "declare -p % > f", "readarray -t % <<< ada", "IFS=, read X % <<< a,ada", "select % in ada; do break; done <<< 1", "export X=ada", "coproc % { :; }", "trap 'unset %; "+look+"' EXIT", "unset ${!X*}", "unset ${!CLAUDE*}",
		), "%", n)
	}
	x, y := g.binding(depth-1), g.binding(depth-1)
	return g.one(x+"; "+y, x+" && "+y, x+" || "+y, "( "+x+"; "+look+"; )\n"+y, "f() { "+x+"; "+look+"; }; "+y+"; f", "if "+x+"; then "+y+"; fi", "while "+x+"; do "+y+"; break; done", "{ "+x+"; }; "+y, ": \"$("+x+"; "+look+")\"; "+y, x+" | { "+y+"; "+look+"; }", "for i in 1 2; do "+x+"; done")
}

// TestBound: whatever bash makes of a command, programs that it starts have who acts and the mark of the agent from outside, or it was told otherwise.
func TestBound(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	rounds := 250
	if testing.Short() {
		rounds = 80
	}
	kept := 0
	for i := range rounds {
		g := gambler{rand.New(rand.NewPCG(uint64(i), 1))} //nolint:gosec // the same each time
		command := g.binding(2) + "\nprintenv COVENANT_IDENTITY CLAUDECODE >> out"
		e := effects(command)
		if len(e.Around) > 0 || len(e.As) > 0 || len(e.Hidden) > 0 {
			continue
		}
		kept++
		dir := t.TempDir()
		run := exec.Command(bash, "-O", "expand_aliases", "-c", command)
		run.Dir, run.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "COVENANT_IDENTITY=coder", "CLAUDECODE=1"}
		_ = run.Run()
		out, err := os.ReadFile(filepath.Join(dir, "out"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if rest := strings.NewReplacer("coder\n1\n", "", "coder\nada\n", "").Replace(string(out)); rest != "" {
			t.Errorf("%q\nhas its programs see %q, and tells %+v", command, rest, e)
		}
	}
	if kept < rounds/20 {
		t.Errorf("only %d of %d commands keep what they have", kept, rounds)
	}
}

// TestForetold: whatever bash makes of a command, each file that it writes, makes or removes was told beforehand, or it was said that not all is told.
func TestForetold(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	rounds := 250
	if testing.Short() {
		rounds = 80
	}
	told := 0
	for i := range rounds {
		g := gambler{rand.New(rand.NewPCG(uint64(i), 32))} //nolint:gosec // the same each time
		command := g.command(3)
		root := filepath.Join(top, fmt.Sprint(i))
		work := filepath.Join(root, "w")
		for _, d := range []string{"a/c", "b"} {
			if err := os.MkdirAll(filepath.Join(work, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []string{"s", "a/f", "../s"} {
			if err := os.WriteFile(filepath.Join(work, f), []byte("x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		e := shell.Effects(command, shell.Surroundings{Dir: work, Home: root})
		before := look(t, root)
		run := exec.Command(bash, "-O", "expand_aliases", "-c", command)
		run.Dir, run.Env = work, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + root}
		_ = run.Run()
		if len(e.Hidden) > 0 || len(e.Around) > 0 {
			continue
		}
		told++
		foretold := map[string]bool{}
		for _, w := range e.Writes {
			paths := []string{w.Path}
			for _, name := range w.Into {
				paths = append(paths, w.Path+"/"+name)
			}
			for _, p := range paths {
				foretold[filepath.Clean(p)] = true
				if real, err := filepath.EvalSymlinks(p); err == nil {
					foretold[real] = true
				}
				if dir, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil {
					foretold[filepath.Join(dir, filepath.Base(p))] = true
				}
			}
		}
		after := look(t, root)
		for p, was := range before {
			if is, there := after[p]; (!there || is != was) && !foretold[p] {
				t.Errorf("%q\nchanges or removes %s, and tells %+v", command, p, e.Writes)
			}
		}
		for p := range after {
			if _, there := before[p]; !there && !foretold[p] && filepath.Base(p) != ".bash_history" {
				t.Errorf("%q\nmakes %s, and tells %+v", command, p, e.Writes)
			}
		}
	}
	if told < rounds/5 {
		t.Errorf("only %d of %d commands are told", told, rounds)
	}
}

// look returns what is below a folder, and when it was changed.
func look(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			out[p] = fmt.Sprint(info.ModTime().UnixNano(), info.Size(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
