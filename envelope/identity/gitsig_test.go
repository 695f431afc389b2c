package identity_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

var gitCommit = []byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@example.com> 1 +0000\n\nmessage\n")

func armor(blob []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob})
}

func gitVerifier(t testing.TB, key identity.PublicKey) identity.GitVerifier {
	t.Helper()
	v, ok := key.(identity.GitVerifier)
	if !ok {
		t.Fatalf("%T checks no signatures of Git's", key)
	}
	return v
}

// What ssh-keygen signs for Git holds, in both hashes; for anything else it does not.
func TestGitSignatures(t *testing.T) {
	for _, kind := range kinds[:7] {
		t.Run(kind.name, func(t *testing.T) {
			path := keygen(t, kind.args...)
			key := gitVerifier(t, parse(t, read(t, path+".pub")))
			for _, hash := range []string{"sha512", "sha256"} {
				sig := tool(t, gitCommit, "ssh-keygen", "-q", "-Y", "sign", "-f", path, "-n", "git", "-O", "hashalg="+hash)
				if err := key.VerifyGit(gitCommit, sig); err != nil {
					t.Errorf("%s: %v", hash, err)
				}
				if id := identity.GitSigner(sig); id != key.ID() {
					t.Errorf("it says it is by %q", id)
				}
				if err := key.VerifyGit(append(slices.Clip(gitCommit), ' '), sig); !errors.Is(err, identity.ErrSignature) {
					t.Errorf("%s, another message: %v", hash, err)
				}
				block, _ := pem.Decode(sig)
				if err := key.Verify(gitCommit, block.Bytes); !errors.Is(err, identity.ErrSignature) {
					t.Errorf("a signature of Git's stands for one of ours: %v", err)
				}
			}
			for what, namespace := range map[string]string{"file": "file", "ours": identity.Namespace, "longer": "git2", "capitals": "GIT"} {
				if err := key.VerifyGit(gitCommit, armor(opensshSign(t, path, namespace, gitCommit))); !errors.Is(err, identity.ErrSignature) {
					t.Errorf("namespace %s: %v", what, err)
				}
			}
			ours := sign(t, load(t, path), gitCommit)
			if err := key.VerifyGit(gitCommit, armor(ours)); !errors.Is(err, identity.ErrSignature) {
				t.Errorf("a signature of ours stands for one of Git's: %v", err)
			}
			other := gitVerifier(t, parse(t, read(t, keygen(t, kind.args...)+".pub")))
			if err := other.VerifyGit(gitCommit, armor(opensshSign(t, path, "git", gitCommit))); !errors.Is(err, identity.ErrSignature) {
				t.Errorf("by another key: %v", err)
			}
		})
	}
}

// An armor has one form: text before, between or behind its lines makes it none.
func TestGitArmor(t *testing.T) {
	path := keygen(t, "-t", "ed25519")
	key := gitVerifier(t, parse(t, read(t, path+".pub")))
	blob := opensshSign(t, path, "git", gitCommit)
	good := string(armor(blob))
	for what, text := range map[string]string{
		"as it is": good, "without the last line end": strings.TrimSuffix(good, "\n"), "with an empty line behind": good + "\n",
	} {
		if err := key.VerifyGit(gitCommit, []byte(text)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	inner := strings.SplitAfter(good, "\n")
	for what, text := range map[string]string{
		"empty":             "",
		"text before":       "x\n" + good,
		"line end before":   "\n" + good,
		"text behind":       good + "x",
		"space behind":      good + " ",
		"twice":             good + good,
		"carriage returns":  strings.ReplaceAll(good, "\n", "\r\n"),
		"header":            inner[0] + "Comment: x\n\n" + strings.Join(inner[1:], ""),
		"empty line within": inner[0] + "\n" + strings.Join(inner[1:], ""),
		"space within":      inner[0] + " " + strings.Join(inner[1:], ""),
		"no end":            strings.Join(inner[:len(inner)-2], ""),
		"no begin":          strings.Join(inner[1:], ""),
		"other name":        strings.ReplaceAll(good, "SSH SIGNATURE", "PGP SIGNATURE"),
		"a byte behind":     string(armor(append(slices.Clip(blob), 0))),
		"cut":               string(armor(blob[:len(blob)-1])),
		"one line":          inner[0] + strings.ReplaceAll(strings.Join(inner[1:len(inner)-2], ""), "\n", "") + "\n" + inner[len(inner)-2],
		"long":              good + strings.Repeat("\n", identity.MaxGitSignature),
	} {
		if err := key.VerifyGit(gitCommit, []byte(text)); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range len(blob) * 8 {
		blob[i/8] ^= 1 << (i % 8)
		if err := key.VerifyGit(gitCommit, armor(blob)); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("bit %d: %v", i, err)
		}
		blob[i/8] ^= 1 << (i % 8)
	}
}

// A security key that was not touched signed nothing for Git either.
func TestGitUntouched(t *testing.T) {
	for name, k := range newSoftKeys(t) {
		key := gitVerifier(t, k.public(t))
		k.flags = 1
		if err := key.VerifyGit(gitCommit, armor(k.sshsig("git", gitCommit))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		k.flags = 0
		if err := key.VerifyGit(gitCommit, armor(k.sshsig("git", gitCommit))); !errors.Is(err, identity.ErrSignature) {
			t.Errorf("%s, untouched: %v", name, err)
		}
	}
}

// Whatever an armor holds: what verifies is the one signature that was made, and nothing panics.
func FuzzVerifyGit(f *testing.F) {
	path := keygen(f, "-t", "ed25519")
	key := gitVerifier(f, parse(f, read(f, path+".pub")))
	blob := opensshSign(f, path, "git", gitCommit)
	f.Add(armor(blob))
	f.Add(armor(opensshSign(f, path, "file", gitCommit)))
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, armored []byte) {
		_ = identity.GitSigner(armored)
		if key.VerifyGit(gitCommit, armored) != nil {
			return
		}
		if block, _ := pem.Decode(append(slices.Clip(armored), '\n')); block == nil || !bytes.Equal(block.Bytes, blob) {
			t.Errorf("%q verifies", armored)
		}
	})
}
