package identity_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/open-covenant/covenant-git/envelope/identity"
)

func TestParseText(t *testing.T) {
	line := strings.TrimSuffix(read(t, keygen(t, "-t", "ed25519")+".pub"), " a comment\n")
	want := parse(t, line)
	if want.String() != line {
		t.Errorf("String %q, want %q", want, line)
	}
	if m := identity.Materials(want); len(m) != 1 || m[0] != want.Material() {
		t.Errorf("materials %v", m)
	}
	for _, text := range []string{
		line + "\n", line + "\r\n", line + " a comment", line + "\ta comment", line + "  two  spaces \n", "  " + line, strings.Replace(line, " ", " \t  ", 1), line + " ssh-rsa AAAA",
	} {
		key, err := identity.ParsePublicKey(text)
		if err != nil || key.String() != line || key.ID() != want.ID() || key.Digest() != want.Digest() {
			t.Errorf("%q: %v %v", text, key, err)
		}
	}
	body := strings.TrimPrefix(line, "ssh-ed25519 ")
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"empty":                {"", identity.ErrKeyFormat},
		"blank":                {" \n", identity.ErrKeyFormat},
		"only the type":        {"ssh-ed25519", identity.ErrKeyFormat},
		"only the base64":      {body, identity.ErrKeyType},
		"two lines":            {line + "\n" + line, identity.ErrKeyFormat},
		"two line ends":        {line + "\n\n", identity.ErrKeyFormat},
		"line end in comment":  {line + " a\nb", identity.ErrKeyFormat},
		"NUL":                  {line + "\x00", identity.ErrKeyFormat},
		"escape in comment":    {line + " \x1b[2J", identity.ErrKeyFormat},
		"comment line":         {"# " + line, identity.ErrKeyType},
		"option restrict":      {"restrict " + line, identity.ErrKeyType},
		"option with argument": {`command="true" ` + line, identity.ErrKeyType},
		"options":              {`no-pty,command="a b",from="*" ` + line, identity.ErrKeyType},
		"marker":               {"@cert-authority * " + line, identity.ErrKeyType},
		"host in front":        {"host.example " + line, identity.ErrKeyType},
		"principal in front":   {"me@here " + line, identity.ErrKeyType},
		"type of other case":   {"SSH-ED25519 " + body, identity.ErrKeyType},
		"type of another key":  {"ssh-rsa " + body, identity.ErrKeyFormat},
		"base64 cut":           {line[:len(line)-1], identity.ErrKeyFormat},
		"base64 cut by four":   {line[:len(line)-4], identity.ErrKeyFormat},
		"base64 padded":        {line + "====", identity.ErrKeyFormat},
		"base64 of URLs":       {"ssh-ed25519 " + strings.NewReplacer("+", "-", "/", "_").Replace(body+"-_"), identity.ErrKeyFormat},
		"bytes behind the key": {"ssh-ed25519 " + body + "AAAA", identity.ErrKeyFormat},
		"too long":             {line + strings.Repeat(" ", 16<<10), identity.ErrKeyFormat},
		"OpenPGP unregistered": {"openpgp:" + body, identity.ErrKeyType},
	} {
		if key, err := identity.ParsePublicKey(c.text); !errors.Is(err, c.want) || key != nil {
			t.Errorf("%s: %v %v; want %v", name, key, err, c.want)
		}
	}
}

// Base64 whose unused bits are set says the same bytes in another text.
func TestNonCanonicalBase64(t *testing.T) {
	line := strings.TrimSuffix(read(t, keygen(t, "-t", "rsa", "-b", "2048")+".pub"), " a comment\n")
	if !strings.HasSuffix(line, "=") {
		line = strings.TrimSuffix(read(t, keygen(t, "-t", "ecdsa", "-b", "256")+".pub"), " a comment\n")
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	body := strings.TrimRight(line, "=")
	if body == line {
		t.Fatalf("%s has no padding", line)
	}
	padding := line[len(body):]
	tried := 0
	for _, c := range alphabet {
		changed := body[:len(body)-1] + string(c) + padding
		a, errA := base64.StdEncoding.DecodeString(strings.Fields(line)[1])
		b, errB := base64.StdEncoding.DecodeString(strings.Fields(changed)[1])
		if changed == line || errA != nil || errB != nil || string(a) != string(b) {
			continue
		}
		tried++
		if _, err := identity.ParsePublicKey(changed); !errors.Is(err, identity.ErrKeyFormat) {
			t.Errorf("%s: %v", changed, err)
		}
	}
	if tried == 0 {
		t.Fatal("no second text was found")
	}
}

// A certificate is not a key: it has options, a validity and another's signature.
func TestCertificate(t *testing.T) {
	ca, key := keygen(t, "-t", "ed25519"), keygen(t, "-t", "ed25519")
	tool(t, nil, "ssh-keygen", "-q", "-s", ca, "-I", "id", "-n", "me", key+".pub")
	text := read(t, key+"-cert.pub")
	if _, err := identity.ParsePublicKey(text); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("by its name: %v", err)
	}
	if _, err := identity.ParsePublicKey(strings.Replace(text, "ssh-ed25519-cert-v01@openssh.com", "ssh-ed25519", 1)); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("by its bytes: %v", err)
	}
}

