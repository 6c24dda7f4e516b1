package collector

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	pb "parsl-collector/clients/go/collectorpb"
)

// 500 messages share the cost of one envelope, and more gain little. 256 KiB bound what one envelope holds up on a
// thin line. Eight on their way keep the collector busy while the acknowledgement of the first travels back.
const (
	maxEnvelopeMessages = 500
	maxEnvelopeBytes    = 256 << 10
	maxOnTheWay         = 8
)

const (
	// Number of Envelope.messages.
	messagesField protowire.Number = 6
	// Bytes of its tag, and of the length of a message of up to 256 MiB.
	maxFieldHeadBytes = 1 + 4
)

// A cut is what one envelope on its way carries.
type cut struct {
	first uint64 // sequence of the first message
	count int    // of messages
	bytes int    // of the messages
	note  bool   // the closing note too
}

// A window holds a sender's messages from the moment they are taken until they are acknowledged: it numbers them,
// cuts envelopes, and begins anew at the first that is not acknowledged when a stream ends. It knows no clock and
// no wire, and its user holds a lock.
type window struct {
	messages     [][]byte // serialized; the first has the sequence acknowledged+1
	bytes        int      // of messages
	acknowledged uint64   // everything up to this sequence
	onTheWay     []cut
	cutMessages  int // the first of messages, which are on the way
	cutBytes     int // of those
	answered     bool
	aloneUpTo    uint64 // messages up to this sequence travel alone, one after the other
	replaced     uint64 // sequence of the last message that was replaced
	closing      bool   // no message comes after these
	closed       bool   // the closing note is acknowledged, and everything before it
}

// last is the sequence of the last message taken.
func (w *window) last() uint64 { return w.acknowledged + uint64(len(w.messages)) }

// take gives a message the next sequence.
func (w *window) take(message []byte) {
	w.messages = append(w.messages, message)
	w.bytes += len(message)
}

func (w *window) isAlone() bool { return w.acknowledged < w.aloneUpTo }

// owesNote tells whether a closing note is yet to be cut.
func (w *window) owesNote() bool {
	n := len(w.onTheWay)
	return w.closing && !w.closed && (n == 0 || !w.onTheWay[n-1].note)
}

// ready tells whether to send an envelope now: at once when nothing is on its way; otherwise messages gather until
// an envelope is full or an acknowledgement comes, so that a lone message is quick and many are cheap.
func (w *window) ready() bool {
	onTheWay, rest := len(w.onTheWay), len(w.messages)-w.cutMessages
	if onTheWay >= maxOnTheWay || w.isAlone() && onTheWay > 0 || rest == 0 && !w.owesNote() {
		return false
	}
	full := rest >= maxEnvelopeMessages || w.bytes-w.cutBytes >= maxEnvelopeBytes
	return full || onTheWay == 0 || w.answered || w.closing
}

// idle tells whether everything that was ever taken is acknowledged, and more may come: a heartbeat makes sense.
func (w *window) idle() bool {
	return w.last() > 0 && len(w.messages) == 0 && len(w.onTheWay) == 0 && !w.closing
}

// next cuts an envelope, which does not yet say who its sender is; to be called when ready, or idle for a heartbeat.
func (w *window) next() *pb.Envelope {
	most := maxEnvelopeMessages
	if w.isAlone() {
		most = 1
	}
	rest := w.messages[w.cutMessages:]
	c := cut{first: w.acknowledged + uint64(w.cutMessages) + 1}
	for _, message := range rest[:min(most, len(rest))] {
		if c.count > 0 && c.bytes+len(message) > maxEnvelopeBytes {
			break
		}
		c.count++
		c.bytes += len(message)
	}
	c.note = c.count == len(rest) && w.owesNote()
	w.onTheWay = append(w.onTheWay, c)
	w.cutMessages += c.count
	w.cutBytes += c.bytes
	w.answered = false

	envelope := &pb.Envelope{}
	if c.count > 0 {
		envelope.FirstSequence = c.first
	}
	if c.note {
		envelope.ClosingNote = &pb.ClosingNote{LastSequence: w.last()}
	}
	// The messages are serialized already, and protobuf serializes what it does not know as it stands.
	fields := make([]byte, 0, c.bytes+c.count*maxFieldHeadBytes)
	for _, message := range rest[:c.count] {
		fields = protowire.AppendTag(fields, messagesField, protowire.BytesType)
		fields = protowire.AppendBytes(fields, message)
	}
	envelope.ProtoReflect().SetUnknown(fields)
	return envelope
}

// acknowledge forgets the oldest envelope on its way, which is the one that is answered. It fails, and changes
// nothing, when the answer is not that envelope's.
func (w *window) acknowledge(answer *pb.Acknowledgement) error {
	if len(w.onTheWay) == 0 {
		return fmt.Errorf("an acknowledgement of %v, and nothing is on its way", answer.GetCommitted())
	}
	c := w.onTheWay[0]
	first, last := c.first, c.first+uint64(c.count)-1
	if c.count == 0 {
		first, last = 0, 0
	}
	committed := answer.GetCommitted()
	if committed.GetFirst() != first || committed.GetLast() != last || c.note && !answer.GetClosed() {
		return fmt.Errorf("an acknowledgement out of order: %v in answer to messages %d to %d", answer, first, last)
	}
	clear(w.messages[:c.count]) // the array lives on behind the slice
	w.messages = w.messages[c.count:]
	w.acknowledged += uint64(c.count)
	w.bytes -= c.bytes
	w.cutMessages -= c.count
	w.cutBytes -= c.bytes
	w.onTheWay = w.onTheWay[1:]
	w.answered = true
	w.closed = c.note
	return nil
}

// rewind puts what is on its way back: the stream ended, and it is cut again with the same sequences.
func (w *window) rewind() {
	w.onTheWay, w.cutMessages, w.cutBytes = nil, 0, 0
}

// refuse is told that an envelope on its way was refused for ever; a rewind is to follow. When it was one message,
// that is replaced. Otherwise nobody knows which message is to blame, and it is known when all have travelled alone.
// It returns false when no message is to blame, or the replacement was refused as well.
func (w *window) refuse(replacement []byte) bool {
	switch {
	case w.cutMessages > 1:
		w.aloneUpTo = w.acknowledged + uint64(w.cutMessages)
		return true
	case w.cutMessages == 0 || w.replaced == w.acknowledged+1:
		return false
	default:
		w.bytes += len(replacement) - len(w.messages[0])
		w.messages[0] = replacement
		w.replaced = w.acknowledged + 1
		return true
	}
}
