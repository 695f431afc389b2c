package tlog_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/tlog"
)

var update = flag.Bool("update", false, "write the test vectors anew")

const vectors = "../../testdata/vectors"

// A vector is a few lines that say what a reader knows, an empty line, and the bytes it gets:
//
//	log <key>
//	witness <key>        any number
//	need <decimal>       of the witnesses
//	until <decimal>      the latest time of a cosignature that counts, in seconds since 1970
//	record <hexadecimal> the record that is to be proven
type vector struct {
	log     tlog.LogKey
	policy  tlog.Policy
	record  tlog.Record
	content []byte
}

func parseVector(b []byte) (vector, error) {
	var v vector
	head, content, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		return v, errors.New("vector without an empty line")
	}
	v.content = content
	var witnesses []tlog.WitnessKey
	var need int
	var until time.Time
	for l := range strings.SplitSeq(string(head), "\n") {
		word, value, _ := strings.Cut(l, " ")
		var err error
		switch word {
		case "log":
			v.log, err = tlog.ParseLogKey(value)
		case "witness":
			var w tlog.WitnessKey
			w, err = tlog.ParseWitnessKey(value)
			witnesses = append(witnesses, w)
		case "need":
			need, err = strconv.Atoi(value)
		case "until":
			var n int64
			n, err = strconv.ParseInt(value, 10, 64)
			until = time.Unix(n, 0)
		case "record":
			var r []byte
			if r, err = hex.DecodeString(value); err == nil {
				v.record = tlog.Record(r)
			}
		default:
			err = fmt.Errorf("vector with a line %q", l)
		}
		if err != nil {
			return v, err
		}
	}
	p, err := tlog.NewPolicy(need, witnesses...)
	v.policy = p.Until(until)
	return v, err
}

func (v vector) checkpoint() error {
	c, err := tlog.Open(v.content, v.log)
	if err == nil && !bytes.Equal(c.Bytes(), v.content) {
		err = errors.New("it encodes to other bytes")
	}
	return err
}

func (v vector) cosignature() error {
	c, err := tlog.Open(v.content, v.log)
	if err == nil {
		_, err = v.policy.Check(c)
	}
	return err
}

func (v vector) proof() error {
	p, err := tlog.CheckProof(v.content, v.log, v.policy, func([]byte) (tlog.Record, error) { return v.record, nil })
	if err == nil && p.Record != v.record {
		err = errors.New("it proves another record")
	}
	return err
}

var checks = map[string]func(vector) error{"checkpoint": vector.checkpoint, "cosignature": vector.cosignature, "tlog-proof": vector.proof}

// reasons are what names of rejected vectors begin with.
var reasons = map[string]error{
	"syntax": tlog.ErrSyntax, "toolarge": tlog.ErrTooLarge, "origin": tlog.ErrOrigin, "signature": tlog.ErrSignature, "witnesses": tlog.ErrWitnesses,
	"proof": tlog.ErrProof, "index": tlog.ErrIndex, "keytype": tlog.ErrKeyType, "policy": tlog.ErrPolicy,
}

func readVectors(t testing.TB, format, kind string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(vectors, format, kind, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors in %s/%s: %v", format, kind, err)
	}
	all := make(map[string][]byte)
	for _, path := range paths {
		all[strings.TrimSuffix(filepath.Base(path), ".txt")] = must(os.ReadFile(path))(t)
	}
	return all
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	for format, check := range checks {
		for name, b := range readVectors(t, format, "accept") {
			v, err := parseVector(b)
			if err == nil {
				err = check(v)
			}
			if err != nil {
				t.Errorf("%s/accept/%s: %v", format, name, err)
			}
		}
		seen := make(map[error]bool)
		for name, b := range readVectors(t, format, "reject") {
			reason, _, _ := strings.Cut(name, "-")
			want, ok := reasons[reason]
			v, err := parseVector(b)
			if err == nil {
				err = check(v)
			}
			if !ok || !errors.Is(err, want) {
				t.Errorf("%s/reject/%s: %v", format, name, err)
			}
			seen[want] = true
		}
		if !seen[tlog.ErrSyntax] || !seen[tlog.ErrSignature] || !seen[tlog.ErrTooLarge] {
			t.Errorf("%s: no vectors for one of the usual reasons", format)
		}
	}
}

// seconds is the time of the vectors' cosignatures.
const seconds = 1_796_000_000

func cosign(t testing.TB, c *tlog.Checkpoint, name string, at int64) string {
	t.Helper()
	return string(must(tlog.Cosign(c, name, newSigner(t, name), time.Unix(at, 0)))(t))
}

