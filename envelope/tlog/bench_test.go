package tlog_test

import (
	"testing"

	"github.com/open-covenant/covenant-git/envelope/tlog"
)

const million = 1_000_000

func BenchmarkGrow(b *testing.B) {
	list := records(0, million)
	b.Run("1M at once", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tlog.Grow(tlog.Tree{}, tlog.TileMap{}, seq(list), func(tlog.Tile) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/leaf")
	})
	tree, m := build(b, list)
	more := records(million, million+10)
	b.Run("10 after 1M", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := tlog.Grow(tree, m, seq(more), func(tlog.Tile) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkProve(b *testing.B) {
	tree, m := build(b, records(0, million))
	b.Run("inclusion in 1M", func(b *testing.B) {
		for b.Loop() {
			if _, err := view(b, tree, m).Inclusion(777_777); err != nil {
				b.Fatal(err)
			}
		}
	})
	v := view(b, tree, m)
	b.Run("inclusion in 1M, tiles kept", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.Inclusion(777_777); err != nil {
				b.Fatal(err)
			}
		}
	})
	p := must(v.Inclusion(777_777))(b)
	b.Run("check of inclusion in 1M", func(b *testing.B) {
		for b.Loop() {
			if err := tree.CheckInclusion(p, 777_777, record(777_777)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("consistency in 1M", func(b *testing.B) {
		for b.Loop() {
			if _, err := view(b, tree, m).Consistency(654_321); err != nil {
				b.Fatal(err)
			}
		}
	})
}