func line(name string, wire []byte) string {
	return name + " " + base64.StdEncoding.EncodeToString(wire)
}

// RSA keys that OpenSSH's encoding can say and nobody should trust.
func TestWeakRSA(t *testing.T) {
	need(t, "ssh-keygen")
	if _, err := identity.ParsePublicKey(read(t, keygen(t, "-t", "rsa", "-b", "1024")+".pub")); !errors.Is(err, identity.ErrKeyType) {
		t.Errorf("1024 bits: %v", err)
	}
	type wire struct {
		Type string
		E, N []byte
	}
	modulus := func(bits int, low byte) []byte {
		n := make([]byte, bits/8)
		n[0], n[len(n)-1] = 0x80, low
		return append([]byte{0}, n...)
	}
	for name, c := range map[string]struct {
		w    wire
		want error
	}{
		"2040 bits":           {wire{"ssh-rsa", []byte{1, 0, 1}, modulus(2040, 1)}, identity.ErrKeyType},
		"16392 bits":          {wire{"ssh-rsa", []byte{1, 0, 1}, modulus(16392, 1)}, identity.ErrKeyFormat},
		"even modulus":        {wire{"ssh-rsa", []byte{1, 0, 1}, modulus(2048, 2)}, identity.ErrKeyFormat},
		"exponent 1":          {wire{"ssh-rsa", []byte{1}, modulus(2048, 1)}, identity.ErrKeyFormat},
		"exponent 2":          {wire{"ssh-rsa", []byte{2}, modulus(2048, 1)}, identity.ErrKeyFormat},
		"exponent 0":          {wire{"ssh-rsa", nil, modulus(2048, 1)}, identity.ErrKeyFormat},
		"negative exponent":   {wire{"ssh-rsa", []byte{0xff}, modulus(2048, 1)}, identity.ErrKeyFormat},
		"long exponent":       {wire{"ssh-rsa", []byte{1, 0, 0, 0, 1}, modulus(2048, 1)}, identity.ErrKeyFormat},
		"negative modulus":    {wire{"ssh-rsa", []byte{1, 0, 1}, modulus(2048, 1)[1:]}, identity.ErrKeyFormat},
		"exponent with zeros": {wire{"ssh-rsa", []byte{0, 0, 1, 0, 1}, modulus(2048, 1)}, identity.ErrKeyFormat},
		"modulus with zeros":  {wire{"ssh-rsa", []byte{1, 0, 1}, append([]byte{0}, modulus(2048, 1)...)}, identity.ErrKeyFormat},
		"zero":                {wire{"ssh-rsa", []byte{1, 0, 1}, nil}, identity.ErrKeyType},
	} {
		key, err := identity.ParsePublicKey(line("ssh-rsa", ssh.Marshal(&c.w)))
		if key != nil || !(errors.Is(err, c.want) || errors.Is(err, identity.ErrKeyType)) {
			t.Errorf("%s: %v %v", name, key, err)
		}
	}
	if _, err := identity.ParsePublicKey(line("ssh-rsa", ssh.Marshal(&wire{"ssh-rsa", []byte{1, 0, 1}, modulus(2048, 1)}))); err != nil {
		t.Errorf("the pattern of these cases is wrong: %v", err)
	}
}

func TestWeakECDSA(t *testing.T) {
	type wire struct{ Type, Curve, Point string }
	good := strings.Fields(read(t, keygen(t, "-t", "ecdsa", "-b", "256")+".pub"))[1]
	b, err := base64.StdEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	var w wire
	if err := ssh.Unmarshal(b, &w); err != nil {
		t.Fatal(err)
	}
	off := []byte(w.Point)
	off[64] ^= 1
	for name, c := range map[string]wire{
		"infinity":         {w.Type, w.Curve, "\x00"},
		"not on the curve": {w.Type, w.Curve, string(off)},
		"compressed":       {w.Type, w.Curve, "\x02" + w.Point[1:33]},
		"cut":              {w.Type, w.Curve, w.Point[:64]},
		"other curve":      {w.Type, "nistp384", w.Point},
		"no point":         {w.Type, w.Curve, ""},
	} {
		if key, err := identity.ParsePublicKey(line(c.Type, ssh.Marshal(&c))); !errors.Is(err, identity.ErrKeyFormat) {
			t.Errorf("%s: %v %v", name, key, err)
		}
	}
}

func TestRegister(t *testing.T) {
	called := errors.New("called")
	identity.Register("test-kind:", func(s string) (identity.PublicKey, error) {
		if s != "test-kind:x y" {
			t.Errorf("parser got %q", s)
		}
		return nil, called
	})
	if _, err := identity.ParsePublicKey("test-kind:x y\n"); !errors.Is(err, called) {
		t.Error(err)
	}
	for _, prefix := range []string{"test-kind:", "no-colon", ""} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was registered", prefix)
				}
			}()
			identity.Register(prefix, func(string) (identity.PublicKey, error) { return nil, nil })
		}()
	}
}
