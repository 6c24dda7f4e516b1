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

/** A sender's messages from the moment that they are given until they are acknowledged: numbers them,
 *  cuts envelopes, and starts again at the first that is not acknowledged when a connection breaks.
 *  Knows no clock and no wire. */
export class Window {
  readonly #limits: WindowLimits;
  /** Taken and not acknowledged; the front one has the sequence `#acknowledged + 1`. */
  readonly #messages = new Fifo<Uint8Array>();
  /** Cuts on their way, in order, and whether each is delivered already. */
  #onTheWay: { readonly cut: Cut; delivered: boolean }[] = [];
  /** Everything up to this sequence is acknowledged. */
  #acknowledged = 0;
  /** Everything up to this sequence is in a cut. */
  #cutUpTo = 0;
  #uncutBytes = 0;
  #takenBytes = 0;
  #releasedBytes = 0;
  /** Whether an acknowledgement came since the last cut: then a part-filled envelope need not wait. */
  #answered = false;
  /** Messages up to this sequence travel alone, one after the other. */
  #aloneUpTo = 0;
  #note: "none" | "wanted" | "cut" | "acknowledged" = "none";

  constructor(limits: WindowLimits = windowLimits) {
    this.#limits = limits;
  }

  /** Sequence of the last message taken; 0 before the first. */
  get lastSequence(): number {
    return this.#acknowledged + this.#messages.length;
  }

  /** Every message up to this sequence is acknowledged. */
  get acknowledgedUpTo(): number {
    return this.#acknowledged;
  }

  get unacknowledged(): number {
    return this.#messages.length;
  }

  /** Bytes of all messages ever taken. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** Bytes of all messages ever acknowledged. */
  get releasedBytes(): number {
    return this.#releasedBytes;
  }

  /** The first message that is not acknowledged, when it travels alone. */
  get lone(): Uint8Array | undefined {
    return this.#isAlone ? this.#messages.at(0) : undefined;
  }

  /** Whether the closing note and every message before it are acknowledged. */
  get finished(): boolean {
    return this.#note === "acknowledged" && this.#messages.length === 0;
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
      for (const message of first.messages) {
        this.#messages.shift();
        this.#releasedBytes += message.length;
      }
      this.#acknowledged += first.messages.length;
      if (first.lastSequence !== undefined) this.#note = "acknowledged";
      this.#onTheWay.shift();
    }
  }

  /** The connection broke: all that is not acknowledged is cut again, with the same sequences. */
  rewind(): void {
    this.#onTheWay = [];
    this.#cutUpTo = this.#acknowledged;
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
    return this.#acknowledged < this.#aloneUpTo;
  }

  #cut(): Cut {
    const mostMessages = this.#isAlone ? 1 : this.#limits.messages;
    const from = this.#cutUpTo - this.#acknowledged;
    const messages: Uint8Array[] = [];
    let bytes = 0;
    for (let message = this.#messages.at(from); message !== undefined;) {
      messages.push(message);
      bytes += message.length;
      message = this.#messages.at(from + messages.length);
      if (messages.length >= mostMessages) break;
      if (message !== undefined && bytes + message.length > this.#limits.bytes) break;
    }
    const firstSequence = messages.length === 0 ? 0 : this.#cutUpTo + 1;
    this.#cutUpTo += messages.length;
    this.#uncutBytes -= bytes;
    this.#answered = false;
    const isLast = this.#note === "wanted" && this.#cutUpTo === this.lastSequence;
    if (isLast) this.#note = "cut";
    const cut = { firstSequence, messages, lastSequence: isLast ? this.lastSequence : undefined };
    this.#onTheWay.push({ cut, delivered: false });
    return cut;
  }
}
