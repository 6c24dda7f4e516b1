import { randomBytes } from "node:crypto";

import { monitoringMessage, type Message } from "../../src/client/message.js";
import { Envelope } from "../../src/model/envelope.js";
import { runId } from "./builders.js";

/** What a test may want to say of an envelope. By default it is the first one of a new sender. */
export interface EnvelopeFields {
  readonly senderId?: string;
  readonly first?: number;
  readonly runId?: string;
  readonly hostname?: string;
  readonly utcOffsetSeconds?: number;
  /** Makes it the sender's closing note. */
  readonly lastSequence?: number;
  /** Sequences that the sender gave up. */
  readonly losses?: readonly { readonly first: number; readonly last: number; readonly kind: string }[];
}

export function newSenderId(): string {
  return randomBytes(16).toString("hex");
}

/** The bytes of an envelope with these messages. */
export function envelopeOf(messages: readonly Message[], fields: EnvelopeFields = {}): Uint8Array {
  return Envelope.encode({
    senderId: fields.senderId ?? newSenderId(),
    firstSequence: BigInt(fields.first ?? 1),
    runId: fields.runId ?? runId,
    hostname: fields.hostname ?? "",
    utcOffsetSeconds: fields.utcOffsetSeconds,
    messages: messages.map(monitoringMessage),
    closingNote:
      fields.lastSequence === undefined ? undefined : { lastSequence: BigInt(fields.lastSequence) },
    losses: (fields.losses ?? []).map(({ first, last, kind }) => ({
      sequences: { first: BigInt(first), last: BigInt(last) },
      kind,
    })),
  }).finish();
}

/** Field number of Envelope.messages. */
const messagesField = 6;

/** The bytes of an envelope whose messages are given as bytes, broken or unknown ones among them. */
export function envelopeOfBytes(messages: readonly Uint8Array[], fields: EnvelopeFields = {}): Uint8Array {
  return Buffer.concat([
    envelopeOf([], fields),
    ...messages.map((bytes) => lengthDelimited(messagesField, bytes)),
  ]);
}

/** A field of protobuf whose value is bytes; numbers of fields up to 15. */
export function lengthDelimited(field: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.of((field << 3) | 2), varint(bytes.length), bytes]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.of(...bytes, rest);
    bytes.push((rest % 128) | 128);
  }
}
