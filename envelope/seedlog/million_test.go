package seedlog_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/seedlog"
)

var million = flag.Bool("million", false, "a million lines in TestMemory")

// A made is a log that nobody holds in memory: it is written as it is read.
type made struct {
	n       int
	sidecar bool

	i    int
	at   string
	rest bytes.Buffer
}

func (m *made) Read(p []byte) (int, error) {
	for m.rest.Len() == 0 {
		if m.i == m.n {
			return 0, io.EOF
		}
		line := record(m.i)
		if !m.sidecar {
			m.rest.Write(append(line, '\n'))
			m.i++
			continue
		}
		if m.i == 0 {
			m.at = seedlog.Genesis
		}
		h := seedlog.LineHash(line)
		next := seedlog.Link(m.at, h)
		fmt.Fprintf(&m.rest, anchorOf, m.i, line[7:43], 1_700_000_000_000, h, m.at, next)
		m.i, m.at = m.i+1, next
	}
	return m.rest.Read(p)
}

func (m *made) Seek(int64, int) (int64, error) {
	m.i = 0
	m.rest.Reset()
	return 0, nil
}

func record(i int) []byte {
	const hex = "0123456789abcdef"
	b := []byte(`{"id":"00000000-0000-4000-8000-000000000000","timestamp_ms":1700000000000,"issuer":{"display":"operator@covenant","pubkey":"US517G5965aydkZ46HS38QLi7UQiSojurfbQfKCELFx"},"kind":{"type":"tool_call_completed","tool":"echo","arguments_hash_hex":"e7b995efa755c5ff3b84d2188b58cb4ae916a59470eb3761df8a814f11763500","duration_ms":5,"outcome":"ok"}}`)
	for at := 42; i > 0; i, at = i>>4, at-1 {
		b[at] = hex[i&15]
	}
	return b
}

// What a log needs in memory does not grow with it.
func TestMemory(t *testing.T) {
	n := 100_000
	if *million {
		n = 1_000_000
	}
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most, seen := uint64(0), 0
	r, err := seedlog.Verify(&made{n: n}, &made{n: n, sidecar: true}, func(f seedlog.Finding) { t.Fatal(f) }, func(*seedlog.Line) error {
		if seen++; seen%25_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		return nil
	})
	if err != nil || !r.Valid() || r.Events != uint64(n) {
		t.Fatalf("%+v %v", r, err)
	}
	if over := int64(most) - int64(before.HeapAlloc); over > 32<<20 { // 16 of them are the filter of ids
		t.Errorf("%d MiB for %d lines", over>>20, n)
	} else {
		t.Logf("%d MiB for %d lines", over>>20, n)
	}
}

func BenchmarkVerify(b *testing.B) {
	const n = 10_000
	var log, chain bytes.Buffer
	w := seedlog.NewWriter(&log, &chain)
	for i := range n {
		if err := w.WriteLine(record(i)); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(log.Len() + chain.Len()))
	b.ReportAllocs()
	for b.Loop() {
		r, err := seedlog.Verify(bytes.NewReader(log.Bytes()), bytes.NewReader(chain.Bytes()), nil, nil)
		if err != nil || !r.Valid() {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/line")
}
