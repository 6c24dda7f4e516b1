import type { Acknowledgement } from "../../src/model/envelope.js";
import type { Inbox } from "../../src/radios/radio.js";

interface Accepted {
  readonly text: string;
  readonly radio: string;
  readonly answer: PromiseWithResolvers<Acknowledgement>;
}

/** An inbox whose commits are the test's: at once, or when told. Envelopes are read as text. */
export class TextInbox implements Inbox {
  /** All that was ever accepted. */
  readonly accepted: Accepted[] = [];
  /** What becomes of an envelope at once; undefined leaves it to the test. */
  answer: ((text: string) => Error | "committed" | undefined) | undefined = () => "committed";
  #room: PromiseWithResolvers<void> | undefined;

  get texts(): string[] {
    return this.accepted.map(({ text }) => text);
  }

  get room(): Promise<void> | undefined {
    return this.#room?.promise;
  }

  set isFull(full: boolean) {
    this.#room?.resolve();
    this.#room = full ? Promise.withResolvers<void>() : undefined;
  }

  accept(envelope: Uint8Array, radio: string): Promise<Acknowledgement> {
    const one = {
      text: Buffer.from(envelope).toString("latin1"),
      radio,
      answer: Promise.withResolvers<Acknowledgement>(),
    };
    this.accepted.push(one);
    const answer = this.answer?.(one.text);
    if (answer === "committed") this.commit(one);
    else if (answer !== undefined) one.answer.reject(answer);
    return one.answer.promise;
  }

  commit({ answer }: Accepted): void {
    answer.resolve({ senderId: "", committed: undefined, rejections: [], closed: false });
  }

  commitAll(): void {
    for (const one of this.accepted) this.commit(one);
  }
}
