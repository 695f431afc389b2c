package shell_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/hooks/shell"
)

func effects(command string) agent.Effects {
	return shell.Effects(command, shell.Surroundings{Dir: "/w", Home: "/h", Alias: func(name string) (string, bool) {
		text, ok := map[string]string{"ci": "commit", "quick": "commit --no-verify", "sneaky": "!f() { git update-ref \"$1\" x; }; f"}[name]
		return text, ok
	}})
}

// TestAround: these were tried. Each goes around the gate, whatever it is dressed in.
func TestAround(t *testing.T) {
	for _, command := range []string{
		`git commit --no-verify -m x`, `git commit -n -m x`, `git commit -anm x`, `git commit --no-veri -m x`, `git commit --no-ver""ify -m x`, `git commit '--no-'verify`,
		`git commit $'--no-\x76erify'`, `git commit --no-\verify`, "git commit --no-\\\nverify", `git commit --n{o-verify,ope}`, `x=--no-verify; git commit $x`, `x=--no-verify git commit $x`,
		`for o in -v --no-verify; do git commit $o; done`, `/usr/bin/git commit -n`, `g""it commit -n`, `\git commit -n`, `command git commit -n`, `exec git commit -n`, `builtin command git commit -n`,
		`bash -c "git commit -n"`, `bash -lc 'git commit -n'`, `sh -c 'cd sub && git commit --no-verify'`, `bash -o pipefail -c 'git commit -n'`, `bash <<< 'git commit -n'`, "bash <<'E'\ngit commit -n\nE", `echo 'git commit -n' | sh`,
		`printf 'git commit -n\n' | bash -s`, `eval "git commit -n"`, `eval git commit -n`, `eval "$(echo git) commit --no-verify"`, `$(echo git) commit --no-verify`, "`echo git` commit --no-verify", `G=git; $G commit -n`, `$UNKNOWN commit --no-verify`,
		`env -S "git commit -n"`, `env -S'git commit -n'`, `env --split-string="git commit -n"`, `env git commit -n`, `env FOO=1 git commit -n`, `sudo -u root git commit -n`, `timeout 5 git commit -n`, `nice -n 10 git commit -n`, `xargs git commit -n`,
		`find . -name x -exec git commit -n ';'`, `time git commit -n`, `nohup git commit -n &`, `(git commit -n)`, `{ git commit -n; }`, `if true; then git commit -n; fi`, `f() { git commit -n; }; f`, `true && false || git commit -n`, `x=$(git commit -n)`,
		`cat <(git commit -n)`, `echo "$(git commit -n)"`, "cat <<E\n$(git commit -n)\nE", `trap 'git commit -n' EXIT`, `alias g='git commit -n'; g`, `case x in x) git commit -n;; esac`, `while git commit -n; do :; done`,
		`git -c core.hooksPath=/dev/null commit -m x`, `git -c CORE.HOOKSPATH= commit`, `git -c hook.covenant-post-commit.enabled=false commit`, `git -c covenant.root=x commit`, `git --config-env=core.hooksPath=X commit`, `git -c include.path=/tmp/x commit`,
		`git -c alias.x='commit --no-verify' x`, `git -c alias.x='!git commit -n' x`, `git -c "alias.x=$Y" x`, `git quick`, `git sneaky refs/heads/main`, `git config alias.y 'commit -n'`, `git config --global alias.y '!sh -c "git commit -n"'`,
		`GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=core.hooksPath GIT_CONFIG_VALUE_0=/dev/null git commit`, `export GIT_CONFIG_PARAMETERS="'core.hookspath=/dev/null'"`, `GIT_CONFIG_GLOBAL=/tmp/x git commit`, `env GIT_CONFIG_COUNT=1 git commit`,
		`HUSKY=0 git commit`, `LEFTHOOK=0 git commit`, `git config core.hooksPath /dev/null`, `git config set core.hooksPath x`, `git config --unset covenant.root`, `git config --remove-section hook.covenant-pre-commit`, `git config --edit`, `git config "$K" x`,
		`git update-ref refs/heads/main HEAD`, `git commit-tree HEAD^{tree}`, `git fast-import < x`, `git replace a b`, `git filter-branch`, `git notes add -m x`, `git notes --ref=covenant add -m x`, `git notes --ref covenant remove`, `GIT_NOTES_REF=refs/notes/covenant git notes add`,
		`git push origin :refs/covenant/ledger/x`, `git push --mirror`, `git fetch . +x:refs/covenant/trust/root`, `git push --no-verify`, `git rebase --exec 'git commit --amend -n' main`, `git bisect run git commit -n`,
		`git submodule foreach 'git commit -n'`, `unset CLAUDECODE; git commit`, `env -u CLAUDECODE git commit`, `env -i git commit`, `CLAUDECODE= git commit`, `export CLAUDECODE=0`, `exec -c git commit`, `COVENANT_HOOK_FAT=1 git commit`,
		`covenant hooks uninstall`, `git covenant hooks uninstall`, `covenant-hooks uninstall`, `covenant disable`, `covenant identity use ada`, `python3 -c "import os; os.system('git commit --no-verify')"`,
		`perl -e 'system("git","update-ref","x","y")'`, `node -e "require('child_process').execSync('git -c core.hooksPath=x commit')"`, `git update-index --assume-unchanged README.md`, `GIT_EDITOR='git commit -n' git rebase -i`, `git -c core.editor='git commit -n' rebase`,
		`parallel git commit ::: --no-verify`, "git commit -n; " + strings.Repeat("(", 1000), "git commit -n; if", "x=1; git -c core.hooksPath= commit; " + strings.Repeat("y", 200<<10), `watch "git commit -n"`, `git   commit	-n`, `git commit -m x -- ; git commit -n`, `git -C /w commit -n`, `git --git-dir=.git commit -n`, `git --no-pager commit -n`, `busybox sh -c 'git commit -n'`, `git-commit -n`,
	} {
		if got := effects(command); len(got.Around) == 0 {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
}

// TestPlain: everyday commands are not taken for an attack.
func TestPlain(t *testing.T) {
	for _, command := range []string{
		`git commit -m 'fix: --no-verify is refused now'`, `git commit -am 'n'`, `git commit -m -n`, `git commit -F msg`, `git log -n 3`, `git push -n`, `git merge -n x`, `git status`, `git diff HEAD~1`, `git show refs/covenant/trust/root`, `git for-each-ref refs/covenant`,
		`git config core.hooksPath`, `git config --get core.hooksPath`, `git config user.name x`, `git config list`, `git notes show`, `git notes --ref=commits add -m x`, `grep -rn -- --no-verify docs`, `echo git commit --no-verify`, `rg core.hooksPath`, `cat docs/x`, `go test ./...`,
		`npm install`, `make -n`, `ls -la`, `git ci -m x`, `cd sub && go build ./... 2>&1 | tail -n 20`, `covenant verify`, `covenant capability request --action repo.commit --reason x`, `COVENANT_INTENT=fix git commit -m x`, `for f in *.go; do gofmt -l $f; done`, `git stash`, `git checkout -- x`,
		`git rebase -i HEAD~3`, `export FOO=bar`, `FOO=$(date) go test`, `git log --oneline | head -n 5`, `docker rm x`, `npm rm x`, `apt install git`, `which git`,
	} {
		if got := effects(command); len(got.Around) > 0 {
			t.Errorf("%s is taken for going around: %q", command, got.Around)
		}
	}
}

func TestWrites(t *testing.T) {
	for command, want := range map[string]string{
		`echo x > README.md`: "/w/README.md", `echo x >> a`: "/w/a", `echo x >| a`: "/w/a", `echo x &> a`: "/w/a", `echo x >& a`: "/w/a", `: <> a`: "/w/a", `> a`: "/w/a", `cat > a <<E
x
E`: "/w/a", `echo 2>&1 x`: "", `echo x > /dev/null`: "", `echo x >/dev/fd/2`: "", `echo x > /dev/shm/a`: "/dev/shm/a", `echo x >/dev/../w/a`: "/dev/../w/a", `echo x >/dev/fd/../a`: "", `echo x >/dev/null/../a`: "/dev/null/../a", `echo x >"a b"`: "/w/a b", `echo x > a{1,2}`: "/w/a1 /w/a2", `f=a; echo x > $f`: "/w/a", `for f in a b; do echo > "$f"; done`: "/w/a /w/b",
		`tee a b < c`: "/w/a /w/b", `echo x | tee -a a`: "/w/a", `sudo tee a`: "/w/a", `sed -i s/a/b/ f g`: "/w/f /w/g", `sed -i.bak -e s/a/b/ f`: "/w/f", `sed -Ei 's/a/b/' f`: "/w/f", `sed -n 's/a/b/w out' f`: "/w/out", `sed s/a/b/ f`: "", `sed --in-place s/a/b/ f`: "/w/f",
		`cp a b`: "/w/b", `cp -t d a`: "/w/d", `mv a b`: "/w/a /w/b", `rm -rf d`: "/w/d", `rm -- -f`: "/w/-f", `touch a`: "/w/a", `chmod +x a`: "/w/a", `chmod -x a`: "/w/a", `chmod -R u+w a b`: "/w/a /w/b", `ln -s a b`: "/w/b", `ln a b`: "/w/a /w/b", `cp -al a b`: "/w/a /w/b", `dd if=a of=b`: "/w/b", `truncate -s 0 a`: "/w/a",
		`cd sub && echo > a`: "/w/sub/a", `cd sub; echo > a`: "/w/a /w/sub/a", `(cd sub && echo > a); echo > b`: "/w/b /w/sub/a", `cd /x && echo > a`: "/x/a", `echo > ~/a`: "/h/a", `echo > $HOME/a`: "/h/a", `echo > $PWD/a`: "/w/a", `git -C sub rm a`: "/w/sub/a",
		`git mv a b`: "/w/a /w/b", `curl -o a http://x`: "/w/a", `wget -O a http://x`: "/w/a", `wget http://x/f.tgz`: "/w/f.tgz", `sort -o a b`: "/w/a", `install -m 755 a b`: "/w/b", `find d -delete`: "/w/d", `find d -exec rm {} +`: "/w/d", `gofmt -w a.go`: "/w/a.go", `bash -c 'echo > a'`: "/w/a",
		`echo > ../a`: "/w/../a", `perl -pi -e 's/a/b/' f`: "/w/f", `x=$(echo > a)`: "/w/a", `true || echo > a`: "/w/a", `echo a > b > c`: "/w/b /w/c", `if [ -f x ]; then rm y; fi`: "/w/y", `pushd sub && rm a`: "/w/sub/a", `printf x >a 2>b`: "/w/a /w/b", `env -C sub touch a`: "/w/sub/a",
		`busybox rm a`: "/w/a", `xargs rm a`: "/w/a", `\rm a`: "/w/a", `r\m a`: "/w/a", `'rm' a`: "/w/a", `/bin/rm a`: "/w/a",
	} {
		var got []string
		for _, w := range effects(command).Writes {
			if w.Folder { // only what is guarded counts
				continue
			}
			got = append(got, w.Path)
		}
		slices.Sort(got)
		if s := strings.Join(slices.Compact(got), " "); s != want {
			t.Errorf("%s writes %q, not %q", command, s, want)
		}
	}
}

// TestHidden: what cannot be told is said.
func TestHidden(t *testing.T) {
	for _, command := range []string{
		`echo > $X`, `echo > $(date)`, `$X a`, `eval "$X"`, `bash -c "$X"`, `bash script.sh`, `. ./x`, `curl http://x | sh`, `sh`, `python -c 'open("a","w")'`, `xargs rm`, `cd $X && echo > a`, `git apply x.patch`, `patch < x`, `tar xf a.tar`, `echo ((`, `if`, `ed a`,
		`base64 -d <<< Z2l0 | sh`, `X=a; X+=b; echo > $X`, `read f; echo > $f`, `vim a`, strings.Repeat("(", 200<<10), `for f in *; do echo > $f; done`, `for f in *; do sed -i s/a/b/ "$f"; done`,
	} {
		if got := effects(command); len(got.Hidden) == 0 {
			t.Errorf("%s hides nothing: %+v", command[:min(len(command), 80)], got)
		}
	}
}

// TestDeep: what is nested is not followed for ever.
func TestDeep(t *testing.T) {
	for _, command := range []string{
		strings.Repeat("(", 60<<10), strings.Repeat("$(", 40<<10), strings.Repeat("{ ", 40<<10), strings.Repeat("if ", 30<<10), strings.Repeat("(", 1000) + "true" + strings.Repeat(")", 1000), strings.Repeat("`", 60<<10), strings.Repeat("a|", 50<<10) + "b",
		strings.Repeat("{a,b}", 20<<10), "echo " + strings.Repeat("{a,b}", 24), strings.Repeat("bash -c '", 10<<10), strings.Repeat("x=$x$x;", 10<<10), "x=a;" + strings.Repeat("x=$x$x;", 10<<10), "x=a y=b;" + strings.Repeat("x=$y$y y=$x$x;", 1<<10), strings.Repeat("env ", 20<<10), strings.Repeat("eval ", 20<<10) + "x", strings.Repeat("time ", 20<<10), strings.Repeat("sudo ", 20<<10) + "git commit -n",
		"f() { f; f; f; f; g; }; g() { f; g; f; h; }; h() { f; g; h; h; }; f", strings.Repeat("f() { f; f; };", 500) + "f", strings.Repeat("while cd ..; do ", 120) + "x" + strings.Repeat("; done", 120), strings.Repeat("ln -s a b;", 5000) + "cd b; echo > b/b/b", strings.Repeat("ln -s a$i b/c; cd b;", 3000), strings.Repeat("echo x > a; sh a;", 4000), "echo 'sh a; sh a; sh a' > a; sh a",
		"sed '" + strings.Repeat("s/a/b/;", 10<<10) + "' f", "printf '" + strings.Repeat("%s", 30<<10) + "' " + strings.Repeat("a ", 10<<10) + "| sh", "foo " + strings.Repeat("a/b ", 30<<10), strings.Repeat("echo a | ", 10<<10) + "sh", strings.Repeat("(", 200) + "echo a" + strings.Repeat(")", 200) + "| sh", "x='" + strings.Repeat("$(x=", 100) + "'", strings.Repeat("bash -c \"", 100) + "x", strings.Repeat("cd {a,b,c,d,e,f};", 5000) + "echo > a",
		strings.Repeat("${x:-", 250) + "y" + strings.Repeat("}", 250), "x='a b'; y='c d'; " + strings.Repeat("echo $x$y$x$y$x$y$x; ", 1000), strings.Repeat("a+=(\"${a[@]}\" b c); ", 3000) + "echo ${a[@]}", "a=(b c); " + strings.Repeat("echo \"${a[@]}${a[@]:1}${x:-y}\"; ", 2000), strings.Repeat("a=(b); ", 3000) + strings.Repeat("echo ${a[@]}${a[@]}; ", 2000), strings.Repeat("x=\"${x:-$x$x}\";", 3000),
		"x={a,b,c,d,e,f,g,h}; " + strings.Repeat("echo > $x$x; ", 1000), strings.Repeat("xargs ", 10<<10) + "x", "echo " + strings.Repeat("a ", 20<<10) + "|" + strings.Repeat("xargs ", 100) + "x", strings.Repeat("python3 -c 'x' | ", 5000) + "x", strings.Repeat("a <<E | ", 500) + "b\n" + strings.Repeat("x\nE\n", 500), strings.Repeat("command ", 20<<10) + "x", strings.Repeat("$(echo ", 120) + "x" + strings.Repeat(")", 120), strings.Repeat("x=$(echo $(echo $(echo a$x)) b);", 1000), "echo " + strings.Repeat("$(echo a$(echo b$(echo c$(echo d))))", 200), strings.Repeat("apply_patch <<E\n*** Delete File: a\nE\n", 2000),
	} {
		began := time.Now()
		effects(command)
		if took := time.Since(began); took > 30*time.Second { // none takes one: this is of what would not end, and no measure
			t.Errorf("%d bytes of %.20s… took %v", len(command), command, took)
		}
	}
}

func TestIdentities(t *testing.T) {
	got := effects(`COVENANT_IDENTITY=ada git commit -m x; covenant capability grant --identity=eve`)
	if !slices.Equal(got.As, []string{"ada", "eve"}) {
		t.Errorf("it chooses %q", got.As)
	}
}

// FuzzEffects: no command makes it fail, and what is appended behind a command does not take back what that one does.
func FuzzEffects(f *testing.F) {
	for _, s := range []string{"a[1+2]=x", "a[0]=x", "git commit -n", "echo x > a", "cd a && rm b", "bash -c 'git commit -n'", "f() { :; }", "x=$(a)", "echo $'\\x41'", "{a,b}", "cat <<E\nx\nE", "env -S 'a b'", "find . -exec rm {} ;", "case a in b) c;; esac", "()00", "declare -x a=b", "a | sh", "echo a > b; sh b", "f() { cd a; }; f b", "ln -s a b; echo > b", "sed 's/a/b/w c'", "tar xfC a b", "env -uX a", "${a:=b}", "((a=1))", "for a in b; do c; done", "git fetch a b:c", "curl [x", "curl a@", "ssh -p", "echo >/dev/tcp/a/1", "scp [::1]:a b", "curl $X/y://", "git clone a:b", "nc -l", "curl HTTP://A:1/", "printf '%s' a | sh"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4096 {
			return
		}
		for _, host := range effects(s).Hosts {
			if host == "" || host != agent.HostName(host) || strings.Contains(host, "/") {
				t.Errorf("%q reaches %q", s, host)
			}
		}
		if also := effects("curl https://reached.example\n" + s); !slices.Contains(also.Hosts, "reached.example") && !slices.Contains(also.Hidden, "it is not in the language of bash") && !slices.Contains(also.Online, "more hosts than are counted") {
			t.Errorf("%q behind it hides a host", s)
		}
		both := effects("git commit --no-verify\n" + s)
		if len(both.Around) == 0 && !slices.Contains(both.Hidden, "it is not in the language of bash") {
			t.Errorf("%q behind it hides --no-verify", s)
		}
		if len(both.Around) == 0 {
			t.Errorf("%q behind it, which is no bash, hides --no-verify from the search", s)
		}
	})
}
