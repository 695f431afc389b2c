package tlog_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

const spec = "../../docs/spec"

// example makes what docs/spec/tlog.md shows: a log of the worked examples of three pages, and the proof of the second.
func example(t *testing.T) (log tlog.LogKey, witness tlog.WitnessKey, proof []byte) {
	t.Helper()
	var list []tlog.Record
	var extra []byte
	for _, name := range []string{"capability.md", "envelope.md", "provenance.md"} {
		m := regexp.MustCompile("(?m)^{\"payload\":\"ey.*$").Find(must(os.ReadFile(filepath.Join(spec, name)))(t))
		list = append(list, must(tlog.RecordOf(must(envelope.Parse(m))(t).ID()))(t))
		if name == "envelope.md" {
			extra = m
		}
	}
	tree, m := build(t, list)
	c := must(tlog.Sign(origin, tree, newSigner(t, "log")))(t)
	witness = witnessKey(t, "witness.example/a")
	c = must(must(tlog.NewPolicy(1, witness))(t).Join(c, []byte(cosign(t, c, witness.Name(), seconds))))(t)
	p := tlog.Proof{Extra: extra, Index: 1, Hashes: must(view(t, tree, m).Inclusion(1))(t), Checkpoint: c.Bytes()}
	return c.Key(), witness, must(p.Bytes())(t)
}

func page(t *testing.T) string {
	t.Helper()
	return string(must(os.ReadFile(filepath.Join(spec, "tlog.md")))(t))
}

// TestWorkedExample: the page shows this proof, which holds under the keys that it names.
func TestWorkedExample(t *testing.T) {
	log, witness, proof := example(t)
	m := regexp.MustCompile("(?ms)^```tlog-proof\n(.*?)^```$").FindStringSubmatch(page(t))
	if m == nil || m[1] != string(proof) {
		t.Fatalf("the page shows another proof than\n%s", proof)
	}
	keys := regexp.MustCompile(`(?m)^(log|witness) (\S+)$`).FindAllStringSubmatch(page(t), -1)
	if len(keys) != 2 || keys[0][2] != log.String() || keys[1][2] != witness.String() {
		t.Fatalf("the page names other keys than\nlog %s\nwitness %s", log, witness)
	}
	policy := must(tlog.NewPolicy(1, must(tlog.ParseWitnessKey(keys[1][2]))(t)))(t)
	p, err := tlog.CheckProof([]byte(m[1]), must(tlog.ParseLogKey(keys[0][2]))(t), policy, recordIn)
	if err != nil || p.Index != 1 || p.Checkpoint.Tree().Size != 3 {
		t.Fatalf("%+v %v", p, err)
	}
	if !strings.Contains(page(t), string(p.Record.ID())) {
		t.Errorf("the page does not name the entry, %s", p.Record.ID())
	}
}

// TestPlainTools runs the commands of the page on the example.
func TestPlainTools(t *testing.T) {
	for _, tool := range []string{"sh", "jq", "openssl", "base64", "od"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%v", err)
		}
	}
	log, witness, proof := example(t)
	m := regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(page(t), -1)
	if len(m) < 4 {
		t.Fatalf("%d blocks of commands", len(m))
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example.tlog-proof"), proof, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "set -eu\nlog='" + log.String() + "'\nwitness='" + witness.String() + "'\n"
	for _, block := range m[:4] {
		script += block[1]
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	root := strings.Split(string(must(tlog.ParseProof(proof))(t).Checkpoint), "\n")[2]
	if err != nil || strings.Count(string(out), "Signature Verified Successfully") != 2 || strings.Count(string(out), root) != 2 {
		t.Errorf("%v\n%s\n%s", err, script, out)
	}
}
