import type { CollectorError } from "../../src/base/errors.js";
import { Envelope, type Acknowledgement } from "../../src/model/envelope.js";
import type { Inbox } from "../../src/radios/radio.js";

/** An inbox that keeps the envelopes that it hears, and whose commits are the test's. */
export class EnvelopeInbox implements Inbox {
  /** Every envelope that was accepted, and by which radio it came. */
  readonly heard: { readonly envelope: Envelope; readonly radio: string }[] = [];
  /** Set by a test whose inbox has no room. */
  room: Promise<void> | undefined;
  /** Set by a test whose inbox refuses. */
  refusal: CollectorError | undefined;
  /** Set by a test that lets commits wait. */
  commit: Promise<void> = Promise.resolve();

  async accept(bytes: Uint8Array, radio: string): Promise<Acknowledgement> {
    if (this.refusal !== undefined) throw this.refusal;
    const envelope = Envelope.decode(bytes);
    this.heard.push({ envelope, radio });
    await this.commit;
    const { senderId, firstSequence, messages, closingNote } = envelope;
    const last = firstSequence + BigInt(messages.length) - 1n;
    return {
      senderId,
      committed: messages.length === 0 ? undefined : { first: firstSequence, last },
      rejections: [],
      closed: closingNote !== undefined,
    };
  }

  /** Sequences of all messages that were accepted, in the order in which they came. */
  get sequences(): number[] {
    return this.heard.flatMap(({ envelope }) =>
      envelope.messages.map((_, index) => Number(envelope.firstSequence) + index),
    );
  }

  /** Closing notes that were accepted. */
  get notes(): number {
    return this.heard.filter(({ envelope }) => envelope.closingNote !== undefined).length;
  }
}
