package shell_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// choosesAda reports whether it is told that a command acts as somebody else.
func choosesAda(e agent.Effects) bool {
	for _, name := range e.As {
		if name == "ada" {
			return true
		}
	}
	return len(e.Around) > 0
}

// TestBinds: a variable that decides whether, how or as whom the gate is asked is guarded however it gets, or loses, its value.
func TestBinds(t *testing.T) {
	for _, command := range []string{
		`for COVENANT_IDENTITY in ada; do git commit -m x; done`, `select COVENANT_IDENTITY in ada; do git commit -m x; done <<< 1`, `read COVENANT_IDENTITY <<< ada; git commit -m x`, `read -r x COVENANT_IDENTITY <<< "x ada"`, `read -ra COVENANT_IDENTITY <<< ada`,
		`IFS= read -r COVENANT_IDENTITY < f`, `printf -v COVENANT_IDENTITY ada; git commit -m x`, `printf -vCOVENANT_IDENTITY ada`, `: ${COVENANT_IDENTITY:=ada}; git commit -m x`, `echo "${COVENANT_IDENTITY=ada}"`, `mapfile -t COVENANT_IDENTITY <<< ada`, `readarray COVENANT_IDENTITY < f`, `getopts a COVENANT_IDENTITY -a`,
		`export COVENANT_IDENTITY=ada`, `declare -x COVENANT_IDENTITY=ada`, `declare -x "COVENANT_IDENTITY=ada"`, `x=COVENANT_IDENTITY; declare -x "$x=ada"`, `builtin declare -x COVENANT_IDENTITY=ada`, `command export COVENANT_IDENTITY=ada`, `builtin export "COVENANT_IDENTITY=ada"`, `readonly COVENANT_IDENTITY=ada`, `typeset COVENANT_IDENTITY=ada`, `f() { local COVENANT_IDENTITY=ada; git commit; }; f`,
		`declare -n x=COVENANT_IDENTITY; x=ada; git commit -m x`, `declare COVENANT_IDENTITY[0]=ada`, `COVENANT_IDENTITY[0]=ada; git commit -m x`, `COVENANT_IDENTITY+=x`, `COVENANT_IDENTITY=(ada)`, `((COVENANT_IDENTITY=1)); git commit`, `let COVENANT_IDENTITY=1`, `: $((COVENANT_IDENTITY+=1))`, `exec {COVENANT_IDENTITY}>x`, `coproc COVENANT_IDENTITY { :; }`, `wait -p COVENANT_IDENTITY`,
		`export -n COVENANT_IDENTITY; git commit`, `declare +x COVENANT_IDENTITY`, `typeset +x CLAUDECODE`, `declare -u COVENANT_IDENTITY`, `unset COVENANT_IDENTITY`, `unset -v CLAUDECODE`, `builtin unset COVENANT_IDENTITY`, `command unset CLAUDECODE`, `unset -n COVENANT_IDENTITY`, `f() { local CLAUDECODE; git commit; }; f`,
		`env --ignore-env git commit -m x`, `env --ig git commit`, `env -iv git commit`, `env -vi git commit`, `env -0i git commit`, `env - git commit`, `env --uns CLAUDECODE git commit`, `env --unset=COVENANT_IDENTITY git commit`, `env -vuCLAUDECODE git commit`, `env -vu CLAUDECODE git commit`, `env --spl="git commit -n"`, `env -vS'git commit -n'`, `env -a x -i git commit`, `env COVENANT_IDENTITY=ada git commit`, `env -- COVENANT_IDENTITY=ada git commit`,
		`exec -c git commit`, `exec -lc git commit`, `exec -cl git commit`, `exec -a git -c git commit`, `exec -la x git commit -n`, `exec -a x git commit -n`, `command exec -c git commit`,
		`mapfile -C 'git commit -n' -c 1 x < f`, `mapfile -C'git commit -n' -c 1 x < f`, `sudo COVENANT_IDENTITY=ada git commit`, `while read COVENANT_IDENTITY; do git commit; done < f`,
		`f() { declare -x CLAUDECODE; git commit; }; f`, `unset ${!CLAUDE*}`, `unset $X`, `export "$(echo COVENANT_IDENTITY)=ada"`, `x=COVENANT; export "${x}_$(echo IDENTITY)=ada"; : COVENANT_IDENTITY`, `env "$(echo COVENANT_IDENTITY)=ada" git commit`, `env $(echo COVENANT_IDENTITY=ada) git commit`, `setpriv --reset-env git commit`, `set -- COVENANT_IDENTITY; read $1 <<< ada`, `sh -c 'COVENANT_IDENTITY=$0 git commit' ada`, `xargs env -i git commit`,
		`read "$X" <<< ada; : COVENANT_IDENTITY`, `unset "${X}CODE" CLAUDECODE`,
	} {
		if got := effects(command); !choosesAda(got) {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
}

// TestOtherHome: what moves Git, or us, to other settings turns hooks and identities off.
func TestOtherHome(t *testing.T) {
	for _, command := range []string{
		`HOME=/x git commit -m x`, `HOME= git commit`, `HOME=$X git commit`, `export HOME=/x; git commit`, `export HOME=/x`, `XDG_CONFIG_HOME=/x git commit`, `env XDG_CONFIG_HOME=/x git commit`, `env HOME=/x sh -c 'git commit'`, `HOME=/x sh script.sh`, `unset HOME; git commit`, `env -u HOME git commit`, `env -u XDG_CONFIG_HOME git commit`, `HOME=/x covenant identity new y`,
		`GIT_CONFIG_GLOBAL= git commit`, `GIT_CONFIG_SYSTEM=/x git commit`, `GIT_CONFIG_NOSYSTEM=1 git commit`, `unset GIT_CONFIG_GLOBAL`, `GIT_DIR=/x git commit`, `export GIT_DIR=/x`, `GIT_COMMON_DIR=/x git commit`, `git --git-dir=/x commit -m x`, `git --git-dir /x commit -m x`, `read HOME <<< /x; git commit`, `for GIT_DIR in /x; do git commit; done`, `GIT_CONFIG_KEY_12=x`,
		`sudo git commit -m x`, `sudo -H -u root git commit`, `su -c 'git commit -m x'`, `doas git commit -m x`, `systemd-run git commit`, `echo 'git commit' | at now`,
	} {
		if got := effects(command); len(got.Around) == 0 {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
	for _, command := range []string{`HOME=/h git commit -m x`, `HOME=/tmp/x go test ./...`, `export HOME=/h && go test ./...`, `HOME=$(mktemp -d) npm test`, `HOME=/x git status`, `git --git-dir=/x log`, `unset GIT_DIR`, `sudo apt install git`, `XDG_CONFIG_HOME=/x go build`, `sudo git log`, `env GOFLAGS=-mod=mod go test`, `read -r a b < f`, `declare -p COVENANT_IDENTITY`, `export COVENANT_IDENTITY`, `printf -v x %s y`, `echo ${COVENANT_IDENTITY:-none}`, `echo $COVENANT_IDENTITY`, `[ -n "$CLAUDECODE" ]`} {
		if got := effects(command); len(got.Around) > 0 {
			t.Errorf("%s is taken for going around: %q", command, got.Around)
		}
	}
}

// TestRefspecs: a pattern that reaches our refs is a way to write or to remove them, whatever it is spelled like.
func TestRefspecs(t *testing.T) {
	for _, command := range []string{
		`git fetch -p . '+refs/none/*:refs/cov*'`, `git fetch --prune . '+refs/none/*:refs/cov*'`, `git fetch . '+refs/none/*:refs/*'`, `git fetch . 'refs/heads/*:refs/n*'`, `git fetch . 'refs/x/*:refs/notes/c*t'`, `git fetch . '+*:*'`, `git fetch . 'refs/*:refs/*'`, `git fetch -p . 'refs/heads/*:refs/covenant/*'`,
		`git pull . '+refs/none/*:refs/co*'`, `git push . x:refs/covenant/trust/root`, `git push . 'refs/heads/*:refs/cov*'`, `git push . :covenant/trust/root`, `git push . :notes/covenant`, `git push -d . covenant/trust/root`, `git push --delete origin notes/covenant`, `git push origin '+refs/*:refs/*'`, `git push origin 'refs/*'`, `git push origin +refs/cov*:refs/cov*`, `git push --mir`, `git push --mirror origin`, `git push --prune origin`, `git push --pru origin`,
		`git remote add --mirror=fetch x .`, `git remote add --mirror x .`, `git remote add --mir=push x .`, `git config remote.origin.fetch '+refs/*:refs/*'`, `git config --add remote.origin.push +refs/x:refs/covenant/x`, `git config remote.origin.mirror true`, `git -c remote.origin.fetch='+refs/x/*:refs/cov*' fetch -p`, `git -c remote.origin.mirror=1 push`, `git fetch --refmap '+refs/x/*:refs/cov*' origin x`, `git fetch --refmap='+refs/x/*:refs/cov*' origin x`,
		`git fetch --stdin . < f`, `git fetch -p . "+refs/none/*:$X"; : refs/covenant`, `git remote set-branches x 'y'; git fetch . refs/x:refs/notes/covenant`, `x=cov; git fetch -p . "+refs/none/*:refs/$x*"`, `git fetch . refs/x:refs/COVENANT/x`, `git send-pack . :refs/covenant/trust/root`, `git send-pack --mirror .`, `git http-push -D x y`,
		`git symbolic-ref refs/covenant/x refs/heads/y`, `git reflog delete refs/covenant/trust/root@{0}`, `git pull --prune . 'refs/y/*:refs/cov*'`, `git clone --mirror . x; git -C x push --mirror`,
	} {
		if got := effects(command); len(got.Around) == 0 {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
	for _, command := range []string{
		`git fetch origin`, `git fetch -p origin`, `git fetch --all --prune`, `git fetch origin '+refs/heads/*:refs/remotes/origin/*'`, `git fetch origin main:main`, `git fetch origin pull/12/head:pr-12`, `git fetch origin '+refs/pull/*/head:refs/remotes/origin/pr/*'`, `git push origin HEAD`, `git push -u origin agent/x`, `git push origin :old`, `git push --tags`, `git push --all`, `git push origin 'refs/heads/*:refs/heads/*'`, `git push --force-with-lease origin x`,
		`git pull --rebase`, `git pull origin main`, `git remote add x https://h/x.git`, `git remote -v`, `git remote prune origin`, `git clone --mirror https://h/x.git /tmp/x`, `git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'`, `git tag -d v1`, `git fetch --tags`, `git push origin v1.0`, `git ls-remote . 'refs/cov*'`, `git for-each-ref 'refs/cov*'`,
	} {
		if got := effects(command); len(got.Around) > 0 {
			t.Errorf("%s is taken for going around: %q", command, got.Around)
		}
	}
}

// writes tells which paths a command would write.
func writes(command string) []string {
	var out []string
	for _, w := range effects(command).Writes {
		out = append(out, path.Clean(w.Path))
	}
	return out
}

// TestPlaces: what is written is found where the shell is, or may be, and through the links that the command makes itself.
func TestPlaces(t *testing.T) {
	for command, want := range map[string]string{
		`command cd sub && echo > a`: "/w/sub/a", `builtin cd sub && echo > a`: "/w/sub/a", `cd .. && cd nowhere; echo > a`: "/a", `cd .. && cd nowhere; echo > b; echo > a`: "/nowhere/a", `! cd sub; echo > a`: "/w/sub/a", `! cd sub && echo > a`: "/w/a", `cd sub || echo > a`: "/w/a", `if cd sub; then echo > a; fi`: "/w/sub/a", `if cd sub; then :; else echo > a; fi`: "/w/a",
		`env -C sub touch a`: "/w/sub/a", `env --chdir=sub touch a`: "/w/sub/a", `env --chd sub touch a`: "/w/sub/a", `env -vC sub touch a`: "/w/sub/a", `pushd sub; popd; echo > a`: "/w/a", `pushd sub && cd /x && popd && echo > a`: "/w/sub/a", `cd sub && cd - && echo > a`: "/w/a", `(cd sub); echo > a`: "/w/a", `cd -P -- sub && echo > a`: "/w/sub/a", `f() { echo > a; }; cd sub && f`: "/w/sub/a", `f() { cd sub; }; f && echo > a`: "/w/sub/a",
		`f() { echo > "$1"; }; f a`: "/w/a", `f() { shift; touch "$@"; }; f x a`: "/w/a", `set -- a; echo > $1`: "/w/a", `bash -c 'echo > "$1"' x a`: "/w/a", `cd() { :; }; cd sub && echo > a`: "/w/a", `while cd ..; do :; done; echo > a`: "/w/a", `echo x | cd sub; echo > a`: "/w/a", `cd sub & echo > a`: "/w/a", `case x in x) cd sub;; esac; echo > a`: "/w/sub/a", `{ cd sub; }; echo > a`: "/w/sub/a", `pushd -n sub; echo > a`: "/w/a",
		`ln -s ../README.md src/l && echo > src/l`: "/w/README.md", `ln -s .. src/up; echo > src/up/README.md`: "/w/README.md", `ln -s ../.git/hooks src/h && echo > src/h/pre-commit`: "/w/.git/hooks/pre-commit", `ln -st src ../d; echo > src/d/a`: "/w/d/a", `ln --symbolic --target-directory=src ../d; echo > src/d/a`: "/w/d/a", `ln -s /x y && cd y && echo > a`: "/x/a", `ln -sr README.md src/l; echo > src/l`: "/w/README.md", `cp -s /w/README.md src/l; echo > src/l`: "/w/README.md", `cd src && ln -s ../d && echo > d/a`: "/w/d/a",
		`ln README.md src/l`: "/w/README.md", `link README.md src/l`: "/w/README.md", `cp -al .git x`: "/w/.git", `cp -l .git/config x`: "/w/.git/config", `cp --link README.md x`: "/w/README.md", `cp -rl .git x`: "/w/.git", `ln -t x README.md`: "/w/README.md", `ln -tx README.md`: "/w/README.md", `ln -s .git/hooks x`: "/w/.git/hooks", `ln -sf ../.git/config src/x`: "/w/.git/config",
	} {
		if got := writes(command); !slices.Contains(got, want) {
			t.Errorf("%s writes %q, not %q", command, got, want)
		}
	}
	for command, not := range map[string]string{`cd sub && echo > a`: "/w/a", `cd sub || exit; echo > a`: "/w/a", `(cd sub && echo > b); echo > a`: "/w/sub/a", `cd sub && true && echo > a`: "/w/a", `if cd sub; then echo > a; fi`: "/w/a"} {
		if got := writes(command); slices.Contains(got, not) {
			t.Errorf("%s writes %q", command, got)
		}
	}
	for _, command := range []string{`CDPATH=/x; cd sub && echo > a`, `CDPATH=/x cd sub && echo > a`, `export CDPATH=/x; cd sub && echo > a`, `popd; echo > a`, `cd -; echo > a`, `for i in 1 2; do cd ..; done; echo > a`, `ln -s $X y; echo > y/a`} {
		if got := effects(command); len(got.Hidden) == 0 {
			t.Errorf("%s hides nothing: %+v", command, got)
		}
	}
}

// TestShifting: what is another file for each process is not looked at in ours.
func TestShifting(t *testing.T) {
	for _, command := range []string{
		`exec 3< .; echo > /dev/fd/3/README.md`, `echo > /proc/self/cwd/README.md`, `echo > /proc/$$/cwd/README.md`, `echo > /proc/${PPID}/cwd/README.md`, `tee //proc/self/cwd/README.md`, `cp x /proc/self/cwd/README.md`, `cd /proc/self/cwd && echo > README.md`, `cd /proc/$$/cwd; echo > README.md`, `ln -s /proc/self/cwd x`, `echo > /w/../proc/self/cwd/x`, `echo > /proc/1/root/w/x`, `sed -i s/a/b/ /dev/fd/3/x`,
	} {
		if got := effects(command); len(got.Around) == 0 {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
	for _, command := range []string{`cat /proc/cpuinfo`, `echo x > /dev/fd/2`, `echo x >&2`, `tee /proc/self/fd/1`, `diff <(a) <(b)`, `ls /proc/self/fd`} {
		if got := effects(command); len(got.Around) > 0 {
			t.Errorf("%s is taken for going around: %q", command, got.Around)
		}
	}
}

// TestUnwalked: commands stand in many places of a command line.
func TestUnwalked(t *testing.T) {
	for _, command := range []string{
		`a[$(git update-ref refs/heads/main x)]=1`, `declare a[$(git commit -n)]=1`, `case x in $(git commit -n)) :;; esac`, `case $(git commit -n) in x) :;; esac`, `trap -- 'git commit -n' EXIT`, `trap 'git commit -n' 0 1 2`, `x='$(git commit -n)'; echo "${x@P}"`, `test -v 'a[$(git commit -n)]'`, `[[ -v 'a[$(git commit -n)]' ]]`, `: $((a[$(git commit -n)]))`, `for ((i=$(git commit -n);;)); do :; done`,
		`bash -co pipefail 'git commit -n'`, `bash -oc pipefail 'git commit -n'`, `bash -ec 'git commit -n'`, `bash -euo pipefail -c 'git commit -n'`, `bash -euxo pipefail -c 'git commit -n'`, `bash +x -c 'git commit -n'`, `bash --norc -c 'git commit -n'`, `sh -xc 'git commit -n'`, `sh -c -- 'git commit -n'`, `bash -c 'git commit "$@"' x -n`, `bash -s -- -n <<< 'git commit "$1"'`,
		`perl -we 'system("git commit --no-verify")'`, `perl -nle 'print "refs/covenant"'`, `awk 'BEGIN{system("git commit --no-verify")}'`, `gawk -e 'BEGIN{system("git commit --no-verify")}'`, `python3 -Ic 'import os; os.environ["COVENANT_IDENTITY"]="ada"'`, `python3.12 -c "open('.git/hooks/pre-commit','w')"`, `ruby -we 'ENV.delete("CLAUDECODE")'`, `echo 'import os; os.system("git commit --no-verify")' | python3`, `python3 - <<< 'open("refs/covenant", "w")'`, "python3 <<E\nx='.git/hooks'; f(open(x, 'w'))\nE", "cat <<E | python3\nimport x\nx.y('refs/notes/covenant')\nE",
		`sed 1e x`, `sed '1egit commit -n' f`, `sed 's/x/git commit -n/e' f`, `sed -n '$e git commit -n' f`, `sed 's,x,git update-ref,e' f`, `sed -e '1!{s/x/y/' -e 'e git commit -n' -e '}' f`,
		`git submodule foreach git commit -n`, `git submodule foreach --recursive 'git commit -n'`, `git submodule --quiet foreach 'git commit -n'`, `git rebase -x'git commit -n' main`, `git rebase -ix 'git commit -n' main`, `git rebase --exec='git commit -n' main`, `git rebase --exe 'git commit -n' main`, `git bisect run sh -c 'git commit -n'`, `git fetch --upload-pack='git commit -n' .`, `git ls-remote --upload-pack 'git commit -n' .`, `git clone -u 'git commit -n' . x`, `git push --receive-pack='git commit -n' .`, `git grep -O'git commit -n' x`, `git difftool -yx 'git commit -n'`, `git for-each-repo --config=x commit -n`,
		`git -c pager.log='git commit -n' log`, `git -c diff.x.textconv='git commit -n' diff`, `git config filter.x.clean 'git commit -n'`, `git -c submodule.x.update='!git commit -n' submodule update`, `git archive --exec='git commit -n' --remote=. x`,
		`printf 'git %s' 'commit -n' | sh`, `printf '%s\n' 'git commit -n' | bash`, `echo -e 'git\x20commit\x20-n' | sh`, `(echo git commit -n) | sh`, `{ echo :; echo git commit -n; } | sh`, `echo 'git commit -n' | tee x | sh`, `echo 'git commit -n' | cat | sh`, "cat <<E | sh\ngit commit -n\nE", `echo commit -n | xargs git`, `printf -- -n | xargs git commit -m x`, `sh < <(echo git commit --no-verify)`,
		`echo 'git commit -n' > x.sh; sh x.sh`, `echo 'git commit -n' > x.sh && chmod +x x.sh && ./x.sh`, "cat > x.sh <<E\ngit commit -n\nE\nbash x.sh", "tee x.sh <<E\ngit commit -n\nE\n. ./x.sh", `echo 'git commit -n' | tee x.sh; sh x.sh`, `echo 'refs/covenant' > x.py; python3 x.py`, `echo 'git commit "$1"' > x.sh; sh x.sh -n`, `echo 'git commit -n' > x.sh; sh < x.sh`, `echo 'git commit -n' > x.sh; cat x.sh | sh`,
		`f() { git commit "$1"; }; f -n`, `f() { git commit "$@"; }; f -m x -n`, `g() { git "$@"; }; g commit -n`, `set -- -n; git commit "$@"`, `man -P 'git commit -n' x`, `rg --pre 'git commit -n' x`, `script -qc 'git commit -n' /dev/null`, `flock x -c 'git commit -n'`, `split --filter='git commit -n' x`, `tar --to-command='git commit -n' -xf x`, `tar -I 'git commit -n' -cf x y`, `tar --checkpoint=1 --checkpoint-action=exec='git commit -n' -cf x y`, `sort --compress-program='git commit -n' x`, `rsync -e 'git commit -n' x h:y`,
		`xargs -I{} git commit {} --no-verify`, `find . -execdir git commit -n \;`, `git update-index --assume-unch x`, `git update-index --skip-w x`, `git commit -Sm -n`, `git commit -Skey -n`, `git commit -um -n`, `git commit -vn -m x`, `git commit -m x -qn`, `git commit -m x --no-v`, `git -c core.editor='git commit -n' commit`, `time -p git commit -n`, "alias g=git\ng commit -n", `alias g=git; g commit -n`, `alias g='git commit'; g -n`, `hash -p /usr/bin/git g; g commit -n`, `$SHELL -c 'git commit -n'`, `"$SHELL" <<< 'git commit -n'`, `echo 'git commit -n' | $SHELL`, `${SHELL:-sh} -c 'git commit -n'`, `tmux new-session -d 'git commit -n'`, `npx -c 'git commit -n'`, `nix-shell --run 'git commit -n'`, `ssh localhost git commit -n`, `ssh -p 22 u@127.0.0.1 'git commit -m x'`, `ssh -o ProxyCommand='git commit -n' h`, `. <(echo git commit -n)`, `sh <(echo git commit -n)`, `source <(printf 'git %s' 'commit -n')`, `sh < <(echo git commit -n)`, `=git commit -n`, `noglob git commit -n`, `git worktree add x; cd x && git commit -n`, `git init --template=/x`, `git init --separate-git-dir=x`,
	} {
		if got := effects(command); len(got.Around) == 0 && !slices.Contains(got.Hidden, "what a script of sed runs") {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
}

// TestMention: what is guarded is not to be named to a program that may do anything with it; to one that only reads it may.
func TestMention(t *testing.T) {
	for _, command := range []string{
		`make COVENANT_IDENTITY=ada commit`, `docker run -e COVENANT_IDENTITY=ada x`, `foo --no-verify`, `npm publish -- --no-verify`, `foo refs/covenant/x`, `foo .git/hooks/pre-commit`, `foo --config=core.hooksPath`, `foo < <(echo x) .claude/settings.json`, `python3 x.py .git/covenant`, `sh x.sh refs/notes/covenant`, `. ./x COVENANT_IDENTITY`, `foo <<< refs/covenant`, "foo <<E\nCOVENANT_IDENTITY=ada\nE",
		`echo refs/covenant | foo`, `x=refs/covenant; python3 -c "$y"`, `export X=--no-verify; python3 -c 'import os, x'`, `gh api -X DELETE repos/o/r/git/refs/covenant/x`, `xargs foo refs/covenant`, `foo "--no-"'verify'`, `python3 -c "import x; '--no-''verify'"`, `awk 'BEGIN{print "x" > ".git/hooks/pre-commit"}'`, `foo CLAUDECODE`, `perl -e 'delete $ENV{CLAUDECODE}'`, `ex -c 'w .git/hooks/x' f`,
	} {
		if got := effects(command); len(got.Around) == 0 {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
	for _, command := range []string{
		`grep -rn COVENANT_IDENTITY docs`, `git commit -m "about core.hooksPath"`, `git commit -am 'refs/covenant is where it is, and --no-verify is refused'`, `git tag -a v1 -m 'refs/covenant'`, `echo refs/covenant`, `cat .git/hooks/pre-commit`, `go test ./...`, `git log refs/notes/covenant`, `ls .git/hooks`, `head -n 3 .claude/settings.json`, `rg -n 'refs/covenant' docs | head`, `git grep COVENANT_IDENTITY`, `git log --grep=core.hooksPath`, `git diff -- .git/hooks`,
		`grep -rn COVENANT_IDENTITY docs | awk '{print $1}'`, `grep -rln refs/covenant . | xargs grep -n core.hooksPath`, `sed -n '/refs\/covenant/,/^$/p' docs/x.md`, `sed -n '/core.hooksPath/p' f`, `sed -i 's/COVENANT_IDENTITY/X/g' docs/x.md`, `grep COVENANT_IDENTITY f | sort | uniq -c | sort -rn`, `cat .claude/settings.json | jq .hooks`, `cat .claude/settings.json | python3 -m json.tool`, "cat > docs/x.md <<'E'\nrefs/covenant and --no-verify\nE", `diff .git/hooks/pre-commit x`, `find . -name '*.go' -exec grep -l COVENANT_IDENTITY {} +`,
		"git commit -m \"$(cat <<'E'\nhooks: about --no-verify and refs/covenant\nE\n)\"", `gh pr create --title x --body 'refs/covenant, core.hooksPath'`, `[ -f .git/hooks/pre-commit ] && echo yes`, `test -n "$CLAUDECODE"`, `wc -l .git/hooks/*`, `printf '%s\n' refs/covenant`, `for f in docs/*; do grep -c core.hooksPath "$f"; done`, `timeout 5 grep -rn COVENANT_IDENTITY .`, `ssh -i ~/.ssh/id host`, `echo "$COVENANT_IDENTITY" | tr a-z A-Z`, `while IFS= read -r f; do grep -n refs/covenant "$f"; done < list`, `python3 x.py && git commit -m 'about refs/covenant'`, `bash script.sh && grep COVENANT_IDENTITY docs`,
		`node build.js --out=dist/x`, `make -C sub test`, `curl -fsSL https://h/x | tar -xz -C /tmp/x`, `docker compose up -d`, `npm run build && git add -A && git commit -m 'build'`,
	} {
		if got := effects(command); len(got.Around) > 0 {
			t.Errorf("%s is taken for going around: %q", command, got.Around)
		}
	}
}

// TestWriteOptions: a file that is written is found in any spelling of the option that names it.
func TestWriteOptions(t *testing.T) {
	for command, want := range map[string]string{
		`sort -uo a b`: "/w/a", `sort -uoa b`: "/w/a", `sort --out=a b`: "/w/a", `sort --output a b`: "/w/a", `sort -t, -k2 -o a b`: "/w/a", `shuf -o a b`: "/w/a", `uniq a b`: "/w/b", `cp -t.git/hooks x`: "/w/.git/hooks", `cp -ft .git/hooks x`: "/w/.git/hooks", `cp --target=.git/hooks x`: "/w/.git/hooks", `mv -t d a`: "/w/d", `install -Dm755 x a`: "/w/a", `install -t d x`: "/w/d", `install -d a`: "/w/a",
		`sed 'w a' f`: "/w/a", `sed -n 's/x/y/gw a' f`: "/w/a", `sed '1,3w a' f`: "/w/a", `sed -n '/x/{p;w a
}' f`: "/w/a", `sed -e p -e 'w a' f`: "/w/a", `sed wa f`: "/w/a", `sed --expr='w a' f`: "/w/a", `sed '1!w a' f`: "/w/a", `sed -Ei.bak s/a/b/ f`: "/w/f", `sed -ni p f`: "/w/f", `sed --in-pl s/a/b/ f`: "/w/f", `sed -s -i -- s/a/b/ f`: "/w/f",
		`curl -fsSLo a u`: "/w/a", `curl -fsSLoa u`: "/w/a", `curl --output=a u`: "/w/a", `curl -sD a u`: "/w/a", `curl -O http://h/a`: "/w/a", `curl -fsSLO http://h/a`: "/w/a", `curl --output-dir d -O http://h/a`: "/w/d/a", `curl --trace a u`: "/w/a", `wget -qO a u`: "/w/a", `wget -qOa u`: "/w/a", `wget --output-doc=a u`: "/w/a", `wget -P d http://h/a`: "/w/d/a", `wget -o a u`: "/w/a",
		`git diff --output=a`: "/w/a", `git diff --output a`: "/w/a", `git log --outp=a`: "/w/a", `git format-patch -o a HEAD~1`: "/w/a", `git format-patch --output-dir=a HEAD~1`: "/w/a", `git archive -o a HEAD`: "/w/a", `git archive -oa HEAD`: "/w/a", `git archive --out a HEAD`: "/w/a", `git bundle create a HEAD`: "/w/a", `git --work-tree=a checkout x`: "/w/a", `git checkout-index --prefix=a/ -a`: "/w/a", `git worktree add a`: "/w/a", `git clone u a`: "/w/a", `git config -f a x.y z`: "/w/a", `git fast-export --export-marks=a`: "/w/a", `GIT_TRACE=/w/a git status`: "/w/a", `GIT_WORK_TREE=a git checkout x`: "/w/a",
		`tar -xf x -C a`: "/w/a", `tar -xfx -Ca`: "/w/a", `tar xfC x a`: "/w/a", `tar xzf x --directory=a`: "/w/a", `tar xzf x --dir a`: "/w/a", `tar -czf a b`: "/w/a", `tar cf a b`: "/w/a", `tar --create --file=a b`: "/w/a", `tar -x -f x a`: "/w/a", `tar -g a -cf x y`: "/w/a", `unzip -d a x`: "/w/a", `unzip x -d a`: "/w/a", `unzip -oda x`: "/w/a", `rsync -av x a`: "/w/a", `rsync --log-file=a x y`: "/w/a", `rsync --remove-source-files a b`: "/w/a", `patch -o a x`: "/w/a", `patch a < x`: "/w/a", `patch -d d a`: "/w/d/a", `zip a b`: "/w/a", `gzip a`: "/w/a", `gunzip a.gz`: "/w/a", `xxd -r x a`: "/w/a", `tree -o a`: "/w/a", `ssh-keygen -qf a`: "/w/a",
		`cat > "$(git rev-parse --git-dir)/hooks/x"`: "/w/.git/hooks/x", `rm $(git rev-parse --git-path hooks)/x`: "/w/.git/hooks/x", "rm `git rev-parse --git-common-dir`/hooks/x": "/w/.git/hooks/x", `cd sub && chmod -x $(git rev-parse --git-path hooks/x)`: "/w/sub/.git/hooks/x",
		"rm a # " + strings.Repeat("(", 300): "/w/a", "# " + strings.Repeat("{", 300) + "\nrm a": "/w/a", "rm a # " + strings.Repeat("x", 200<<10): "/w/a", "apply_patch <<'E'\n*** Begin Patch\n*** Update File: a\n@@\n-x\n+y\n*** End Patch\nE": "/w/a", "apply_patch '*** Begin Patch\n*** Delete File: a\n*** End Patch'": "/w/a", "cd sub && applypatch <<'E'\n*** Add File: a\n+y\nE": "/w/sub/a", "git apply <<'E'\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\n+y\nE": "/w/a", "patch -p1 <<'E'\n--- a/x\n+++ b/a\nE": "/w/a", "git apply - <<< 'rename to a'": "/w/a", `rm "$(echo a)"`: "/w/a", `rm $(printf '%s' a)`: "/w/a",
		`unshare -U rm a`: "/w/a", `sudo -u x rm a`: "/w/a", `timeout 5 rm a`: "/w/a", `touch -d now a`: "/w/a", `touch --date=now a`: "/w/a", `truncate -s0 a`: "/w/a", `chmod --reference=x a`: "/w/a", `chmod -R 644 a`: "/w/a", `perl -i -pe s/a/b/ f`: "/w/f", `perl -i.bak -pe s/a/b/ f`: "/w/f", `perl -pie s/a/b/ f`: "/w/f", `gawk -i inplace 1 f`: "/w/f", `strace -o a true`: "/w/a", `script a`: "/w/a", `yq -i .x a`: "/w/a", `git checkout x -- a`: "/w/a", `git restore --source=x a`: "/w/a", `cd a && foo x`: "/w/a", `git clean -fd a`: "/w/a", `mv x a`: "/w/a", `mkfifo a`: "/w/a", `iconv -o a b`: "/w/a", `foo --out=a/b`: "/w/a/b",
	} {
		if got := writes(command); !slices.Contains(got, want) {
			t.Errorf("%s writes %q, not %q", command, got, want)
		}
	}
}

// TestStartedOtherwise: what a command of Git's or of ours does is found behind options, and behind variables that are named and not read.
func TestStartedOtherwise(t *testing.T) {
	for _, command := range []string{
		`X="git commit --no-verify -qm past src; true" git --config-env=diff.external=X diff`, `X="git commit --no-verify; true" git --config-env core.editor=X commit`, `X=y git --config-env=core.hooksPath=X commit -m x`, `X=y git --config-env=alias.c=X c`, `X=y git --config-env=remote.o.mirror=X push o`,
		`covenant hooks --agent claude-code uninstall`, `covenant --agent claude-code hooks uninstall`, `covenant hooks uninstall`, `covenant hooks --strict=false install`, `covenant hooks exec --agent generic stop`, `covenant hooks --agent generic exec stop`, `covenant --x identity use ada`, `covenant identity --worktree use ada`, `covenant disable`, `ssh -o 'ProxyCommand git commit -n' h`, `ssh h -o ProxyCommand='git commit -n' true`, `scp -o 'LocalCommand=git commit -n' x h:`, `socat EXEC:'git commit -n' -`, `ncat -c 'git commit -n' -l 80`, `RSYNC_RSH='git commit -n' rsync x h:`, `GIT commit -n`, `git${IFS}commit${IFS}-n`, `git$IFS"commit"$IFS-n`, `bash -c 'git commit $0' -n`, `xargs -a <(printf %s -n) git commit`, `python3 -c 'import subprocess as s; s.run(["git","commit","-n"])'`, `python3 -c "import os; os.execvp('git', ['git', 'commit', '-n'])"`, `node -e 'f("git", ["update-ref", "x", "y"])'`, `ruby -e 'system("git","commit","-n")'`, `crontab <<< '* * * * * git commit'`, `ssh 127.1 git commit -m x`, `ssh [::1] git commit -m x`, `less '+!git commit -n' x`, `zip x y -T -TT 'git commit -n'`, `LESSOPEN='|git commit -n %s' less x`, `git commit "$(echo --no-verify)"`, `git commit $(printf %s -n)`, `$(echo git) commit -n`, `git $(echo commit) -n`, `eval "$(echo git commit -n)"`, "bash -c \"$(cat <<'E'\ngit commit -n\nE\n)\"", `X=$(printf %s -n); git commit $X`, `git commit "$(printf %s $(printf %s -n))"`, `. /dev/stdin <<< 'git commit -n'`, `bash /dev/fd/0 <<< 'git commit -n'`, `source /dev/stdin < <(echo git commit -n)`, `unshare -U git commit -n`, `parallel -u git commit {} ::: -n`, `sudo -u git git commit -m x`, `git config --rename-section core x`, `git config remove-section core`, `git config --remove-section Hook`, `git --namespace=x commit -m x`, `git --namespace x commit -m x`, `git hash-object -t commit -w x`, `git hash-object -wt commit --stdin`, `covenant --refs disable`, `covenant-hook post-commit`, `covenant-agent-hook codex stop`,
		`GIT_NAMESPACE=x git commit -m x`, `GIT_TEMPLATE_DIR=x git commit -m x`, `PRE_COMMIT_ALLOW_NO_CONFIG=1 git commit -m x`, `HUSKY_SKIP_HOOKS=1 git commit -m x`, `LEFTHOOK_EXCLUDE=all git commit -m x`,
	} {
		if got := effects(command); len(got.Around) == 0 {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
	for _, command := range []string{
		`X=y git --config-env=http.extraHeader=X fetch`, `git config --remove-section alias`, `crontab -l`, `python3 -c 'import subprocess; subprocess.run(["git","commit","-m","x"]); print("-n")'`, `echo a${IFS}b`, `bash -c 'echo $0' -n`, `less +G x`, `git config core.editor vi`, `git hash-object -w x`, `git hash-object x`, `covenant hooks status`, `covenant hooks status --agent codex`, `covenant audit append -m 'hooks install'`, `covenant identity show coder`, `covenant-hook version`, `a[1+2]=x; echo "${a[@]}"`, `a[i+1]=x; a[0]=y`,
	} {
		if got := effects(command); len(got.Around) > 0 {
			t.Errorf("%s is refused: %v", command, got.Around)
		}
	}
}
