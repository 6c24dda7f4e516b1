import { BinaryReader } from "@bufbuild/protobuf/wire";

import { reasonOf } from "../base/errors.js";
import { Envelope } from "../model/envelope.js";
import { messageAt, partsOf, type EnvelopeParts } from "../model/envelope-parts.js";
import { MonitoringMessage } from "../model/messages.js";
import type { Interval } from "./ledger.js";
import { longestName, type Context, type Facts } from "./rows/facts.js";
import { SampleReader } from "./rows/sample-reader.js";

const longestSenderId = 64;

/** Field number of MonitoringMessage.node_info, as in messages.proto. */
const nodeInfoField = 3;

/** Largest NodeInfo, in bytes. Its lists of tasks and packages take up to thirty times as much in memory. */
const mostNodeInfoBytes = 1024 * 1024;

/** A message, or why its bytes are none. */
export type DecodedMessage = MonitoringMessage | { readonly unreadable: string };

/** The same, of a sample mostly what it says at once. */
export type ReadMessage = DecodedMessage | { readonly sample: Facts };

/** An envelope as the writer uses it. */
export interface ReceivedEnvelope {
  readonly senderId: string;
  readonly context: Context;
  readonly utcOffsetSeconds: number | undefined;
  /** Undefined in an envelope with no messages. */
  readonly sequences: Interval | undefined;
  /** How many messages it has. */
  readonly length: number;
  /** All of them, decoded when they are first asked for. */
  readonly messages: readonly DecodedMessage[];
  /** The sender's last sequence, when this is its closing note. */
  readonly lastSequence: number | undefined;
  /** Sequences that the sender gave up, and of which kind they were. */
  readonly losses: readonly (Interval & { readonly kind: string })[];
  /** All of it, as it came. */
  readonly bytes: Uint8Array;
  /** The message at an index, read by the shortest way to its row. */
  read(index: number): ReadMessage;
  /** How many bytes the message at an index has. */
  sizeOf(index: number): number;
  /** The bytes of the message at an index, as they came. */
  bytesOf(index: number): Uint8Array;
}

/** Reads an envelope, or says why its bytes are none. A message in it whose bytes are broken costs only
 *  itself. */
export function readEnvelope(bytes: Uint8Array): ReceivedEnvelope | { readonly invalid: string } {
  let envelope: Envelope;
  let parts: EnvelopeParts;
  try {
    parts = partsOf(bytes);
    envelope = Envelope.decode(parts.rest);
  } catch (cause) {
    return { invalid: `its bytes are no envelope (${reasonOf(cause)})` };
  }
  const { senderId, closingNote } = envelope;
  if (senderId === "" || senderId.length > longestSenderId) {
    return {
      invalid: `sender_id must have 1 to ${String(longestSenderId)} characters, got ${String(senderId.length)}`,
    };
  }
  for (const [field, { length }] of [
    ["run_id", envelope.runId],
    ["hostname", envelope.hostname],
  ] as const) {
    if (length > longestName) {
      return { invalid: `${field} may have ${String(longestName)} characters, got ${String(length)}` };
    }
  }
  const { starts, ends } = parts;
  const { length } = starts;
  const first = Number(envelope.firstSequence);
  const last = first + (length - 1); // grouped so, exact up to 2^53
  if (length > 0 && (first < 1 || last > Number.MAX_SAFE_INTEGER)) {
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
  const context = { runId: envelope.runId, hostname: envelope.hostname };
  const samples = new SampleReader(bytes);
  const bytesOf = (index: number): Uint8Array => messageAt(bytes, parts, index);
  let messages: DecodedMessage[] | undefined;
  return {
    senderId,
    context,
    utcOffsetSeconds: envelope.utcOffsetSeconds,
    sequences: length === 0 ? undefined : { first, last },
    length,
    get messages() {
      return (messages ??= starts.map((_, index) => readMessage(bytesOf(index))));
    },
    lastSequence,
    losses,
    bytes,
    read: (index) => {
      const decoded = messages?.[index];
      if (decoded !== undefined) return decoded;
      const sample = samples.read(starts[index] ?? 0, ends[index] ?? 0, context);
      return sample === undefined ? readMessage(bytesOf(index)) : { sample };
    },
    sizeOf: (index) => (ends[index] ?? 0) - (starts[index] ?? 0),
    bytesOf,
  };
}

/** Reads one message, or says why its bytes are none. */
export function readMessage(bytes: Uint8Array): DecodedMessage {
  try {
    if (bytes.length > mostNodeInfoBytes) refuseLargeNodeInfo(bytes);
    return MonitoringMessage.decode(bytes);
  } catch (cause) {
    return { unreadable: `its bytes are no message (${reasonOf(cause)})` };
  }
}

function refuseLargeNodeInfo(bytes: Uint8Array): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    const { length } = reader.skip(wireType, field);
    if (field === nodeInfoField && length > mostNodeInfoBytes) {
      throw new Error(`a NODE_INFO of ${String(length)} bytes, at most ${String(mostNodeInfoBytes)}`);
    }
  }
}
