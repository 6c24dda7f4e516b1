import { Fifo } from "./fifo.js";

/** How much one envelope and one connection may carry. */
export interface WindowLimits {
  /** Messages in an envelope. */
  readonly messages: number;
  /** Bytes of messages in an envelope; a single larger message travels alone. */
  readonly bytes: number;
  /** Envelopes on their way at a time. */
  readonly envelopes: number;
}

/** 500 messages share the cost of one envelope, and more gain little. 256 KiB bound what one envelope holds
 *  up on a thin line. Eight on their way keep the collector's writer busy while the acknowledgement of the
 *  first travels back. */
export const windowLimits: WindowLimits = { messages: 500, bytes: 256 * 1024, envelopes: 8 };

/** What the next envelope carries: consecutive messages, already encoded. */
export interface Cut {
  /** Sequence of the first message; 0 when there is none. */
  readonly firstSequence: number;
  readonly messages: readonly Uint8Array[];
  /** The closing note: the sender's last sequence, in the cut that ends it. */
  readonly lastSequence: number | undefined;
}

interface CutOnTheWay {
  readonly cut: Cut;
  /** It is acknowledged, and one before it is not. */
  delivered: boolean;
}

/** Everything in a window, in the order of the sequences. */
export interface WholeWindow {
  readonly onTheWay: readonly Readonly<CutOnTheWay>[];
  readonly rest: readonly Cut[];
}

/** A sender's messages from the moment that they are given until they are acknowledged: numbers them,
 *  cuts envelopes, and starts again at the first that is not acknowledged when a connection breaks.
 *  Knows no clock and no wire. */
export class Window {
  readonly #limits: WindowLimits;
  /** Taken and neither acknowledged nor released; the front one has the sequence `#leftUpTo + 1`. */
  readonly #messages = new Fifo<Uint8Array>();
  /** Cuts on their way, in order. */
  #onTheWay: CutOnTheWay[] = [];
  /** Everything up to this sequence is acknowledged, or was released. */
  #leftUpTo = 0;
  /** Everything up to this sequence is in a cut. */
  #cutUpTo = 0;
  #uncutBytes = 0;
  #takenBytes = 0;
  #releasedBytes = 0;
  /** Whether an acknowledgement came since the last cut: then a part-filled envelope need not wait. */
  #answered = false;
  /** Messages up to this sequence travel alone, one after the other. */
  #aloneUpTo = 0;
  #note: "none" | "wanted" | "cut" | "left" = "none";

  constructor(limits: WindowLimits = windowLimits) {
    this.#limits = limits;
  }

  /** Sequence of the last message taken; 0 before the first. */
  get lastSequence(): number {
    return this.#leftUpTo + this.#messages.length;
  }

  /** Every message up to this sequence has left: it is acknowledged, or was released. */
  get leftUpTo(): number {
    return this.#leftUpTo;
  }

  /** Messages that have not left. */
  get length(): number {
    return this.#messages.length;
  }

  /** Bytes of all messages ever taken. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Bytes of all messages that have left. */
  get releasedBytes(): number {
    return this.#releasedBytes;
  }

  /** The first message that is not acknowledged, when it travels alone. */
  get lone(): Uint8Array | undefined {
    return this.#isAlone ? this.#messages.at(0) : undefined;
  }

  /** Whether the closing note and every message before it have left. */
  get finished(): boolean {
    return this.#note === "left" && this.#messages.length === 0;
  }

  /** Gives the message the next sequence. */
  take(message: Uint8Array): void {
    this.#messages.push(message);
    this.#takenBytes += message.length;
    this.#uncutBytes += message.length;
  }

