package versioncmd_test

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/versioncmd"
)

func TestRead(t *testing.T) {
	info := &debug.BuildInfo{
		Main: debug.Module{Version: "v1.2.3"},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	got := versioncmd.Read(info, true)
	if got.Version != "v1.2.3" || got.Commit != "abc" || !got.Modified {
		t.Errorf("got %+v", got)
	}
	if got := versioncmd.Read(nil, false); got.Version != "(devel)" || got.Commit != "" {
		t.Errorf("without build information: %+v", got)
	}
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	cmd := versioncmd.New(&cli.Env{Out: &out})
	cmd.SetArgs([]string{"--json"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	var b versioncmd.Build
	if err := json.Unmarshal([]byte(out.String()), &b); err != nil {
		t.Fatal(err)
	}
	if b.Type != "version" || b.Version == "" || b.OS != runtime.GOOS || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("got %s", out.String())
	}
}