// signed is the checkpoint of the first size entries with cosignatures, in order.
func signed(t testing.TB, size int, witnesses ...string) *tlog.Checkpoint {
	t.Helper()
	tree, _ := build(t, records(0, size))
	c := must(tlog.Sign(origin, tree, newSigner(t, "log")))(t)
	p := must(tlog.NewPolicy(0, witnessKeys(t, witnesses...)...))(t)
	for _, name := range witnesses {
		c = must(p.Join(c, []byte(cosign(t, c, name, seconds))))(t)
	}
	return c
}

func witnessKeys(t testing.TB, names ...string) []tlog.WitnessKey {
	t.Helper()
	var keys []tlog.WitnessKey
	for _, name := range names {
		keys = append(keys, witnessKey(t, name))
	}
	return keys
}

// text cuts a checkpoint into what is signed and the signature lines.
func text(c *tlog.Checkpoint) (string, []string) {
	s := string(c.Bytes())
	at := strings.LastIndex(s, "\n\n")
	return s[:at+1], slices.Collect(strings.Lines(s[at+2:]))
}

// resigned is a text as a log's program without care would sign it.
func resigned(t testing.TB, text string) string {
	t.Helper()
	s := newSigner(t, "log")
	sig, _ := s.Sign([]byte(text))
	return text + "\n— " + string(origin) + " " + b64(append(binary.BigEndian.AppendUint32(nil, logKey(t, s).ID()), sig...)) + "\n"
}

