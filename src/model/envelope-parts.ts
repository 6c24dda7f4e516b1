import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** Field numbers of Envelope, as in envelope.proto. */
const messagesField = 6;
const lossesField = 8;

/** Messages that one envelope may have: 40 times what our senders put into one. In memory an empty message takes
 *  a hundred times its two bytes, and a request may be of 64 MiB. Should no table take any of them, the answer
 *  still has less than the 4 MiB that gRPC allows a client by default. */
const mostMessages = 20_000;

/** Losses that one envelope may have; they too take a hundred times their bytes. */
const mostLosses = 100_000;

export interface EnvelopeParts {
  /** The bytes of each message. */
  readonly messages: readonly Uint8Array[];
  /** The envelope without them. */
  readonly rest: Uint8Array;
}

/** Takes an envelope apart without decoding it, so that a message whose bytes are broken costs only itself: the
 *  generated decoder lets a wrong length inside a message reach into its neighbours. Throws for bytes that are no
 *  envelope, and for one with more messages or losses than it may have. */
export function partsOf(envelope: Uint8Array): EnvelopeParts {
  const reader = new BinaryReader(envelope);
  const messages: Uint8Array[] = [];
  const others: Uint8Array[] = [];
  let losses = 0;
  let othersFrom = 0;
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === messagesField && wireType === WireType.LengthDelimited) {
      if (start > othersFrom) others.push(envelope.subarray(othersFrom, start));
      messages.push(reader.bytes());
      othersFrom = reader.pos;
    } else {
      reader.skip(wireType, field);
      if (field === lossesField) losses += 1;
    }
    if (messages.length > mostMessages) {
      throw new Error(`more than ${String(mostMessages)} messages; send several envelopes`);
    }
    if (losses > mostLosses) throw new Error(`more than ${String(mostLosses)} losses; tell them in several`);
  }
  others.push(envelope.subarray(othersFrom));
  return { messages, rest: Buffer.concat(others) };
}
