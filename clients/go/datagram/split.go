package datagram

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of Envelope.
const (
	firstSequence protowire.Number = 2
	messages      protowire.Number = 6
	closingNote   protowire.Number = 7
	losses        protowire.Number = 8
)

// Split takes a serialized Envelope apart into such of at most mostBytes each; a message or loss that is larger
// travels alone. The closing note, which is worth more than any other datagram, is returned as an envelope of its
// own; nil when there is none. Fields are moved as they stand, so that kinds which are not known here come through.
func Split(envelope []byte, mostBytes int) (parts [][]byte, note []byte, err error) {
	var head, closing []byte
	var first uint64
	var pieces, lost [][]byte
	for rest := envelope; len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return nil, nil, fmt.Errorf("split envelope at byte %d: %w", len(envelope)-len(rest), protowire.ParseError(n))
		}
		field := rest[:n]
		rest = rest[n:]
		switch number {
		case firstSequence:
			first, _ = protowire.ConsumeVarint(field[protowire.SizeTag(firstSequence):])
		case messages:
			pieces = append(pieces, field)
		case closingNote:
			closing = field
		case losses:
			lost = append(lost, field)
		default:
			head = append(head, field...)
		}
	}
	if closing != nil {
		note = append(head[:len(head):len(head)], closing...)
	}
	messageCount := len(pieces)
	pieces = append(pieces, lost...)
	if closing == nil && (len(envelope) <= mostBytes || len(pieces) < 2) {
		return [][]byte{envelope}, nil, nil
	}
	for i, piece := range pieces {
		last := len(parts) - 1
		if last >= 0 && len(parts[last])+len(piece) <= mostBytes {
			parts[last] = append(parts[last], piece...)
			continue
		}
		part := head[:len(head):len(head)]
		if i < messageCount {
			part = protowire.AppendTag(part, firstSequence, protowire.VarintType)
			part = protowire.AppendVarint(part, first+uint64(i))
		}
		parts = append(parts, append(part, piece...))
	}
	return parts, note, nil
}
