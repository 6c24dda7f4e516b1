import type { CommittedMessage } from "../model/subscription.js";
import { timestampOf } from "../model/time.js";
import { readEnvelope } from "./envelope-reader.js";
import type { LogEntry } from "./message-log.js";

/** A message with its bytes as they came, also where they are no message that we know. */
export interface LoggedMessage extends CommittedMessage {
  readonly bytes: Uint8Array;
}

/** The messages of an entry, each with what the log knows of it. */
export function messagesIn({ envelope: bytes, rejections, committedAt }: LogEntry): LoggedMessage[] {
  const envelope = readEnvelope(bytes);
  if ("invalid" in envelope || envelope.sequences === undefined) return [];
  const { senderId, context, sequences } = envelope;
  return envelope.messages.map((read, index) => {
    const message = "unreadable" in read ? undefined : read;
    const sequence = sequences.first + index;
    return {
      senderId,
      sequence: BigInt(sequence),
      runId: message?.kind?.value.runId ?? context.runId,
      hostname: context.hostname,
      committedAt: timestampOf(committedAt),
      message,
      rejectedReason: rejections.get(sequence) ?? "",
      bytes: envelope.bytesOf(index),
    };
  });
}
