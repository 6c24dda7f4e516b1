import { randomBytes } from "node:crypto";
import { setImmediate as turnOfTheLoop } from "node:timers/promises";

import { systemClock, type Clock } from "../base/clock.js";
import { systemDisk } from "../base/disk.js";
import { CollectorError, isRefusal, reasonOf } from "../base/errors.js";
import { Envelope } from "../model/envelope.js";
import type { OutgoingEnvelope, RadioSender, Receipt } from "../radios/radio.js";
import { ownerHere } from "../spool/segment.js";
import { defaultSpoolBytes, Spool, type SpoolEntry } from "../spool/spool.js";
import { Adoption } from "./adoption.js";
import { encodeEnvelope, encodeHeartbeat, encodeMessage, encodeRefused, type Speaker } from "./encoding.js";
import type { Message } from "./message.js";
import { defaultBufferBytes, defaultHostname, type ClientOptions, type ClientState } from "./options.js";
import { Overflow } from "./overflow.js";
import { Progress } from "./progress.js";
import { Reconnect } from "../base/reconnect.js";
import { Window, windowLimits, type Cut } from "./window.js";

/** How often a client looks whether it has said nothing since it last looked, in ms: the collector takes a run for lost
 *  of which it has not heard for 90 s. */
const heartbeatMs = 30_000;

/** What became of a client's messages so far. */
export interface ClientCounts {
  /** Given to `send`. */
  readonly sent: number;
  /** On the collector's disk, those that it keeps as rejected included; gone out, by a radio that gets no
   *  answers. */
  readonly acknowledged: number;
  /** Of `acknowledged`: those that no table takes. */
  readonly rejected: number;
  /** In the spool, on this machine's disk. */
  readonly spooled: number;
  /** Given up, because the spool was full too; the collector is told of them. */
  readonly lost: number;
}

/** What `abort` left behind. */
export interface Abandoned {
  /** Messages that are not acknowledged. Some may be stored: only their acknowledgements did not come. */
  readonly messages: number;
  /** Of `messages`: those in the spool, from where another sender or `parsl-collector spool` sends them. */
  readonly spooled: number;
  /** Sequence of the first of them; undefined when there is none. */
  readonly firstSequence: number | undefined;
}

/** An envelope on its way, and where it is to be marked as delivered. */
type Parcel = { readonly envelope: OutgoingEnvelope } & (
  { readonly cut: Cut } | { readonly entry: SpoolEntry }
);

