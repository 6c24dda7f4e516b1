import { randomBytes } from "node:crypto";
import { setImmediate as turnOfTheLoop } from "node:timers/promises";

import { systemClock, type Clock } from "../base/clock.js";
import { CollectorError, reasonOf } from "../base/errors.js";
import type { RadioSender, Receipt } from "../radios/radio.js";
import { decodeMessage, encodeEnvelope, encodeMessage, encodeRefused, type Speaker } from "./encoding.js";
import type { Message } from "./message.js";
import { defaultBufferBytes, defaultHostname, type ClientOptions, type ClientState } from "./options.js";
import { Progress } from "./progress.js";
import { Reconnect } from "./reconnect.js";
import { Window, windowLimits, type Cut } from "./window.js";

/** What became of a client's messages so far. */
export interface ClientCounts {
  /** Given to `send`. */
  readonly sent: number;
  /** On the collector's disk, those that it keeps as rejected included; gone out, by a radio that gets no
   *  answers. */
  readonly acknowledged: number;
  /** Of `acknowledged`: those that no table takes. */
  readonly rejected: number;
}

/** What `abort` left behind. */
export interface Abandoned {
  /** Messages that are not acknowledged. Some may be stored: only their acknowledgements did not come. */
  readonly messages: number;
  readonly bytes: number;
  /** Sequence of the first of them; undefined when there is none. */
  readonly firstSequence: number | undefined;
}

/** Sends messages to a collector and keeps each until it is acknowledged, over as many connections as that
 *  takes. Close it, or its connection keeps the process alive. */
export class Client implements AsyncDisposable {
  readonly #radio: RadioSender;
  readonly #options: ClientOptions;
  readonly #speaker: Speaker;
  readonly #bufferBytes: number;
  readonly #clock: Clock;
  readonly #reconnect: Reconnect;
  readonly #window = new Window();
  /** Sequences that are acknowledged, for `flush`. */
  readonly #acknowledged = new Progress();
  /** Bytes that are acknowledged, for `send` that waits for room. */
  readonly #released = new Progress();
  readonly #finished = Promise.withResolvers<void>();
  readonly #gaveUp = new AbortController();
  #state: ClientState = { at: "idle" };
  /** Connections so far. What a radio says about a cut of an earlier one comes too late to count. */
  #attempt = 0;
  #sinceTurn = 0;
  /** Sequence of the last message that was refused and replaced. */
  #replaced = 0;
  #rejected = 0;
  #closing: Promise<void> | undefined;
  #disposal: Promise<void> | undefined;

