package openpgp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

// What gpg signs for Git holds, and nothing else: not another message, key or form of armor.
func TestGitSignatures(t *testing.T) {
	g := newGnuPG(t)
	for _, algorithm := range []string{"ed25519", "rsa2048", "nistp256"} {
		mine := g.generate("mine-"+algorithm+" <a@example.com>", algorithm, "sign")
		key, ok := imported(t, g.export(mine)).(identity.GitVerifier)
		if !ok {
			t.Fatal("checks no signatures of Git's")
		}
		good := string(g.sign(mine, "--armor")) // as gpg -bsau does
		lines := strings.SplitAfter(good, "\n")
		if err := key.VerifyGit([]byte("other"), []byte(good)); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("%s, another message: %v", algorithm, err)
		}
		for what, text := range map[string]string{
			"as it is":           good,
			"empty line behind":  good + "\n", // as a web page writes it
			"headers":            lines[0] + "Version: GnuPG v2\nComment: x: y\n" + strings.Join(lines[1:], ""),
			"without a checksum": strings.Join(lines[:len(lines)-3], "") + lines[len(lines)-2],
		} {
			if err := key.VerifyGit(message, []byte(text)); err != nil {
				t.Errorf("%s, %s: %v\n%s", algorithm, what, err, text)
			}
		}
		other := g.generate("other-"+algorithm+" <a@example.com>", algorithm, "sign")
		for what, text := range map[string]string{
			"other key":      string(g.sign(other, "--armor")),
			"binary":         string(g.sign(mine)),
			"text mode":      string(g.sign(mine, "--armor", "--textmode")),
			"two signatures": string(g.sign(mine, "--armor", "--local-user", other)),
			"text before":    "x\n" + good,
			"text behind":    good + "x",
			"twice":          good + good,
			"no empty line":  lines[0] + strings.Join(lines[2:], ""),
			"odd header":     lines[0] + "Comment\n" + strings.Join(lines[1:], ""),
			"other name":     strings.ReplaceAll(good, "PGP SIGNATURE", "PGP MESSAGE"),
			"SSH":            strings.ReplaceAll(good, "PGP SIGNATURE", "SSH SIGNATURE"),
			"empty":          "",
			"begin only":     lines[0],
			"long":           good + strings.Repeat("\n", identity.MaxGitSignature),
		} {
			if err := key.VerifyGit(message, []byte(text)); !errors.Is(err, identity.ErrSignature) {
				t.Errorf("%s, %s: %v", algorithm, what, err)
			}
		}
		if id := identity.GitSigner([]byte(good)); id != "" {
			t.Errorf("an SSH key made it: %s", id)
		}
	}
}
