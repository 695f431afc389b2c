package shell_test

import (
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
