import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

import { Envelope } from "./envelope.js";

/** Field numbers of Envelope, as in envelope.proto. */
const messagesField = 6;
const lossesField = 8;

/** Messages that one envelope may have: 40 times what our senders put into one. In memory an empty message takes
 *  a hundred times its two bytes, and a request may be of 64 MiB. Should no table take any of them, the answer
 *  still has less than the 4 MiB that gRPC allows a client by default. */
const mostMessages = 20_000;

/** Losses that one envelope may have; they too take a hundred times their bytes. */
const mostLosses = 100_000;

/** Positions in an envelope: a hundred arrays of bytes for as many messages would live as long as the envelope does. */
export interface EnvelopeParts {
  /** Where each message begins. */
  readonly starts: readonly number[];
  /** Where each message ends. */
  readonly ends: readonly number[];
  /** The envelope without them. */
  readonly rest: Uint8Array;
}

/** Takes an envelope apart without decoding it, so that a message whose bytes are broken costs only itself: the
 *  generated decoder lets a wrong length inside a message reach into its neighbours. Throws for bytes that are no
 *  envelope, and for one with more messages or losses than it may have. */
export function partsOf(envelope: Uint8Array): EnvelopeParts {
  const reader = new BinaryReader(envelope);
  const starts: number[] = [];
  const ends: number[] = [];
  const others: Uint8Array[] = [];
  let losses = 0;
  let othersFrom = 0;
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === messagesField && wireType === WireType.LengthDelimited) {
      if (start > othersFrom) others.push(envelope.subarray(othersFrom, start));
      const length = reader.uint32();
      othersFrom = reader.pos + length;
      if (othersFrom > reader.len) throw new RangeError("premature EOF");
      starts.push(reader.pos);
      ends.push(othersFrom);
      reader.pos = othersFrom;
    } else {
      reader.skip(wireType, field);
      if (field === lossesField) losses += 1;
    }
    if (starts.length > mostMessages) {
      throw new Error(`more than ${String(mostMessages)} messages; send several envelopes`);
    }
    if (losses > mostLosses) throw new Error(`more than ${String(mostLosses)} losses; tell them in several`);
  }
  others.push(envelope.subarray(othersFrom));
  return { starts, ends, rest: Buffer.concat(others) };
}

/** The bytes of the message at an index. */
export function messageAt(envelope: Uint8Array, { starts, ends }: EnvelopeParts, index: number): Uint8Array {
  return envelope.subarray(starts[index] ?? 0, ends[index] ?? 0);
}

/** Part of an envelope, as an envelope of its own. */
export interface EnvelopePart {
  /** Sequences of its first and last message; 0 and -1 in one without messages. */
  readonly first: number;
  readonly last: number;
  readonly bytes: Uint8Array;
}

/** The envelopes that have of another one the messages that are wanted, by index: one for each run of them, and the
 *  first with all that is no message; none when nothing would be in it. */
export function splitEnvelope(envelope: Uint8Array, isWanted: (index: number) => boolean): EnvelopePart[] {
  const parts = partsOf(envelope);
  const head = Envelope.decode(parts.rest);
  const first = Number(head.firstSequence);
  const { length } = parts.starts;
  const wanted = Array.from({ length }, (_, index) => index).filter(isWanted);
  if (length > 0 && wanted.length === length) return [{ first, last: first + length - 1, bytes: envelope }];
  const split: EnvelopePart[] = [];
  for (let at = 0; at < wanted.length;) {
    const from = wanted[at] ?? 0;
    const messages: Uint8Array[] = [];
    for (; wanted[at] === from + messages.length; at += 1) {
      messages.push(messageAt(envelope, parts, from + messages.length));
    }
    const firstSequence = BigInt(first + from);
    const others = split.length === 0 ? {} : { closingNote: undefined, losses: [] };
    const bytes = encodeEnvelope({ ...head, ...others, firstSequence }, messages);
    split.push({ first: first + from, last: first + (from + messages.length - 1), bytes });
  }
  if (split.length === 0 && (head.closingNote !== undefined || head.losses.length > 0)) {
    split.push({ first: 0, last: -1, bytes: Envelope.encode({ ...head, firstSequence: 0n }).finish() });
  }
  return split;
}

/** An envelope with more messages behind its own, given as bytes. */
export function encodeEnvelope(head: Envelope, messages: readonly Uint8Array[]): Uint8Array {
  const writer = Envelope.encode(head);
  for (const message of messages) writer.tag(messagesField, WireType.LengthDelimited).bytes(message);
  return writer.finish();
}
