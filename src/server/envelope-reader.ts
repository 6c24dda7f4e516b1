import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

import { reasonOf } from "../base/errors.js";
import { Envelope } from "../model/envelope.js";
import { MonitoringMessage } from "../model/messages.js";
import type { Interval } from "./ledger.js";
import type { Context } from "./rows/facts.js";

/** Field numbers of Envelope, as in envelope.proto. */
const messagesField = 6;

const longestSenderId = 64;

/** An envelope as the writer uses it. */
export interface ReceivedEnvelope {
  readonly senderId: string;
  readonly context: Context;
  readonly utcOffsetSeconds: number | undefined;
  /** Undefined in an envelope with no messages. */
  readonly sequences: Interval | undefined;
  /** A message, or why its bytes are none. */
  readonly messages: readonly (MonitoringMessage | { readonly unreadable: string })[];
  /** The sender's last sequence, when this is its closing note. */
  readonly lastSequence: number | undefined;
  /** Sequences that the sender gave up, and of which kind they were. */
  readonly losses: readonly (Interval & { readonly kind: string })[];
  /** The bytes of the message at an index, as they came. */
  bytesOf(index: number): Uint8Array;
}

/** Reads an envelope, or says why its bytes are none. A message in it whose bytes are broken costs only
 *  itself: each is decoded from its own bytes, since the generated decoder lets a wrong length inside a
 *  message reach into its neighbours. */
export function readEnvelope(bytes: Uint8Array): ReceivedEnvelope | { readonly invalid: string } {
  let envelope: Envelope;
  let parts: readonly Uint8Array[];
  try {
    const { rest, messages } = split(bytes);
    envelope = Envelope.decode(rest);
    parts = messages;
  } catch (cause) {
    return { invalid: `its bytes are no envelope (${reasonOf(cause)})` };
  }
  const { senderId, closingNote } = envelope;
  if (senderId === "" || senderId.length > longestSenderId) {
    return {
      invalid: `sender_id must have 1 to ${String(longestSenderId)} characters, got ${String(senderId.length)}`,
    };
  }
  const first = Number(envelope.firstSequence);
  const last = first + (parts.length - 1); // grouped so, exact up to 2^53
  if (parts.length > 0 && (first < 1 || last > Number.MAX_SAFE_INTEGER)) {
    return { invalid: `first_sequence must be from 1 to 2^53 - 1, got ${String(envelope.firstSequence)}` };
  }
  const lastSequence = closingNote === undefined ? undefined : Number(closingNote.lastSequence);
  if (lastSequence !== undefined && !Number.isSafeInteger(lastSequence)) {
    return {
      invalid: `closing_note.last_sequence must be below 2^53, got ${String(closingNote?.lastSequence)}`,
    };
  }
  const losses = envelope.losses.map(({ sequences: lost, kind }) => ({
    first: Number(lost?.first ?? 0n),
    last: Number(lost?.last ?? 0n),
    kind,
  }));
  const wrong = losses.find(
    (lost) => lost.first < 1 || lost.last < lost.first || lost.last > Number.MAX_SAFE_INTEGER,
  );
  if (wrong !== undefined) {
    return {
      invalid: `losses must be runs of sequences from 1 to 2^53 - 1, got ${String(wrong.first)} to ${String(wrong.last)}`,
    };
  }
  return {
    senderId,
    context: { runId: envelope.runId, hostname: envelope.hostname },
    utcOffsetSeconds: envelope.utcOffsetSeconds,
    sequences: parts.length === 0 ? undefined : { first, last },
    messages: parts.map(readMessage),
    lastSequence,
    losses,
    bytesOf: (index) => parts[index] ?? new Uint8Array(),
  };
}

/** Reads one message, or says why its bytes are none. */
export function readMessage(bytes: Uint8Array): MonitoringMessage | { readonly unreadable: string } {
  try {
    return MonitoringMessage.decode(bytes);
  } catch (cause) {
    return { unreadable: `its bytes are no message (${reasonOf(cause)})` };
  }
}

/** The bytes of each message of an envelope, and the envelope without them. */
function split(bytes: Uint8Array): { rest: Uint8Array; messages: Uint8Array[] } {
  const reader = new BinaryReader(bytes);
  const messages: Uint8Array[] = [];
  const others: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === messagesField && wireType === WireType.LengthDelimited) {
      messages.push(reader.bytes());
    } else {
      reader.skip(wireType, field);
      others.push(bytes.subarray(start, reader.pos));
    }
  }
  return { rest: Buffer.concat(others), messages };
}
