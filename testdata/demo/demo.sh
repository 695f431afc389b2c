#!/bin/sh
# Tells the story of Covenant on a terminal, in a repository and a home of its own:
# governance, a person's and an agent's commit, verification, and forgeries refused.
# usage: demo.sh [BIN]   (the folder with the programs; else they are on PATH)
set -eu

bin=$(cd "${1:-$(dirname "$(command -v covenant)")}" && pwd)
dir=$(mktemp -d "${TMPDIR:-/tmp}/covenant-demo.XXXXXX")
trap 'rm -rf "$dir"' EXIT INT TERM

export PATH="$bin:$PATH" HOME="$dir/home" XDG_CONFIG_HOME="$dir/home/.config" GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
unset CLAUDECODE CLAUDE_CODE_ENTRYPOINT CODEX_SANDBOX CODEX_THREAD_ID CODEX_CI CURSOR_AGENT GEMINI_CLI COPILOT_AGENT OPENCODE AI_AGENT COVENANT_AGENT \
	COVENANT_IDENTITY COVENANT_ROOT SSH_AUTH_SOCK GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE 2>/dev/null || :
mkdir -p "$HOME"

bold= plain=
if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi
step() { printf '\n%s%s%s\n' "$bold" "# $*" "$plain"; }
run() { printf '$ %s\n' "$*"; "$@"; }
# refused COMMAND…: the command must answer no, which is exit code 1.
refused() {
	printf '$ %s\n' "$*"
	code=0
	"$@" || code=$?
	if [ "$code" != 1 ]; then
		echo "demo: exit code $code where a refusal, 1, was due" >&2
		exit 3
	fi
	echo "  -> exit code 1: refused"
}

git config --global user.name "Ada Lovelace"
git config --global user.email ada@example.com
git config --global init.defaultBranch main

step "A repository with a past"
run git init -q "$dir/repo"
cd "$dir/repo"
echo 'print("hello")' >hello.py
git add hello.py
run git commit -q -m "Say hello"

step "A person puts it under governance, and commits as always"
run covenant init --operator ada
echo 'print("hello, world")' >hello.py
run git commit -q -a -m "Greet the world"

step "An agent gets an identity of its own, with the person accountable"
run covenant identity new coder --kind agent
printf 'def test_hello():\n    assert True\n' >test_hello.py
git add test_hello.py
echo '$ COVENANT_IDENTITY=coder git commit -q -m "Add a test"'
COVENANT_IDENTITY=coder git commit -q -m "Add a test"

step "Anybody with a clone can verify, offline"
run covenant verify
run covenant show
run covenant blame test_hello.py

step "The person says what the agent may do, and the agent does no more"
run covenant capability grant --to coder --action repo.commit --path 'tests/**' --expires 8h
echo 'import backdoor' >>hello.py
git add hello.py
COVENANT_IDENTITY=coder
export COVENANT_IDENTITY
refused git commit -q -m "Greet the world"
unset COVENANT_IDENTITY
refused covenant capability explain --as coder --action repo.commit --path hello.py
run git reset -q --hard

step "Forgery 1: a commit past the hooks"
good=$(git rev-parse HEAD)
echo 'import backdoor' >>hello.py
run git -c core.hooksPath=/dev/null -c hook.covenant-pre-commit.enabled=false -c hook.covenant-commit-msg.enabled=false -c hook.covenant-post-commit.enabled=false commit -q -a -m "Greet the world"
refused covenant verify -q
run git reset -q --hard "$good"

step "Forgery 2: somebody else's seal under a commit of one's own"
bad=$(git commit-tree -p HEAD~1 -m "Add a test" "HEAD~1^{tree}")
git notes --ref=covenant copy "$good" "$bad"
run git update-ref refs/heads/main "$bad"
refused covenant verify -q
run git update-ref refs/heads/main "$good"
git notes --ref=covenant remove "$bad" 2>/dev/null

step "Forgery 3: the record itself rolled back"
ledger=$(git for-each-ref --sort=-committerdate --count=1 --format='%(refname)' 'refs/covenant/ledger/provenance/*')
for l in $(git for-each-ref --format='%(refname)' 'refs/covenant/ledger/provenance/*'); do
	if git log -1 --format=%s "$l" | grep -q coder; then ledger=$l; fi
done
tip=$(git rev-parse "$ledger")
run git update-ref "$ledger" "$tip~2"
refused covenant verify -q
run git update-ref "$ledger" "$tip"

step "Put right, it verifies again"
run covenant verify