  /** No message comes after those taken: the last cut says so. */
  close(): void {
    if (this.#note === "none") this.#note = "wanted";
  }

  /** The next envelope to send; undefined while there is none or it is better to wait. At once when nothing
   *  is on its way; otherwise messages gather until an envelope is full or an acknowledgement comes, so that
   *  a lone message is quick and many are cheap. No timer: an answer always comes, or the connection breaks. */
  next(): Cut | undefined {
    const uncut = this.lastSequence - this.#cutUpTo;
    const onTheWay = this.#onTheWay.length;
    if (onTheWay >= (this.#isAlone ? 1 : this.#limits.envelopes)) return undefined;
    if (uncut === 0 && this.#note !== "wanted") return undefined;
    const full = uncut >= this.#limits.messages || this.#uncutBytes >= this.#limits.bytes;
    if (!full && onTheWay > 0 && !this.#answered && this.#note !== "wanted") return undefined;
    return this.#cut();
  }

  /** Marks a cut as delivered. Cuts from before a rewind are ignored: their messages are on the way anew. */
  acknowledge(cut: Cut): void {
    const delivered = this.#onTheWay.find((one) => one.cut === cut);
    if (delivered === undefined) return;
    delivered.delivered = true;
    this.#answered = true;
    while (this.#onTheWay[0]?.delivered === true) {
      const { cut: first } = this.#onTheWay[0];
      this.#leave(first);
      this.#onTheWay.shift();
    }
  }

  /** Everything that has not left, as cuts: those on their way, and the rest cut in the same way. */
  all(): WholeWindow {
    const rest: Cut[] = [];
    let cutUpTo = this.#cutUpTo;
    for (let cut = this.#cutFrom(cutUpTo); cut !== undefined; cut = this.#cutFrom(cutUpTo)) {
      rest.push(cut);
      cutUpTo += cut.messages.length;
      if (cut.lastSequence !== undefined) break;
    }
    return { onTheWay: [...this.#onTheWay], rest };
  }

  /** Forgets everything that `all` has told: another keeps it from now on. */
  release({ onTheWay, rest }: WholeWindow): void {
    this.#onTheWay = [];
    for (const { cut } of onTheWay) this.#leave(cut);
    for (const cut of rest) this.#leave(cut);
    this.#cutUpTo = this.#leftUpTo;
    this.#uncutBytes = this.#takenBytes - this.#releasedBytes;
  }

  /** The connection broke: all that is not acknowledged is cut again, with the same sequences. */
  rewind(): void {
    this.#onTheWay = [];
    this.#cutUpTo = this.#leftUpTo;
    this.#uncutBytes = this.#takenBytes - this.#releasedBytes;
    if (this.#note === "cut") this.#note = "wanted";
  }

  /** An envelope of those on their way was refused, and nobody knows which message is to blame: when all of
   *  them have travelled alone, it is known. To be followed by a rewind. */
  sendAlone(): void {
    this.#aloneUpTo = this.#cutUpTo;
  }

  /** Puts another message in the place of the first that is not acknowledged, under its sequence. */
  replaceFirst(message: Uint8Array): void {
    const replaced = this.#messages.at(0);
    if (replaced === undefined) return;
    this.#messages.replaceFirst(message);
    this.#releasedBytes += replaced.length - message.length;
  }

  get #isAlone(): boolean {
    return this.#leftUpTo < this.#aloneUpTo;
  }

  #leave(cut: Cut): void {
    for (const message of cut.messages) {
      this.#messages.shift();
      this.#releasedBytes += message.length;
    }
    this.#leftUpTo += cut.messages.length;
    if (cut.lastSequence !== undefined) this.#note = "left";
  }

  #cut(): Cut | undefined {
    const cut = this.#cutFrom(this.#cutUpTo);
    if (cut === undefined) return undefined;
    this.#cutUpTo += cut.messages.length;
    this.#uncutBytes -= cut.messages.reduce((sum, { length }) => sum + length, 0);
    this.#answered = false;
    if (cut.lastSequence !== undefined) this.#note = "cut";
    this.#onTheWay.push({ cut, delivered: false });
    return cut;
  }

  /** The cut of what follows a sequence; undefined when there is neither a message nor a note to send. */
  #cutFrom(sequence: number): Cut | undefined {
    const mostMessages = sequence < this.#aloneUpTo ? 1 : this.#limits.messages;
    const from = sequence - this.#leftUpTo;
    const messages: Uint8Array[] = [];
    let bytes = 0;
    for (let message = this.#messages.at(from); message !== undefined;) {
      messages.push(message);
      bytes += message.length;
      message = this.#messages.at(from + messages.length);
      if (messages.length >= mostMessages) break;
      if (message !== undefined && bytes + message.length > this.#limits.bytes) break;
    }
    const isLast = this.#note === "wanted" && sequence + messages.length === this.lastSequence;
    if (messages.length === 0 && !isLast) return undefined;
    return {
      firstSequence: messages.length === 0 ? 0 : sequence + 1,
      messages,
      lastSequence: isLast ? this.lastSequence : undefined,
    };
  }
}