func writeVectors(t *testing.T) {
	for format := range checks {
		if err := os.RemoveAll(filepath.Join(vectors, format)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, head, content string) {
		file := filepath.Join(vectors, name+".txt")
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(head+"\n"+content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	key := logKey(t, newSigner(t, "log"))
	head := "log " + key.String() + "\n"
	c := signed(t, 300, "witness.example/a", "witness.example/b")
	whole, lines := text(c)
	plain := string(signed(t, 300).Bytes())
	write("checkpoint/accept/plain", head, plain)
	write("checkpoint/accept/cosigned", head, string(c.Bytes()))
	write("checkpoint/accept/empty-log", head, string(must(tlog.Sign(origin, tlog.Tree{}, newSigner(t, "log")))(t).Bytes()))
	other := "— other.example " + b64([]byte("0123 anything")) + "\n"
	write("checkpoint/accept/unknown-signature", head, plain+other)
	write("checkpoint/accept/another-key-of-the-log", head, strings.Replace(plain, "\n\n", "\n\n— "+string(origin)+" AAAAAEFB\n", 1))
	var many strings.Builder
	for i := range tlog.MaxSignatures {
		fmt.Fprintf(&many, "— other.example/%02d %s", i, other[len("— other.example "):])
	}
	write("checkpoint/accept/as-many-signatures-as-may-be", head, plain+strings.Join(slices.Collect(strings.Lines(many.String()))[1:], ""))
	write("checkpoint/reject/toolarge-signatures", head, plain+many.String())
	write("checkpoint/reject/toolarge-size", head, resigned(t, strings.Replace(whole, "\n300\n", "\n9007199254740993\n", 1)))
	write("checkpoint/reject/toolarge-origin", head, resigned(t, strings.Repeat("a", 256)+whole[len(origin):]))
	write("checkpoint/reject/origin-another", "log "+must(tlog.NewLogKey(origin+"x", newSigner(t, "log").Public()))(t).String()+"\n", plain)
	for name, key := range map[string]string{
		"keytype-of-a-witness": witnessKey(t, "log").String(), "keytype-of-small-order": smallOrder(string(origin)),
		"syntax-key-with-another-id": strings.Replace(key.String(), "+", "+0", 1)[:len(key.String())], "syntax-key-short": key.String()[:len(key.String())-4],
	} {
		write("checkpoint/reject/"+name, "log "+key+"\n", plain)
	}
	sig := strings.Fields(lines[0])[2]
	for name, s := range map[string]string{
		"signature-by-another-key":          strings.Replace(resigned(t, whole), lines[0], "", 1) + strings.Replace(lines[0], sig[:6], "AAAAAA", 1),
		"signature-of-another-text":         strings.Replace(plain, "\n300\n", "\n301\n", 1),
		"signature-short":                   strings.Replace(plain, sig, sig[:88], 1),
		"signature-missing":                 whole + "\n" + lines[1],
		"signature-good-and-bad":            strings.Replace(plain, lines[0], "— "+string(origin)+" "+sig[:7]+"AAAAAAAAA\n"+lines[0], 1),
		"syntax-empty":                      "",
		"syntax-extension-line":             resigned(t, whole+"extension\n"),
		"syntax-two-lines":                  resigned(t, strings.Join(slices.Collect(strings.Lines(whole))[:2], "")),
		"syntax-no-signature":               whole + "\n",
		"syntax-no-blank-line":              whole + lines[0],
		"syntax-two-blank-lines":            strings.Replace(plain, "\n\n", "\n\n\n", 1),
		"syntax-no-line-end":                strings.TrimSuffix(plain, "\n"),
		"syntax-line-behind":                plain + "\n",
		"syntax-carriage-returns":           strings.ReplaceAll(plain, "\n", "\r\n"),
		"syntax-control-character":          resigned(t, strings.Replace(whole, "covenant", "cov\x07nant", 1)),
		"syntax-not-utf8":                   plain + "— \xff AAAAAEFB\n",
		"syntax-origin-empty":               resigned(t, whole[len(origin):]),
		"syntax-origin-with-space":          resigned(t, strings.Replace(whole, "covenant", "cov nant", 1)),
		"syntax-origin-with-plus":           resigned(t, strings.Replace(whole, "covenant", "cov+nant", 1)),
		"syntax-size-leading-zero":          resigned(t, strings.Replace(whole, "\n300\n", "\n0300\n", 1)),
		"syntax-size-signed":                resigned(t, strings.Replace(whole, "\n300\n", "\n+300\n", 1)),
		"syntax-size-negative":              resigned(t, strings.Replace(whole, "\n300\n", "\n-1\n", 1)),
		"syntax-size-beyond-64-bits":        resigned(t, strings.Replace(whole, "\n300\n", "\n18446744073709551616\n", 1)),
		"syntax-size-empty":                 resigned(t, strings.Replace(whole, "\n300\n", "\n\n", 1)),
		"syntax-root-short":                 resigned(t, strings.Replace(whole, "=\n", "\n", 1)),
		"syntax-root-hexadecimal":           resigned(t, string(origin)+"\n300\n"+strings.Repeat("00", 32)+"\n"),
		"syntax-root-loose-bits":            resigned(t, string(origin)+"\n300\n"+strings.Repeat("A", 42)+"B=\n"),
		"syntax-root-of-empty-log":          resigned(t, string(origin)+"\n0\n"+tlog.Hash{}.String()+"\n"),
		"syntax-signature-loose-bits":       strings.Replace(plain, sig, sig[:len(sig)-2]+string(sig[len(sig)-2]+1)+"=", 1),
		"syntax-signature-no-base64":        strings.Replace(plain, sig, "!"+sig[1:], 1),
		"syntax-signature-only-id":          plain + "— other.example AAAAAA==\n",
		"syntax-signature-hyphen":           strings.Replace(plain, "— ", "- ", 1),
		"syntax-signature-name-empty":       plain + "—  AAAAAEFB\n",
		"syntax-signature-name-with-plus":   plain + "— a+b AAAAAEFB\n",
		"syntax-signature-trailing-space":   strings.TrimSuffix(plain, "\n") + " \n",
		"syntax-signatures-log-not-first":   whole + "\n" + lines[1] + lines[0],
		"syntax-signatures-not-sorted":      whole + "\n" + lines[0] + lines[2] + lines[1],
		"syntax-signatures-the-same-twice":  whole + "\n" + lines[0] + lines[1] + lines[1],
		"syntax-signatures-by-log-unsorted": plain + "— " + string(origin) + " AAAAAEFB\n",
	} {
		write("checkpoint/reject/"+name, head, s)
	}
	writeCosignatures(t, write, head)
	writeProofs(t, write, head)
}

func writeCosignatures(t *testing.T, write func(name, head, content string), head string) {
	a, b := "witness.example/a", "witness.example/b"
	both := "witness " + witnessKey(t, a).String() + "\nwitness " + witnessKey(t, b).String() + "\n"
	c := signed(t, 300, a, b)
	whole, lines := text(c)
	bytes := string(c.Bytes())
	at := func(i int, seconds string) string { // cosignature i with other bytes for its time
		raw := unb64(t, strings.Fields(lines[i])[2])
		copy(raw[4:], seconds)
		return strings.Join(append(append([]string{whole, "\n"}, lines[:i]...), append([]string{"— " + strings.Fields(lines[i])[1] + " " + b64(raw) + "\n"}, lines[i+1:]...)...), "")
	}
	plain := string(signed(t, 300).Bytes())
	line := func(name string, id uint32, sig []byte) string {
		return "— " + name + " " + b64(append(binary.BigEndian.AppendUint32(nil, id), sig...)) + "\n"
	}
	key := witnessKey(t, a)
	of := func(message string, seconds uint64) string { // a witness's signature of anything
		sig, _ := newSigner(t, a).Sign([]byte(message))
		return plain + line(a, key.ID(), append(binary.BigEndian.AppendUint64(nil, seconds), sig...))
	}
	stamped := func(n uint64) string { return of(fmt.Sprintf("cosignature/v1\ntime %d\n%s", n, whole), n) }
	two := must(tlog.Tidy([]byte(bytes + cosign(t, c, a, seconds+60))))(t)
	write("cosignature/accept/both", head+both+"need 2\n", bytes)
	write("cosignature/accept/one-of-two", head+both+"need 1\n", whole+"\n"+lines[0]+lines[2])
	write("cosignature/accept/none-needed", head+both+"need 0\n", plain)
	write("cosignature/accept/one-witness-twice", head+both+"need 2\n", string(two))
	write("cosignature/accept/at-the-last-second", head+both+"need 2\n"+fmt.Sprintf("until %d\n", seconds), bytes)
	write("cosignature/reject/witnesses-too-few", head+both+"need 2\n", whole+"\n"+lines[0]+lines[1])
	onlyA := must(tlog.Tidy([]byte(whole + "\n" + lines[0] + lines[1] + cosign(t, c, a, seconds+60))))(t)
	write("cosignature/reject/witnesses-one-counted-twice", head+both+"need 2\n", string(onlyA))
	write("cosignature/reject/witnesses-from-the-future", head+both+"need 1\n"+fmt.Sprintf("until %d\n", seconds-1), bytes)
	write("cosignature/reject/witnesses-unknown", head+"witness "+witnessKey(t, "witness.example/c").String()+"\nneed 1\n", bytes)
	write("cosignature/reject/witnesses-the-log-itself", head+"witness "+must(tlog.NewWitnessKey("witness.example/z", newSigner(t, "log").Public()))(t).String()+"\nneed 1\n",
		plain+string(must(tlog.Cosign(c, "witness.example/z", newSigner(t, "log"), time.Unix(seconds, 0)))(t)))
	write("cosignature/reject/policy-one-key-twice", head+both+"witness "+must(tlog.NewWitnessKey("witness.example/c", newSigner(t, a).Public()))(t).String()+"\nneed 2\n", bytes)
	write("cosignature/reject/policy-more-than-there-are", head+both+"need 3\n", bytes)
	write("cosignature/reject/keytype-of-a-log", head+"witness "+logKey(t, newSigner(t, a)).String()+"\nneed 1\n", bytes)
	write("cosignature/reject/keytype-of-small-order", head+"witness "+strings.Replace(smallOrder(a), "+AQ", "+BA", 1)+"\nneed 1\n", bytes)
	write("cosignature/reject/toolarge-key", head+"witness "+strings.Repeat("a", 256)+key.String()+"\nneed 1\n", bytes)
	write("cosignature/reject/syntax-key-without-type", head+"witness "+a+"+00000000+\nneed 1\n", bytes)
	write("cosignature/reject/signature-of-another-time", head+both+"need 1\n", at(1, "\x00\x00\x00\x00\x00\x00\x00\x01"))
	write("cosignature/reject/signature-of-another-tree", head+both+"need 1\n", plain+cosign(t, signed(t, 299), a, seconds))
	write("cosignature/reject/signature-at-time-zero", head+both+"need 1\n", stamped(0))
	write("cosignature/reject/signature-after-the-year-9999", head+both+"need 1\n", stamped(253402300800))
	write("cosignature/reject/signature-time-beyond-63-bits", head+both+"need 1\n", stamped(1<<63))
	write("cosignature/reject/signature-without-time", head+both+"need 1\n", plain+line(a, key.ID(), []byte("short")))
	write("cosignature/reject/signature-of-the-text-only", head+both+"need 1\n", of(whole, seconds))
	write("cosignature/reject/signature-of-another-header", head+both+"need 1\n", of(fmt.Sprintf("cosignature/v2\ntime %d\n%s", seconds, whole), seconds))
	write("cosignature/reject/signature-one-good-one-bad", head+both+"need 1\n", at(2, "\x00\x00\x00\x00\x00\x00\x00\x01"))
}

func writeProofs(t *testing.T, write func(name, head, content string), head string) {
	a, b := "witness.example/a", "witness.example/b"
	both := "witness " + witnessKey(t, a).String() + "\nwitness " + witnessKey(t, b).String() + "\nneed 2\n"
	of := func(i int) string { r := record(i); return "record " + hex.EncodeToString(r[:]) + "\n" }
	make := func(index, size int, extra string) (tlog.Proof, string) {
		tree, m := build(t, records(0, size))
		p := tlog.Proof{Index: uint64(index), Hashes: must(view(t, tree, m).Inclusion(uint64(index)))(t), Checkpoint: signed(t, size, a, b).Bytes(), Extra: []byte(extra)}
		return p, string(must(p.Bytes())(t))
	}
	h := head + both + of(77)
	p, whole := make(77, 300, "an envelope\n")
	_, bare := make(77, 300, "")
	_, one := make(0, 1, "")
	_, last := make(299, 300, "")
	write("tlog-proof/accept/extra", h, whole)
	write("tlog-proof/accept/without-extra", h, bare)
	write("tlog-proof/accept/first-of-one", head+both+of(0), one)
	write("tlog-proof/accept/last", head+both+of(299), last)
	first, second := p.Hashes[0].String()+"\n", p.Hashes[1].String()+"\n"
	extra := strings.SplitAfterN(whole, "\n", 3)[1]
	for name, s := range map[string]string{
		"proof-of-another-index":     strings.Replace(whole, "index 77\n", "index 76\n", 1),
		"proof-hash-missing":         strings.Replace(whole, first, "", 1),
		"proof-hash-more":            strings.Replace(whole, first, first+first, 1),
		"proof-hashes-swapped":       strings.Replace(whole, first+second, second+first, 1),
		"proof-hash-changed":         strings.Replace(whole, first, tlog.Hash{}.String()+"\n", 1),
		"index-behind-the-end":       strings.Replace(whole, "index 77\n", "index 300\n", 1),
		"toolarge-index":             strings.Replace(whole, "index 77\n", "index 9007199254740992\n", 1),
		"toolarge-hashes":            strings.Replace(whole, first, strings.Repeat(first, 64), 1),
		"syntax-index-leading-zero":  strings.Replace(whole, "index 77\n", "index 077\n", 1),
		"syntax-index-negative":      strings.Replace(whole, "index 77\n", "index -77\n", 1),
		"syntax-no-index":            strings.Replace(whole, "index 77\n", "", 1),
		"syntax-empty":               "",
		"syntax-version-newer":       strings.Replace(whole, "proof@v1", "proof@v2", 1),
		"syntax-extra-empty":         strings.Replace(whole, extra, "extra \n", 1),
		"syntax-extra-no-base64":     strings.Replace(whole, extra, "extra !\n", 1),
		"syntax-extra-loose-bits":    strings.Replace(whole, extra, "extra YR==\n", 1),
		"syntax-extra-twice":         strings.Replace(whole, extra, extra+extra, 1),
		"syntax-extra-behind-index":  strings.Replace(whole, extra+"index 77\n", "index 77\n"+extra, 1),
		"syntax-hash-short":          strings.Replace(whole, first, first[4:], 1),
		"syntax-hash-loose-bits":     strings.Replace(whole, first, strings.Repeat("A", 42)+"B=\n", 1),
		"syntax-no-empty-line":       strings.Replace(whole, "\n\n", "\n", 1),
		"syntax-no-checkpoint":       whole[:strings.Index(whole, "\n\n")+2],
		"syntax-carriage-returns":    strings.ReplaceAll(whole, "\n", "\r\n"),
		"syntax-line-behind":         whole + "\n",
		"signature-of-another-tree":  strings.Replace(whole, "\n300\n", "\n301\n", 1),
		"witnesses-too-few":          string(must(tlog.Proof{Index: 77, Hashes: p.Hashes, Checkpoint: signed(t, 300, a).Bytes()}.Bytes())(t)),
		"proof-of-a-smaller-tree":    string(must(tlog.Proof{Index: 77, Hashes: p.Hashes, Checkpoint: signed(t, 299, a, b).Bytes()}.Bytes())(t)),
		"syntax-signatures-unsorted": swapLast(whole),
	} {
		write("tlog-proof/reject/"+name, h, s)
	}
	write("tlog-proof/reject/proof-of-another-record", head+both+of(78), whole)
	write("tlog-proof/reject/origin-another", "log "+must(tlog.NewLogKey("example.com/log", newSigner(t, "log").Public()))(t).String()+"\n"+both+of(77), whole)
}

func swapLast(s string) string {
	lines := slices.Collect(strings.Lines(s))
	n := len(lines)
	lines[n-1], lines[n-2] = lines[n-2], lines[n-1]
	return strings.Join(lines, "")
}
