package shell_test

import (
	"path"
	"slices"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// TestLooks: a program that stands in the command and neither writes nor starts anything may name what is guarded; one that may do more, may not.
func TestLooks(t *testing.T) {
	for _, command := range []string{
		"python3 - <<'EOF'\nimport os\nprint(os.environ.get(\"GIT_DIR\"))\nEOF", `python3 -c 'import os; print(os.environ["GIT_DIR"])'`, `awk "/GIT_DIR/{print}" Makefile`, `awk '/update-ref/ || /x/ {n++} END {print n}' Makefile`, `gawk -F: '$1 == "GIT_DIR"' x`, `perl -ne "print if /update-ref/" src/a.go`, `perl -ne 'print if /core.hooksPath/' x y`, `awk '/commit-tree/ && $2 > 3' x`, `python3 -c 'import re, sys; print(re.findall("update-ref", sys.stdin.read()))' < x`,
		`python3 -c 'print("GIT_DIR" in open("Makefile").read())'`, `perl -ne 'print if /^GIT_DIR/' f`, `SKIP=slow make test`, `HUSKY=0 npm ci`, `LEFTHOOK=0 npm ci`, `export HOME=/tmp; npm ci`, `export SKIP=x; make test`, `HOME=/tmp npm ci`,
	} {
		if got := effects(command); len(got.Around) > 0 {
			t.Errorf("%s is taken for going around: %q", command, got.Around)
		}
	}
	for _, command := range []string{
		`awk '/GIT_DIR/{print > "x"}' y`, `awk 'BEGIN{print "};" > ".git/config"}'`, `awk 'BEGIN { system("git update-ref x y") }'`, `awk 'BEGIN { "git update-ref x y" | getline }'`, `awk 'BEGIN { print "update-ref" | "git" }'`, `gawk 'BEGIN { print "update-ref" |& "x" }'`, `awk -f update-ref`, `gawk -i inplace '/GIT_DIR/' x`, `gawk '@load "filefuncs"; /GIT_DIR/'`, `awk 'BEGIN { print("x") > ".git/config" }'`, "awk 'BEGIN { print \"x\" \\\n > \".git/config\" }'",
		`perl -e 'system("git","update-ref","x","y")'`, `perl -e 'exec qw(git update-ref x y)'`, "perl -e '`git update-ref x y`'", `perl -e 'open F, ">", ".git/config"'`, `perl -pi -e 's/x/update-ref/' f`, `perl -ne '$ENV{GIT_DIR}="x"; print'`, `perl -ne 'print if /update-ref/' 'git update-ref x y |'`, `perl -ne 'print if /update-ref/' '> x'`, `perl -ne 's/x/git update-ref/e; print'`, `perl -Mx -ne 'print if /update-ref/' x`, `perl -e 'qx{git update-ref x y}'`, `perl -e 'print {F} "update-ref"'`, `perl -e '/update-ref(?{x})/'`, `perl -e '<git update-ref|>; print F "x"'`, `perl -e '&{"sys"."tem"}("git update-ref")'`,
		`python3 -c 'import os; os.system("git update-ref x y")'`, `python3 -c 'import os; os.environ["GIT_DIR"] = "x"'`, `python3 -c 'import os; os.environ["GIT_DIR"]="x"'`, `python3 -c 'import os; os.environ["GIT_DIR"]+="x"'`, `python3 -c 'import os; os.environ.update(GIT_DIR="x")'`, `python3 -c 'import os; os.putenv("GIT_DIR","x")'`, `python3 -c 'import subprocess; subprocess.run(["git","update-ref"])'`, `python3 -c 'open(".git/config","w")'`, `python3 -c 'import pathlib; pathlib.Path(".git/config").write_text("x")'`, `python3 -c '__import__("os").system("git update-ref")'`, `python3 -c 'from os import system as s; s("git update-ref")'`, `python3 -c 'eval("update-ref")'`, `python3 -c 'import mine; mine.f("update-ref")'`, `python3 -c 'import os as o; o.execvp("git", ["update-ref"])'`, `python3 -c 'print("x", file=open(".git/config","a"))'`, `python3 -c 'open(str(".git/config"),"w")'`, `python3 -c 'o = open; o(".git/config", "w")'`, `python3 -c 'import os; os.ｓystem("git update-ref x y")'`, `perl -e '@ARGV = ("git update-ref x y \x7c"); print while <>'`, `perl -ne '$^I = ".b"; print "update-ref"' f g`, `perl -F'/(?{x})/' -ne 'print "update-ref"'`, `perl -e 'print readpipe "git update-ref x y"'`, `python3 x.py update-ref`, `python3 -m x update-ref`, "python3 - <<'EOF'\nimport os\nos.environ.\\\nupdate(GIT_DIR='x')\nEOF", "python3 -c \"$X\" update-ref",
		`HUSKY=0 git commit -m x`, `export SKIP=x; git commit -m x`, `SKIP=x sh -c 'git commit'`, `HUSKY=0 sh x.sh`, `export HOME=/tmp; git commit -m x`, `export HOME=/tmp; sh x.sh`, `export HOME=/tmp`,
	} {
		if got := effects(command); len(got.Around) == 0 {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
}

// TestFinds: a search says which names it looks for, and whether it leaves Git's own out.
func TestFinds(t *testing.T) {
	for command, want := range map[string]struct {
		names  []string
		spared bool
	}{
		`find . -name "*.log" -delete`: {[]string{"*.log"}, false}, `find . -type d -name node_modules -prune -exec rm -rf {} +`: {[]string{"node_modules"}, false}, `find . -name __pycache__ -exec rm -r {} +`: {[]string{"__pycache__"}, false}, `find . -name "*.go" -exec sed -i s/a/b/ {} +`: {[]string{"*.go"}, false}, `find . -path ./.git -prune -o -name '*.log' -print -delete`: {[]string{"*.log"}, true}, `find . -not -path './.git/*' -name '*.orig' -delete`: {[]string{"*.orig"}, true},
		`find . -type d -name .git -prune -o -type f -exec sed -i s/a/b/ {} +`: {nil, true}, `find . \( -name .git -prune \) -o -type f -exec sed -i s/a/b/ {} +`: {nil, true}, `find . \( -path ./x -o -path ./.git \) -prune -o -type f -exec sed -i s/a/b/ {} +`: {nil, true}, `find . -path ./x -prune -o -path ./.git -prune -o -type f -delete`: {nil, true}, `fd -e go -x sed -i s/a/b/`: {nil, true}, `fd -H -e go -x sed -i s/a/b/ {}`: {}, `find . ! -path '*/.git/*' -type f -exec sed -i s/a/b/ {} +`: {nil, true}, `find . \( -name '*.a' -o -iname '*.b' \) -delete`: {[]string{"*.a", "*.b"}, false}, `find . -name '*.a' -delete -o -name '*.b' -delete`: {[]string{"*.a", "*.b"}, false}, `find . -name '*.a' -exec sh -c 'rm "$1"' x {} ';'`: {[]string{"*.a"}, false},
		// No name, or not all of them; not left out, or only in part.
		`find . -delete`: {}, `find . -type f -exec rm {} +`: {}, `find . \( -name '*.a' -o -type f \) -delete`: {}, `find . -not -name '*.a' -delete`: {}, `find . -name '*.a' -o -delete`: {}, `find . -name '*.a' -print -o -delete`: {}, `find . -name "$X" -delete`: {}, `find . -path './.git/*' -prune -o -delete`: {}, `find . -path ./.git -o -delete`: {}, `find . -path ./.git -type f -prune -o -delete`: {}, `find . -path ./.git -prune -o -type f -exec rm -rf {} +`: {}, `find . -delete -o -path ./.git -prune`: {}, `find . \( -path ./x -o -path ./.git -type f \) -prune -o -delete`: {}, `find . ! \( -path ./.git \) -prune -o -delete`: {}, `find $PWD -path ./.git -prune -o -type f -delete`: {}, `find . -path .git -prune -o -type f -delete`: {}, `find . -newer .git -prune -o -delete`: {}, `find . -not -path './src/*' -delete`: {}, `find . -exec rm {} ';' -name '*.log' -delete`: {}, `find . \( -name '*.a' -o -delete \)`: {},
	} {
		found := effects(command).Writes
		i := slices.IndexFunc(found, func(w agent.Write) bool { return w.Found && path.Clean(w.Path) == "/w" })
		if i < 0 {
			t.Errorf("%s finds nothing: %+v", command, found)
			continue
		}
		if w := found[i]; !slices.Equal(w.Names, want.names) || w.Spared != want.spared {
			t.Errorf("%s finds %q, spared: %v", command, w.Names, w.Spared)
		}
	}
	if got := writes(`find . -name x -exec cp {} docs/ ';'`); !slices.Contains(got, "/w/docs") {
		t.Errorf("a target is lost: %q", got)
	}
}

// TestScratch: a place that is new, or whose name is not known, is not the project's.
func TestScratch(t *testing.T) {
	for command, not := range map[string]string{
		`D=$(mktemp -d) && git init -q "$D" && cd "$D" && echo x > f && git add f && git commit -qm x`: "/w/f", `cd "$(mktemp -d)" && echo x > f`: "/w/f", `D=$(mktemp -d /tmp/a.XXXXXX); cd "$D" && echo x > f`: "/w/f", `cd "$D" && echo x > f`: "/w/f", `rm -rf "$TMPDIR/f"`: "/w/f",
	} {
		for _, w := range effects(command).Writes {
			if path.Clean(w.Path) == not && !w.Folder {
				t.Errorf("%s writes %+v", command, w)
			}
		}
	}
	for command, want := range map[string]string{`cd "$D"; echo x > f`: "/w/f", `D=$(mktemp -d src/XXXXXX); cd "$D" || cd /w && echo x > f`: "/w/f", `cd "$(pwd)" && echo x > f`: "/w/f", `cd "$(git rev-parse --show-toplevel)" && echo x > f`: "/w/f", `D=$(mktemp -d); cd "$D" && cd /w && echo x > f`: "/w/f", `cd "$D" && cd /w && echo x > f`: "/w/f", `(cd "$D"); echo x > f`: "/w/f"} {
		if !slices.ContainsFunc(effects(command).Writes, func(w agent.Write) bool { return path.Clean(w.Path) == want && !w.Folder }) {
			t.Errorf("%s writes %+v", command, effects(command).Writes)
		}
	}
	for _, command := range []string{`cd "$D" && echo x > .git/hooks/pre-commit`, `cd "$D" && rm -rf .git`} {
		if !slices.ContainsFunc(effects(command).Writes, func(w agent.Write) bool { return len(path.Clean(w.Path)) > 6 && path.Clean(w.Path)[:7] == "/w/.git" }) {
			t.Errorf("%s writes %+v", command, effects(command).Writes)
		}
	}
	for _, command := range []string{`find . -name "*.go" | xargs gofmt -l`, `find . -name '*.go' | xargs grep -n x`, `rm -rf "$TMPDIR/x"`, `D=$(mktemp -d) && cp -r src "$D"`} {
		if got := effects(command); len(got.Hidden) > 0 {
			t.Errorf("%s hides %q", command, got.Hidden)
		}
	}
	for _, command := range []string{`find . | xargs gofmt -w`, `find . | xargs rm`, `find . | xargs sed -i s/a/b/`, `find . | xargs frob`, `TMPDIR=$X; echo > "$TMPDIR/a"`, `cat x | xargs git`} {
		if got := effects(command); len(got.Hidden) == 0 {
			t.Errorf("%s hides nothing", command)
		}
	}
}
