package shell_test

import (
	"slices"
	"testing"
)

// TestExpansions: values that the command itself gives are read, however they come to be words.
func TestExpansions(t *testing.T) {
	for _, command := range []string{
		`git commit -${N:-n} -m x`, `git commit -${N-n} -m x`, `git commit -${N:=n} -m x`, `N=1; git commit -${N:+n} -m x`, `git commit ${N:---no-verify}`, `N=nx; git commit -${N%x} -m x`, `N=xn; git commit -${N#x} -m x`, `N=n; git commit -${N:?} -m x`,
		`a=(commit -n -m x); git "${a[@]}"`, `a=(commit -n -m x); git ${a[*]}`, `a=(git commit -n); "${a[@]}"`, `declare -a a=(commit -n); git "${a[@]}"`, `a=(commit); a+=(-n); git "${a[@]}"`, `a[0]=commit; a[1]=-n; git "${a[@]}"`, `a=(x commit -n); git "${a[@]:1}"`, `a=(-n -m x); git commit ${a[0]}`, `a=(-n); git commit $a`, `a=(-v -n); for o in "${a[@]}"; do git commit $o; done`, `a=(git commit -n); bash -c "${a[*]}"`, `a=(git commit -n); eval "${a[*]}"`, `a=(commit -n); f() { git "$@"; }; f "${a[@]}"`, `a=(commit -n); b=("${a[@]}" -m x); git "${b[@]}"`,
		`X='commit -n -m x'; git $X`, `X='mmit -n'; git co$X`, `IFS=_; X=commit_-n_-mx; git $X`, `X=commit_-n; IFS=_; git $X`, `IFS=_; X=mmit_-n; git co$X`, `X='git commit -n'; $X`, `X=' -n'; git commit$X`, `for o in -v\ -n; do git commit $o; done`,
	} {
		if got := effects(command); len(got.Around) == 0 {
			t.Errorf("%s passes: %+v", command, got)
		}
	}
	for command, want := range map[string]string{
		`printf x > "${PWD%/}/Makefile"`: "/w/Makefile", `printf x > ~-/Makefile`: "/w/Makefile", `cd src && printf x > ~-/Makefile`: "/w/Makefile", `cd src; printf x > "$OLDPWD/Makefile"`: "/w/Makefile", `printf x > ~+/Makefile`: "/w/Makefile", `cd src && printf x > ~+/a`: "/w/src/a", `printf x > ~h/a`: "/h/a", `printf x > ${F:-a}`: "/w/a", `F=a.x; printf x > "${F%.x}"`: "/w/a", `a=(a b); touch "${a[@]}"`: "/w/b", `X='a b'; touch $X`: "/w/b", `X='a b'; touch "$X"`: "/w/a b", `X='a b'; Y=$X; touch "$Y"`: "/w/a b",
		`openssl rand -out a 3`: "/w/a", `openssl req -x509 -keyout a -out b`: "/w/a", `git format-patch -1 -o docs`: "/w/docs/0001-.patch", `git format-patch -1`: "/w/0001-.patch", `git format-patch --output-directory=docs -1`: "/w/docs/0001-.patch", `go build -o a`: "/w/a", `go build -o=a ./cmd`: "/w/a", `go -C sub build -o a`: "/w/sub/a", `go test -coverprofile=a ./...`: "/w/a", `go test --coverprofile a`: "/w/a", `go test -c -o a`: "/w/a", `go test -cpuprofile=a`: "/w/a", `go test -memprofile a`: "/w/a", `go test -trace=a`: "/w/a", `go test -test.trace=a`: "/w/a", `go tool cover -o a`: "/w/a",
		`gcc x.c -o a`: "/w/a", `cc -oa x.c`: "/w/a", `split -l 1 x docs/p`: "/w/docs/paa", `split x`: "/w/xaa", `split -b1 - p < x`: "/w/paa", `csplit -f p x 1`: "/w/p00", `csplit x 1`: "/w/xx00",
	} {
		if got := writes(command); !slices.Contains(got, want) {
			t.Errorf("%s writes %q, not %q", command, got, want)
		}
	}
	for command, not := range map[string]string{`git format-patch -1 --stdout`: "/w/0001-.patch", `go test -run o a`: "/w/a", `openssl dgst -sha256 a`: "/w/a", `X='a b'; touch "$X"`: "/w/a"} {
		if got := writes(command); slices.Contains(got, not) {
			t.Errorf("%s writes %q", command, got)
		}
	}
	for _, command := range []string{`X=${Y:-src}; go test ./$X/...`, `a=(-v -run X); go test "${a[@]}"`, `git commit -m "${M:-x}"`, `IFS=, read -r a b <<< 1,2`, `M='fix: -n is gone'; git commit -m "$M"`, `a=(-m 'about -n'); git commit "${a[@]}"`, `git log ${N:--n} 3`} {
		if got := effects(command); len(got.Around) > 0 {
			t.Errorf("%s is taken for going around: %q", command, got.Around)
		}
	}
}