  constructor(radio: RadioSender, options: ClientOptions) {
    this.#radio = radio;
    this.#options = options;
    this.#bufferBytes = options.bufferBytes ?? defaultBufferBytes;
    this.#clock = options.clock ?? systemClock;
    this.#reconnect = new Reconnect(options.random ?? Math.random);
    this.#speaker = {
      senderId: randomBytes(16).toString("hex"),
      runId: options.runId ?? "",
      hostname: options.hostname ?? defaultHostname(),
      utcOffsetSeconds: new Date().getTimezoneOffset() * -60,
    };
    this.#finished.promise.catch(() => undefined); // told by close(), if anybody asks
  }

  /** The name under which the collector's ledger knows this client. */
  get senderId(): string {
    return this.#speaker.senderId;
  }

  get state(): ClientState {
    return this.#state;
  }

  get counts(): ClientCounts {
    return {
      sent: this.#window.lastSequence,
      acknowledged: this.#window.acknowledgedUpTo,
      rejected: this.#rejected,
    };
  }

  /** Takes a message, which is encoded before this returns: the caller may reuse the object. Messages are
   *  sent in the order of the calls. Resolves at once while the buffer has room and otherwise when the
   *  collector has acknowledged enough of it: await it, or the buffer grows past its bound. Rejects for what
   *  is no message, and when the client is closed or has failed. */
  async send(message: Message): Promise<void> {
    if (this.#closing !== undefined) throw new CollectorError("closed", "send: the client was closed before");
    this.#refuseWhenOver("send");
    const bytes = encodeMessage(message);
    this.#window.take(bytes);
    this.#pump();
    // A message larger than the buffer has room when it is alone.
    await this.#released.until(this.#window.takenBytes - Math.max(this.#bufferBytes, bytes.length));
    // Without this a loop over send() would keep the event loop, and so the connection, from its turn until
    // the buffer is full.
    this.#sinceTurn += 1;
    if (this.#sinceTurn >= windowLimits.messages) {
      this.#sinceTurn = 0;
      await turnOfTheLoop();
    }
  }

  /** Resolves when everything given to `send` before is acknowledged. */
  async flush(signal?: AbortSignal): Promise<void> {
    await this.#acknowledged.until(this.#window.lastSequence, signal);
  }

  /** Sends what is left and a closing note, by which the collector can prove that nothing is missing, and
   *  resolves when all of it is acknowledged and the connection has ended. Waits as long as the collector is
   *  away; when `signal` aborts, it gives up like `abort` and rejects. Calling it again waits for the first. */
  async close(signal?: AbortSignal): Promise<void> {
    this.#closing ??= this.#close();
    const giveUp = (): void => void this.abort();
    if (signal?.aborted === true) giveUp();
    signal?.addEventListener("abort", giveUp, { once: true });
    try {
      await this.#closing;
    } finally {
      signal?.removeEventListener("abort", giveUp);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Gives up at once and says what it left. Whoever waits for room, a flush or a close is told. */
  async abort(): Promise<Abandoned> {
    if (!this.#isOver) {
      this.#stop({ at: "closed" }, new CollectorError("closed", `abort: ${this.#leftInWords()}`));
    }
    await this.#disposal;
    return this.#left();
  }

  async #close(): Promise<void> {
    if (this.#state.at === "closed") return; // by abort(), which has told what it left
    this.#refuseWhenOver("close");
    // A client that never spoke is unknown to the collector, and nothing of it can be missing.
    if (this.#window.lastSequence > 0) {
      this.#window.close();
      this.#pump();
      await this.#finished.promise;
    }
    if (!this.#isOver)
      this.#stop({ at: "closed" }, new CollectorError("closed", "the client was closed before"));
    await this.#disposal;
  }

  get #isOver(): boolean {
    return this.#state.at === "closed" || this.#state.at === "failed";
  }

  #refuseWhenOver(act: string): void {
    if (this.#state.at === "closed")
      throw new CollectorError("closed", `${act}: the client was closed before`);
    if (this.#state.at === "failed") {
      const { reason } = this.#state;
      throw new CollectorError(reason.code, `${act}: ${reason.message}`, { cause: reason });
    }
  }

  /** Sends what the window gives. */
  #pump(): void {
    if (this.#isOver || this.#state.at === "waiting") return;
    for (let cut = this.#window.next(); cut !== undefined; cut = this.#window.next()) {
      if (this.#state.at === "idle") this.#become({ at: "connecting" });
      this.#deliver(cut, this.#attempt);
    }
  }

  #deliver(cut: Cut, attempt: number): void {
    const envelope = {
      bytes: encodeEnvelope(this.#speaker, cut),
      senderId: this.senderId,
      firstSequence: cut.firstSequence,
      count: cut.messages.length,
    };
    void this.#radio.send(envelope).then(
      (receipt) => {
        if (attempt === this.#attempt && !this.#isOver) this.#delivered(cut, receipt);
      },
      (cause: unknown) => {
        if (attempt === this.#attempt && !this.#isOver) this.#broke(cause);
      },
    );
  }

  #delivered(cut: Cut, receipt: Receipt): void {
    if (receipt.delivery === "stored") this.#tellRejected(cut, receipt);
    this.#reconnect.succeeded();
    if (this.#state.at !== "connected") this.#become({ at: "connected" });
    this.#window.acknowledge(cut);
    this.#acknowledged.riseTo(this.#window.acknowledgedUpTo);
    this.#released.riseTo(this.#window.releasedBytes);
    if (this.#window.finished) this.#finished.resolve();
    this.#pump();
  }

  #tellRejected(cut: Cut, { acknowledgement }: Extract<Receipt, { delivery: "stored" }>): void {
    const { onRejected } = this.#options;
    for (const { sequence, reason } of acknowledgement.rejections) {
      this.#rejected += 1;
      const bytes = cut.messages[Number(sequence) - cut.firstSequence];
      if (onRejected === undefined || bytes === undefined) continue;
      const rejected = { sequence: Number(sequence), reason, message: decodeMessage(bytes) };
      queueMicrotask(() => {
        onRejected(rejected); // in a turn of its own: what it throws is the caller's
      });
    }
  }

  #broke(cause: unknown): void {
    this.#attempt += 1;
    const reason =
      cause instanceof CollectorError
        ? cause
        : new CollectorError("internal", `send by radio: ${reasonOf(cause)}`, { cause });
    const goesOn = reason.retryable || (reason.code === "invalid-envelope" && this.#setAside(reason));
    this.#window.rewind();
    if (!goesOn) {
      const told = new CollectorError(reason.code, `${reason.message}; ${this.#leftInWords()}`, {
        cause: reason,
      });
      this.#stop({ at: "failed", reason: told }, told);
      return;
    }
    const pauseMs = this.#reconnect.nextPauseMs();
    this.#become({ at: "waiting", reason, retryAtMs: this.#clock.nowMs() + pauseMs });
    void this.#clock.sleep(pauseMs, this.#gaveUp.signal).then(
      () => {
        this.#become({ at: "connecting" });
        this.#pump();
      },
      () => undefined, // given up, and `abort` has told
    );
  }

  /** An envelope was refused for good: sent again as it is, it would hold up all others for ever. Finds the
   *  message that is to blame, by sending each alone, and puts one in its place that the collector keeps as
   *  rejected. Returns false when that is refused too, and no message is to blame. */
  #setAside(reason: CollectorError): boolean {
    if (this.#window.unacknowledged === 0) return false;
    const suspect = this.#window.lone;
    if (suspect === undefined) {
      this.#window.sendAlone();
      return true;
    }
    const sequence = this.#window.acknowledgedUpTo + 1;
    if (sequence === this.#replaced) return false;
    this.#replaced = sequence;
    this.#window.replaceFirst(encodeRefused(suspect, `refused on its way: ${reason.message}`));
    return true;
  }

  /** The end, in good order or not. `reason` is for those who wait and those who come later. */
  #stop(state: ClientState, reason: CollectorError): void {
    this.#become(state);
    this.#acknowledged.fail(reason);
    this.#released.fail(reason);
    this.#finished.reject(reason);
    this.#gaveUp.abort(reason);
    this.#disposal = Promise.resolve(this.#radio[Symbol.asyncDispose]());
    this.#disposal.catch(() => undefined); // told by close() and abort()
  }

  #become(state: ClientState): void {
    this.#state = state;
    const { onStateChange } = this.#options;
    if (onStateChange !== undefined) {
      queueMicrotask(() => {
        onStateChange(state); // in a turn of its own: what it throws is the caller's
      });
    }
  }

  #left(): Abandoned {
    const { unacknowledged, takenBytes, releasedBytes, acknowledgedUpTo } = this.#window;
    return {
      messages: unacknowledged,
      bytes: takenBytes - releasedBytes,
      firstSequence: unacknowledged === 0 ? undefined : acknowledgedUpTo + 1,
    };
  }

  #leftInWords(): string {
    const { unacknowledged, lastSequence } = this.#window;
    return `${String(unacknowledged)} of ${String(lastSequence)} messages are not acknowledged`;
  }
}
