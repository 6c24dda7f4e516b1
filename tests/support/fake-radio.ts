import { CollectorError } from "../../src/base/errors.js";
import { Envelope, type Rejection } from "../../src/model/envelope.js";
import type { OutgoingEnvelope, RadioSender, Receipt } from "../../src/radios/radio.js";

interface Pending {
  readonly envelope: OutgoingEnvelope;
  readonly receipt: PromiseWithResolvers<Receipt>;
}

/** A radio whose other end is the test: it answers or breaks when told. */
export class FakeRadio implements RadioSender {
  /** Every envelope that was ever sent, decoded. */
  readonly heard: Envelope[] = [];
  #pending: Pending[] = [];
  disposals = 0;

  send(envelope: OutgoingEnvelope): Promise<Receipt> {
    this.heard.push(Envelope.decode(envelope.bytes));
    const receipt = Promise.withResolvers<Receipt>();
    this.#pending.push({ envelope, receipt });
    return receipt.promise;
  }

  /** Envelopes that wait for an answer. */
  get pending(): number {
    return this.#pending.length;
  }

  /** Says that the envelope at `index` of those that wait is stored. */
  acknowledge(index = 0, rejections: Rejection[] = []): void {
    const [answered] = this.#pending.splice(index, 1);
    if (answered === undefined) throw new Error("no envelope waits for an answer");
    const { senderId, firstSequence, count } = answered.envelope;
    const first = BigInt(firstSequence);
    const committed = count === 0 ? undefined : { first, last: first + BigInt(count) - 1n };
    answered.receipt.resolve({
      delivery: "stored",
      acknowledgement: { senderId, committed, rejections, closed: false },
    });
  }

  /** Ends the connection: everything that waits is refused. */
  break(error = new CollectorError("unavailable", "the test broke the connection")): void {
    for (const { receipt } of this.#pending.splice(0)) receipt.reject(error);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.disposals += 1;
    this.break(new CollectorError("closed", "disposed"));
    return Promise.resolve();
  }
}

/** Lets everything that is ready to run do so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
