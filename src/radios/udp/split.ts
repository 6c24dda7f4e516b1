import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/** Field numbers of Envelope, as in envelope.proto. */
const firstSequenceField = 2;
const messagesField = 6;
const closingNoteField = 7;
const lossesField = 8;

/** What is sent in place of an envelope: envelopes that say the same, each small enough for a datagram. */
export interface Parts {
  readonly parts: readonly Uint8Array[];
  /** The closing note alone, which is worth more than any other datagram: without it the loss at a sender's end
   *  cannot be told from messages that never were. */
  readonly note: Uint8Array | undefined;
}

/** Splits an envelope into such of at most `mostBytes`; a message or loss that is larger travels alone. Fields are
 *  moved as they stand, so that messages of a kind that is not known here come through. Throws for bytes that
 *  are no envelope. */
export function splitEnvelope(envelope: Uint8Array, mostBytes: number): Parts {
  const { head, pieces, closingNote } = read(envelope);
  if (closingNote === undefined && (envelope.length <= mostBytes || pieces.length < 2)) {
    return { parts: [envelope], note: undefined };
  }
  const parts: Uint8Array[][] = [];
  let room = 0;
  for (const { bytes, sequence } of pieces) {
    const opening = sequence === undefined ? head : [...head, sequenceField(sequence)];
    if (bytes.length > room || parts.length === 0) {
      parts.push([...opening]);
      room = mostBytes - lengthOf(opening);
    }
    parts.at(-1)?.push(bytes);
    room -= bytes.length;
  }
  return {
    parts: parts.map((part) => Buffer.concat(part)),
    note: closingNote && Buffer.concat([...head, closingNote]),
  };
}

/** Whether an envelope is a closing note and carries no message. */
export function isNote(envelope: Uint8Array): boolean {
  try {
    const { pieces, closingNote } = read(envelope);
    return closingNote !== undefined && pieces.length === 0;
  } catch {
    return false; // it is no envelope at all, and the inbox says so
  }
}

/** A message or a loss, as its field stands in the envelope. */
interface Piece {
  readonly bytes: Uint8Array;
  /** A message's. */
  readonly sequence?: number;
}

function read(envelope: Uint8Array): {
  readonly head: readonly Uint8Array[];
  readonly pieces: readonly Piece[];
  readonly closingNote: Uint8Array | undefined;
} {
  const reader = new BinaryReader(envelope);
  const head: Uint8Array[] = [];
  const messages: Uint8Array[] = [];
  const losses: Uint8Array[] = [];
  let closingNote: Uint8Array | undefined;
  let first = 0;
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === firstSequenceField && wireType === WireType.Varint) {
      first = Number(reader.uint64());
      continue;
    }
    reader.skip(wireType, field);
    const bytes = envelope.subarray(start, reader.pos);
    if (field === messagesField) messages.push(bytes);
    else if (field === lossesField) losses.push(bytes);
    else if (field === closingNoteField) closingNote = bytes;
    else head.push(bytes);
  }
  const pieces = [
    ...messages.map((bytes, index) => ({ bytes, sequence: first + index })),
    ...losses.map((bytes) => ({ bytes })),
  ];
  return { head, pieces, closingNote };
}

function sequenceField(sequence: number): Uint8Array {
  return new BinaryWriter().tag(firstSequenceField, WireType.Varint).uint64(BigInt(sequence)).finish();
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}
