package git

import (
	"bufio"
	"iter"
)

// window bounds how many items may be written to a child and not yet answered.
const window = 1024

// line feeds items to a child from one goroutine while another reads the answers, in order, so
// that neither side waits for the other: a turn per item would cost a process switch each.
type line[T, R any] struct {
	start   func() (*process, error)
	write   func(*bufio.Writer, T) error
	flush   func(*bufio.Writer) error // sends, and makes the child answer
	read    func(*process, T) (r R, err error, broken bool)
	give    func(*process) // takes back a child that is in step
	restart bool           // an item that breaks the child costs only that item
}

// run yields one result per item. When it returns the feeding goroutine has ended.
func (l line[T, R]) run(items iter.Seq[T], yield func(R, error) bool) {
	next, stop := iter.Pull(items)
	defer stop()
	var backlog []T
	for {
		p, err := l.start()
		if err != nil {
			var none R
			yield(none, err)
			return
		}
		f := &feeder[T]{sent: make(chan T, window), quit: make(chan struct{}), left: make(chan []T, 1)}
		go func() { f.left <- feed(l, f, p, backlog, next) }()

		broken, stopped := false, false
		for item := range f.sent {
			var r R
			r, err, broken = l.read(p, item)
			if stopped = !yield(r, err); broken || stopped {
				break
			}
		}
		close(f.quit)
		if !broken && !stopped {
			<-f.left
			l.give(p)
			return
		}
		if !broken && f.finished() {
			l.give(p)
			return
		}
		p.kill() // unblocks the feeder
		left := <-f.left
		if stopped || !l.restart {
			return
		}
		backlog = nil
		for item := range f.sent {
			backlog = append(backlog, item)
		}
		if backlog = append(backlog, left...); len(backlog) == 0 {
			// The feeder may have been stopped before the last item; ask for one more.
			item, ok := next()
			if !ok {
				return
			}
			backlog = append(backlog, item)
		}
	}
}

// feeder is what the two goroutines share.
type feeder[T any] struct {
	sent chan T        // items written, in order; closed when there are no more
	quit chan struct{} // closed when the reader has stopped
	left chan []T      // items taken but not written
}

// finished reports whether every item was written and answered.
func (f *feeder[T]) finished() bool {
	select {
	case left := <-f.left:
		f.left <- left
		return len(left) == 0 && len(f.sent) == 0
	default:
		return false
	}
}

// feed writes the backlog, then what next gives. It returns what it took and did not write.
func feed[T, R any](l line[T, R], f *feeder[T], p *process, backlog []T, next func() (T, bool)) []T {
	defer close(f.sent)
	waiting, step := 0, 1
	for {
		var item T
		if len(backlog) > 0 {
			item = backlog[0]
		} else {
			var ok bool
			if item, ok = next(); !ok {
				// An error shows when the answers are read.
				_ = l.flush(p.w)
				return nil
			}
			backlog = []T{item}
		}
		select {
		case <-f.quit:
			return backlog
		default:
		}
		select {
		case <-f.quit:
			return backlog
		case f.sent <- item:
			backlog = backlog[1:]
		}
		err := l.write(p.w, item)
		// The first results come at once, later ones in batches.
		if waiting++; err == nil && waiting >= step {
			err = l.flush(p.w)
			waiting, step = 0, min(2*step, batch)
		}
		if err != nil {
			return backlog
		}
	}
}
