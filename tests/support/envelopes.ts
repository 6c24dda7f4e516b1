import { encodeEnvelope, encodeMessage } from "../../src/client/encoding.js";
import type { Message } from "../../src/client/message.js";
import type { OutgoingEnvelope } from "../../src/radios/radio.js";
import { runId } from "./builders.js";

export interface EnvelopeFields {
  /** 32 hexadecimal digits; by default always the same. */
  readonly senderId?: string;
  readonly firstSequence?: number;
  readonly runId?: string;
  readonly hostname?: string;
  readonly messages?: readonly Message[];
  /** Sets a closing note. */
  readonly lastSequence?: number;
}

/** An envelope as a sender hands it to a radio. */
export function envelope(fields: EnvelopeFields = {}): OutgoingEnvelope {
  const { senderId = "5e".repeat(16), messages = [] } = fields;
  const firstSequence = fields.firstSequence ?? (messages.length === 0 ? 0 : 1);
  const speaker = {
    senderId,
    runId: fields.runId ?? runId,
    hostname: fields.hostname ?? "n1",
    utcOffsetSeconds: 0,
  };
  const encoded = messages.map((message) => encodeMessage(message));
  const bytes = encodeEnvelope(speaker, {
    firstSequence,
    messages: encoded,
    lastSequence: fields.lastSequence,
  });
  return { bytes, senderId, firstSequence, count: messages.length };
}
