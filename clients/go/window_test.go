package collector

import (
	"slices"
	"testing"

	pb "parsl-collector/clients/go/collectorpb"
)

// sizes cuts while the window is ready, and returns how many messages each envelope got.
func sizes(w *window) (counts []int) {
	for w.ready() {
		w.next()
		counts = append(counts, w.onTheWay[len(w.onTheWay)-1].count)
	}
	return counts
}

func takeMany(w *window, count, bytes int) {
	for range count {
		w.take(make([]byte, bytes))
	}
}

func acknowledgeFirst(t *testing.T, w *window) {
	t.Helper()
	c := w.onTheWay[0]
	err := w.acknowledge(&pb.Acknowledgement{Committed: &pb.SequenceRange{First: c.first, Last: c.first + uint64(c.count) - 1}})
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, got []int, want ...int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("envelopes of %v messages, want %v", got, want)
	}
}

func TestEightEnvelopesOf500MessagesAreOnTheWayAtMost(t *testing.T) {
	var w window
	takeMany(&w, 5000, 10)

	want(t, sizes(&w), 500, 500, 500, 500, 500, 500, 500, 500)
	acknowledgeFirst(t, &w)
	want(t, sizes(&w), 500)
}

func TestAnEnvelopeHas256KiBAtMostOrOneMessage(t *testing.T) {
	var w window
	takeMany(&w, 3, 100<<10)
	takeMany(&w, 1, 300<<10)
	takeMany(&w, 1, 156<<10)
	takeMany(&w, 1, 100<<10)

	want(t, sizes(&w), 2, 1, 1, 2)
}

func TestMessagesGatherWhileSomethingIsOnItsWay(t *testing.T) {
	var w window
	takeMany(&w, 1, 10)
	want(t, sizes(&w), 1)
	takeMany(&w, 10, 10)
	want(t, sizes(&w))

	takeMany(&w, 490, 10)
	want(t, sizes(&w), 500)
	takeMany(&w, 10, 10)
	want(t, sizes(&w))

	acknowledgeFirst(t, &w)
	want(t, sizes(&w), 10)

	takeMany(&w, 10, 10)
	w.closing = true
	want(t, sizes(&w), 10)
}

func TestAWindowIsIdleOnceAllIsAcknowledgedAndUntilItCloses(t *testing.T) {
	var w window
	wantIdle := func(want bool, when string) {
		t.Helper()
		if w.idle() != want {
			t.Errorf("idle is %v %s", !want, when)
		}
	}
	wantIdle(false, "before the first message")
	takeMany(&w, 1, 10)
	wantIdle(false, "with a message that waits")
	w.next()
	wantIdle(false, "with one on its way")
	acknowledgeFirst(t, &w)
	wantIdle(true, "when it is acknowledged")
	w.next()
	wantIdle(false, "with a heartbeat on its way")
	if err := w.acknowledge(&pb.Acknowledgement{}); err != nil {
		t.Fatal(err)
	}
	wantIdle(true, "when that is acknowledged")
	w.closing = true
	wantIdle(false, "when it closes")
}

func TestAnAnswerToSomethingElseIsNotTaken(t *testing.T) {
	var w window
	takeMany(&w, 2, 10)
	w.next()

	for _, wrong := range []*pb.SequenceRange{nil, {First: 1, Last: 1}, {First: 2, Last: 3}} {
		if w.acknowledge(&pb.Acknowledgement{Committed: wrong}) == nil {
			t.Errorf("%v was taken for messages 1 to 2", wrong)
		}
	}

	acknowledgeFirst(t, &w)
	if w.acknowledged != 2 || w.bytes != 0 {
		t.Errorf("acknowledged up to %d, %d bytes left", w.acknowledged, w.bytes)
	}
	if w.acknowledge(&pb.Acknowledgement{}) == nil {
		t.Error("an answer to nothing was taken")
	}
}
