import { Envelope } from "../model/envelope.js";
import { kindName } from "../model/kinds.js";
import type { OutgoingEnvelope } from "../radios/radio.js";

/** Each message of an envelope in an envelope of its own, and after them its closing note and losses. */
export function aloneOf({ bytes }: OutgoingEnvelope): OutgoingEnvelope[] {
  const { messages, firstSequence, closingNote, losses, ...head } = Envelope.decode(bytes);
  const alone = messages.map((message, index) =>
    outgoing({
      ...Envelope.create(head),
      firstSequence: firstSequence + BigInt(index),
      messages: [message],
    }),
  );
  if (closingNote === undefined && losses.length === 0) return alone;
  return [...alone, outgoing({ ...Envelope.create(head), closingNote, losses })];
}

/** What takes the place of an envelope of one message that is refused: the collector keeps it, with the reason,
 *  with the rejected messages, under the same sequence. */
export function refusedOf({ bytes }: OutgoingEnvelope, reason: string): OutgoingEnvelope {
  const envelope = Envelope.decode(bytes);
  const [message] = envelope.messages;
  const kind = message === undefined ? "message" : kindName(message);
  const unreadable = {
    runId: message?.kind?.value.runId,
    reason: `refused on its way: ${reason}`,
    text: `${kind} of ${String(bytes.length)} bytes`,
  };
  return outgoing({
    ...envelope,
    messages: [{ kind: { $case: "unreadableMessage", value: unreadable } }],
  });
}

function outgoing(envelope: Envelope): OutgoingEnvelope {
  const { senderId, firstSequence, messages } = envelope;
  return {
    bytes: Envelope.encode(envelope).finish(),
    senderId,
    firstSequence: Number(firstSequence),
    count: messages.length,
  };
}
