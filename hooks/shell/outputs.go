package shell

import (
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/hooks/agent"
)

// outputFlags are the options of programs, otherwise not known, whose argument is a file that they write; with one dash or two.
var outputFlags = map[string]string{
	"c++": "o", "cc": "o", "clang": "o", "clang++": "o", "g++": "o", "gcc": "o", "ld": "o", "pandoc": "o output", "rustc": "o",
	"go":      "blockprofile coverprofile cpuprofile memprofile mutexprofile o outputdir trace",
	"openssl": "keyout out writerand",
}

// outputs reads which files the options of such a program name.
func (a *analysis) outputs(name string, args []value) {
	flags := strings.Fields(outputFlags[name])
	if len(flags) == 0 {
		return
	}
	a.within(func() {
		if name == "go" && len(args) > 1 && args[0].text == "-C" {
			a.cd(args[1:2])
		}
		for i, v := range args {
			flag, _, has := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(v.text, "-"), "-"), "=")
			dashes := strings.Index(v.text, flag)
			switch {
			case dashes < 1:
			case slices.Contains(flags, strings.TrimPrefix(flag, "test.")) && has:
				a.writes(v.from(dashes+len(flag)+1), agent.Write{})
			case slices.Contains(flags, flag) && i+1 < len(args):
				a.writes(args[i+1], agent.Write{})
			case name != "go" && flags[0] == "o" && dashes == 1 && len(flag) > 1 && flag[0] == 'o':
				a.writes(v.from(2), agent.Write{})
			}
		}
	})
}

// numbered notes files whose names begin with the first of the words, and go on by themselves: one stands for all.
func (a *analysis) numbered(prefix []value, end string) {
	if len(prefix) == 0 {
		return
	}
	v := prefix[0]
	v.text, v.pattern = v.text+end, v.pattern+end
	a.writes(v, agent.Write{})
}
