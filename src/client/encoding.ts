import { CollectorError, reasonOf } from "../base/errors.js";
import { Envelope } from "../model/envelope.js";
import type { MonitoringMessage } from "../model/messages.js";
import { monitoringMessage, type Message } from "./message.js";
import { cutLongestText } from "./long-text.js";
import type { Cut } from "./window.js";

/** Largest message, in bytes: the longest text of a larger one is cut. The collector takes requests of
 *  64 MiB, and would refuse a larger one however often it came, while all behind it waits. */
export const largestMessageBytes = 32 * 1024 * 1024;

/** What an envelope says once for all its messages. */
export interface Speaker {
  readonly senderId: string;
  readonly runId: string;
  readonly hostname: string;
  readonly utcOffsetSeconds: number;
}

const emptyEnvelope: Envelope = {
  senderId: "",
  firstSequence: 0n,
  runId: "",
  hostname: "",
  messages: [],
  closingNote: undefined,
  losses: [],
};

/** The message as it stands in an envelope's bytes. In protobuf the bytes of two parts of a message, one
 *  after the other, are the bytes of both together: so an envelope is made, and made again after a
 *  reconnect, by joining parts, and no message is encoded twice. */
export function encodeMessage(message: Message, mostBytes = largestMessageBytes): Uint8Array {
  const whole = monitoringMessage(message);
  const bytes = encode(whole);
  if (bytes.length <= mostBytes) return bytes;
  return encode(cutLongestText(whole, bytes.length, mostBytes));
}

/** What takes the place of a message that the collector refuses: it keeps the place in the sequence, and the
 *  reason with the rejected messages. */
export function encodeRefused(refused: Uint8Array, reason: string): Uint8Array {
  const { kind } = decodeMessage(refused);
  const text = `${kind?.$case ?? "message"} of ${String(refused.length)} bytes`;
  return encodeMessage({ unreadableMessage: { runId: kind?.value.runId, reason, text } });
}

/** The message of bytes that `encodeMessage` made. */
export function decodeMessage(bytes: Uint8Array): MonitoringMessage {
  return Envelope.decode(bytes).messages[0] ?? { kind: undefined };
}

export function encodeEnvelope(speaker: Speaker, cut: Cut): Uint8Array {
  const { lastSequence } = cut;
  const head = Envelope.encode({
    ...emptyEnvelope,
    ...speaker,
    firstSequence: BigInt(cut.firstSequence),
    closingNote: lastSequence === undefined ? undefined : { lastSequence: BigInt(lastSequence) },
  }).finish();
  return Buffer.concat([head, ...cut.messages]);
}

/** What keeps the run of an idle client from being taken for lost. */
export function encodeHeartbeat({ senderId, runId }: Speaker): Uint8Array {
  return Envelope.encode({ ...emptyEnvelope, senderId, runId }).finish();
}

function encode(message: MonitoringMessage): Uint8Array {
  try {
    // Copied into Node's pool: small arrays of their own, freed in no order, would fragment the memory.
    return Buffer.from(Envelope.encode({ ...emptyEnvelope, messages: [message] }).finish());
  } catch (cause) {
    const kind = message.kind?.$case ?? "message";
    throw new CollectorError("invalid-argument", `encode ${kind}: ${reasonOf(cause)}`, { cause });
  }
}