/** A heartbeat's, which the window does not know: its delivery changes nothing. */
const emptyCut: Cut = { firstSequence: 0, messages: [], lastSequence: undefined };

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
  /** Before the window: everything in it is older. */
  readonly #overflow: Overflow | undefined;
  readonly #adoption: Adoption | undefined;
  /** Sequences that are acknowledged, for `flush`. */
  readonly #acknowledged = new Progress();
  /** Bytes that have left the window, for `send` that waits for room. */
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
  /** Since the last look of the heartbeat. */
  #hasSpoken = false;
  #closing: Promise<void> | undefined;
  #disposal: Promise<void> | undefined;

  /** `openRadio` opens one more radio to the same collector, for what others left in the spool; without it that is
   *  left alone. */
  constructor(radio: RadioSender, options: ClientOptions, openRadio?: () => RadioSender) {
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
    const { spool: directory, disk = systemDisk, onWarning = warnProcess } = options;
    if (directory === undefined) return;
    const { senderId, runId } = this.#speaker;
    const spool = new Spool({
      disk,
      directory,
      owner: ownerHere(senderId, runId),
      mostBytes: options.spoolBytes ?? defaultSpoolBytes,
      onDamage: onWarning,
    });
    const encode = (cut: Cut): OutgoingEnvelope => this.#envelopeOf(cut);
    this.#overflow = new Overflow({ spool, clock: this.#clock, encode, onWarning });
    if (openRadio === undefined) return;
    const random = options.random ?? Math.random;
    const clock = this.#clock;
    this.#adoption = new Adoption({ disk, directory, openRadio, clock, random, onProblem: onWarning });
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
      acknowledged: this.#window.leftUpTo - this.#spooled - (this.#overflow?.lost ?? 0),
      rejected: this.#rejected,
      spooled: this.#spooled,
      lost: this.#overflow?.lost ?? 0,
    };
  }

  /** Takes a message, which is encoded before this returns: the caller may reuse the object. Messages are
   *  sent in the order of the calls. Resolves at once while the buffer has room, or a spool takes what is in it,
   *  and otherwise when the collector has acknowledged enough of it: await it, or the buffer grows past its
   *  bound. Rejects for what is no message, and when the client is closed or has failed. */
  async send(message: Message): Promise<void> {
    if (this.#closing !== undefined) throw new CollectorError("closed", "send: the client was closed before");
    this.#refuseWhenOver("send");
    const bytes = encodeMessage(message);
    this.#window.take(bytes);
    const { takenBytes, releasedBytes } = this.#window;
    if (takenBytes - releasedBytes > this.#bufferBytes) this.#spill();
    this.#pump();
    if (this.#window.lastSequence === 1) void this.#beat();
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
   *  resolves when all of it is acknowledged and the connection has ended; what others left in the spool is sent
   *  too. Waits as long as the collector is away; when `signal` aborts, it gives up like `abort` and rejects.
   *  Calling it again waits for the first. */
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

  /** Gives up at once and says what it left. With a spool that is written there. Whoever waits for room, a flush
   *  or a close is told. */
  async abort(): Promise<Abandoned> {
    if (!this.#isOver) {
      this.#leave();
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
    await this.#adoption?.close();
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

  /** Everything up to this sequence is acknowledged, or told as lost. */
  get #acknowledgedUpTo(): number {
    return Math.min(this.#window.leftUpTo, (this.#overflow?.from ?? Infinity) - 1);
  }

  get #spooled(): number {
    return this.#overflow?.messages ?? 0;
  }

  /** Sends what there is to send. */
  #pump(): void {
    if (this.#isOver || this.#state.at === "waiting") return;
    for (let parcel = this.#next(); parcel !== undefined; parcel = this.#next()) {
      if (this.#state.at === "idle") this.#become({ at: "connecting" });
      this.#hasSpoken = true;
      void this.#deliver(parcel, this.#attempt);
    }
  }

  /** Lets a client that has nothing more to say for now be heard of. Whoever names no run keeps none from being taken
   *  for lost. */
  async #beat(): Promise<void> {
    if (this.#speaker.runId === "") return;
    while (await this.#sleepsOn(heartbeatMs)) {
      const isSilent = !this.#hasSpoken;
      this.#hasSpoken = false;
      const isBusy = this.#unacknowledged > 0 || this.#state.at === "waiting" || this.#closing !== undefined;
      if (!isSilent || isBusy) continue;
      const { senderId } = this;
      const envelope = { bytes: encodeHeartbeat(this.#speaker), senderId, firstSequence: 0, count: 0 };
      await this.#deliver({ envelope, cut: emptyCut }, this.#attempt);
    }
  }

  /** Returns false when the client is over. Keeps no process alive. */
  async #sleepsOn(ms: number): Promise<boolean> {
    try {
      await this.#clock.sleep(ms, this.#gaveUp.signal, false);
      return true;
    } catch {
      return false;
    }
  }

  #next(): Parcel | undefined {
    if (this.#overflow?.isEmpty === false) return this.#overflow.next();
    const cut = this.#window.next();
    return cut === undefined ? undefined : { envelope: this.#envelopeOf(cut), cut };
  }

  #envelopeOf(cut: Cut): OutgoingEnvelope {
    return {
      bytes: encodeEnvelope(this.#speaker, cut),
      senderId: this.senderId,
      firstSequence: cut.firstSequence,
      count: cut.messages.length,
    };
  }

  #deliver(parcel: Parcel, attempt: number): Promise<void> {
    return this.#radio.send(parcel.envelope).then(
      (receipt) => {
        if (attempt === this.#attempt && !this.#isOver) this.#delivered(parcel, receipt);
      },
      (cause: unknown) => {
        if (attempt === this.#attempt && !this.#isOver) this.#broke(cause);
      },
    );
  }

  #delivered(parcel: Parcel, receipt: Receipt): void {
    if (receipt.delivery === "stored") this.#tellRejected(parcel.envelope, receipt);
    this.#reconnect.succeeded();
    if (this.#state.at !== "connected") this.#become({ at: "connected" });
    const entry = "entry" in parcel ? parcel.entry : this.#overflow?.entryOf(parcel.cut);
    if (entry !== undefined) this.#overflow?.acknowledge(entry);
    else if ("cut" in parcel) this.#window.acknowledge(parcel.cut);
    this.#tellProgress();
    this.#pump();
  }

  #tellProgress(): void {
    this.#acknowledged.riseTo(this.#acknowledgedUpTo);
    this.#released.riseTo(this.#window.releasedBytes);
    if (this.#window.finished && this.#overflow?.isEmpty !== false) this.#finished.resolve();
  }

  /** Moves what is in memory to the spool, where there is one. */
  #spill(): void {
    if (this.#overflow === undefined) return;
    this.#overflow.take(this.#window);
    this.#tellProgress();
  }

  /** The end before everything is acknowledged: what is left, and that no more will come, goes to the spool. */
  #leave(): void {
    if (this.#overflow === undefined || this.#window.lastSequence === 0) return;
    this.#window.close();
    this.#spill();
  }

  #tellRejected(
    { bytes, firstSequence }: OutgoingEnvelope,
    { acknowledgement }: Extract<Receipt, { delivery: "stored" }>,
  ): void {
    const { rejections } = acknowledgement;
    const { onRejected } = this.#options;
    this.#rejected += rejections.length;
    if (rejections.length === 0 || onRejected === undefined) return;
    const { messages } = Envelope.decode(bytes);
    for (const { sequence, reason } of rejections) {
      const message = messages[Number(sequence) - firstSequence];
      if (message === undefined) continue;
      queueMicrotask(() => {
        onRejected({ sequence: Number(sequence), reason, message }); // in a turn of its own: what it throws is the caller's
      });
    }
  }

  #broke(cause: unknown): void {
    this.#attempt += 1;
    const reason =
      cause instanceof CollectorError
        ? cause
        : new CollectorError("internal", `send by radio: ${reasonOf(cause)}`, { cause });
    this.#spill();
    this.#overflow?.rewind();
    const goesOn = reason.retryable || (isRefusal(reason) && this.#setAside(reason));
    this.#window.rewind();
    if (!goesOn) {
      this.#leave();
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
    if (this.#overflow?.isEmpty === false) return this.#overflow.setAside(reason);
    if (this.#window.length === 0) return false;
    const suspect = this.#window.lone;
    if (suspect === undefined) {
      this.#window.sendAlone();
      return true;
    }
    const sequence = this.#window.leftUpTo + 1;
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
    this.#adoption?.stop();
    this.#overflow?.close();
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

  get #unacknowledged(): number {
    return this.#window.length + this.#spooled;
  }

  #left(): Abandoned {
    const messages = this.#unacknowledged;
    return {
      messages,
      spooled: this.#spooled,
      firstSequence: messages === 0 ? undefined : this.#acknowledgedUpTo + 1,
    };
  }

  #leftInWords(): string {
    const left = `${String(this.#unacknowledged)} of ${String(this.#window.lastSequence)} messages are not acknowledged`;
    if (this.#overflow === undefined || this.#spooled === 0) return left;
    const { directory, messages } = this.#overflow;
    return `${left}; ${String(messages)} are kept in ${directory}: send them with "parsl-collector spool ${directory} --to HOST:PORT"`;
  }
}

/** What becomes of a warning that nobody asked for. */
export function warnProcess(warning: CollectorError): void {
  process.emitWarning(warning.message, "ParslCollectorWarning");
}
