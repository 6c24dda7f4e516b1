import type { Clock } from "../base/clock.js";
import type { Disk } from "../base/disk.js";
import { CollectorError, isRefusal, reasonOf } from "../base/errors.js";
import { Fifo } from "../client/fifo.js";
import { Reconnect } from "../base/reconnect.js";
import { Acknowledgement } from "../model/envelope.js";
import type { Inbox, OutgoingEnvelope, RadioSender } from "../radios/radio.js";
import { ownerHere } from "../spool/segment.js";
import { Spool, type SpoolEntry } from "../spool/spool.js";
import { readEnvelope } from "./reading.js";

/** Envelopes on their way upstream at a time. A worker waits for the answer to one before it sends the next: with fewer
 *  than the workers of a node they wait for each other, six times as long with eight (bench/agent.ts). */
const mostOnTheWay = 256;

/** Bytes that do not wait for more to travel with: what some 1,500 tries say. */
const fullBytes = 512 * 1024;

/** Bytes of envelopes in memory at which the agent stops reading from workers, and at which it goes on. */
const highWaterBytes = 16 * 1024 * 1024;
const lowWaterBytes = 8 * 1024 * 1024;

/** When envelopes depart: at once when none has departed for `mostMs`, and else together, when none has come for
 *  `pauseMs`, or after `mostMs` all the same. Both in ms. */
export interface Gathering {
  readonly mostMs: number;
  readonly pauseMs: number;
}

export interface ForwarderOptions {
  /** To the collector, or to another agent. The forwarder disposes of it. */
  readonly upstream: RadioSender;
  readonly clock: Clock;
  readonly random: () => number;
  readonly gathering: Gathering;
  /** Where envelopes go while nobody upstream takes them; undefined to keep them in memory. */
  readonly spool?: { readonly disk: Disk; readonly directory: string; readonly mostBytesOfSender: number };
  readonly onWarning: (warning: CollectorError) => void;
}

/** An envelope from its arrival until it is answered. */
interface Parcel {
  readonly answer: PromiseWithResolvers<Acknowledgement>;
  readonly bytes: number;
  readonly messages: number;
  /** Undefined once it is in the spool. */
  envelope: OutgoingEnvelope | undefined;
  entry: SpoolEntry | undefined;
  outcome: Acknowledgement | CollectorError | undefined;
}

/** An inbox whose envelopes go upstream as they are, over one reliable stream, and are acknowledged when they are
 *  acknowledged there. What it has taken survives the process that sent it. */
export class Forwarder implements Inbox, AsyncDisposable {
  readonly #options: ForwarderOptions;
  readonly #reconnect: Reconnect;
  readonly #stopped = new AbortController();
  /** Not answered, in the order in which they came. */
  readonly #accepted = new Fifo<Parcel>();
  /** Of those, the ones that are to be sent. */
  #unsent: Parcel[] = [];
  /** Of those, the first ones, which have departed and wait until fewer are on their way. */
  #departing = 0;
  #onTheWay = 0;
  /** Whether one travels at a time, to find the one that is refused. */
  #isAlone = false;
  #isWaiting = false;
  /** Bytes that came since the last departure. */
  #gatheredBytes = 0;
  #isGathering = false;
  #departedAtMs = -Infinity;
  #cameAtMs = -Infinity;
  #attempt = 0;
  #memoryBytes = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #idle: PromiseWithResolvers<void> | undefined;
  /** By sender. */
  readonly #spools = new Map<string, Spool>();
  #hasDiskTrouble = false;
  #hasTrouble = false;
  /** Messages that were answered since the start, by what the answer was. */
  readonly answered = { forwarded: 0, refused: 0 };

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#reconnect = new Reconnect(options.random);
  }

  get room(): Promise<void> | undefined {
    return this.#room?.promise;
  }

  /** Whether nobody upstream takes anything now. */
  get isCutOff(): boolean {
    return this.#hasTrouble;
  }

  /** Bytes of envelopes in memory, and in the spool. */
  get bytes(): { readonly memory: number; readonly spool: number } {
    const spool = [...this.#spools.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    return { memory: this.#memoryBytes, spool };
  }

  /** Envelopes that are not answered. */
  get unanswered(): number {
    return this.#accepted.length;
  }

  async accept(envelope: Uint8Array): Promise<Acknowledgement> {
    return this.forward(readEnvelope(envelope));
  }

  /** The same for one that is read already. */
  forward(envelope: OutgoingEnvelope): Promise<Acknowledgement> {
    if (this.#stopped.signal.aborted) {
      return Promise.reject(
        new CollectorError("shutting-down", "forward an envelope: the agent is stopping"),
      );
    }
    const answer = Promise.withResolvers<Acknowledgement>();
    const parcel: Parcel = {
      answer,
      bytes: envelope.bytes.byteLength,
      messages: envelope.count,
      envelope,
      entry: undefined,
      outcome: undefined,
    };
    this.#accepted.push(parcel);
    this.#unsent.push(parcel);
    this.#memoryBytes += parcel.bytes;
    if (this.#memoryBytes >= highWaterBytes) {
      if (this.#isWaiting) this.#spill();
      if (this.#memoryBytes >= highWaterBytes) this.#room ??= Promise.withResolvers<void>();
    }
    this.#gatheredBytes += parcel.bytes;
    this.#gather();
    return answer.promise;
  }

  /** Resolves when everything that was accepted is answered. */
  async drained(): Promise<void> {
    if (this.#accepted.length === 0) return;
    this.#idle ??= Promise.withResolvers<void>();
    await this.#idle.promise;
  }

  /** Takes no more. What is not answered goes to the spool, and its senders are told to keep it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    const reason = new CollectorError("shutting-down", "forward an envelope: the agent is stopping");
    this.#spill();
    this.#stopped.abort(reason);
    for (let parcel = this.#accepted.shift(); parcel !== undefined; parcel = this.#accepted.shift()) {
      parcel.answer.reject(reason);
    }
    this.#idle?.resolve();
    for (const spool of this.#spools.values()) spool.close();
    await this.#options.upstream[Symbol.asyncDispose]();
  }

  #gather(): void {
    this.#cameAtMs = this.#options.clock.nowMs();
    if (this.#gatheredBytes >= fullBytes || this.#gatheringMs() <= 0) {
      this.#depart();
    } else if (!this.#isGathering) {
      this.#isGathering = true;
      void this.#gathered().then(
        () => {
          this.#isGathering = false;
          this.#depart();
        },
        () => undefined, // stopped
      );
    }
  }

  /** Resolves when it is time. */
  async #gathered(): Promise<void> {
    for (let leftMs = this.#gatheringMs(); leftMs > 0; leftMs = this.#gatheringMs()) {
      await this.#options.clock.sleep(leftMs, this.#stopped.signal);
    }
  }

  #gatheringMs(): number {
    const { mostMs, pauseMs } = this.#options.gathering;
    const nowMs = this.#options.clock.nowMs();
    const sinceMs = nowMs - this.#departedAtMs;
    if (sinceMs < 0) return 0; // the clock was set back
    return Math.min(mostMs - sinceMs, this.#cameAtMs + pauseMs - nowMs);
  }

  #depart(): void {
    this.#gatheredBytes = 0;
    this.#departedAtMs = this.#options.clock.nowMs();
    this.#departing = this.#unsent.length;
    this.#pump();
  }

  #pump(): void {
    while (this.#departing > 0 && !this.#isWaiting && this.#onTheWay < (this.#isAlone ? 1 : mostOnTheWay)) {
      const parcel = this.#unsent.shift();
      if (parcel === undefined) return;
      this.#departing -= 1;
      this.#send(parcel, this.#attempt);
    }
  }

  #send(parcel: Parcel, attempt: number): void {
    const envelope = parcel.envelope ?? this.#fromSpool(parcel);
    this.#onTheWay += 1;
    void this.#options.upstream.send(envelope, this.#stopped.signal).then(
      (receipt) => {
        if (attempt !== this.#attempt || this.#stopped.signal.aborted) return;
        this.#onTheWay -= 1;
        this.#delivered(
          parcel,
          receipt.delivery === "stored" ? receipt.acknowledgement : handedOver(envelope),
        );
      },
      (cause: unknown) => {
        if (attempt === this.#attempt && !this.#stopped.signal.aborted) this.#broke(parcel, cause);
      },
    );
  }

  #delivered(parcel: Parcel, acknowledgement: Acknowledgement): void {
    this.#reconnect.succeeded();
    if (this.#hasTrouble) this.#warn("unavailable", "forward: messages go upstream again");
    this.#hasTrouble = false;
    this.#settle(parcel, acknowledgement);
    this.#pump();
  }

  #broke(parcel: Parcel, cause: unknown): void {
    this.#attempt += 1;
    if (isRefusal(cause) && (this.#isAlone || this.#onTheWay === 1)) {
      this.#isAlone = false;
      this.#settle(parcel, cause);
    } else if (isRefusal(cause)) {
      this.#isAlone = true;
    } else if (!this.#hasTrouble) {
      this.#hasTrouble = true;
      this.#warn("unavailable", `forward: messages wait, and are sent when it is over: ${reasonOf(cause)}`);
    }
    this.#onTheWay = 0;
    this.#unsent = [];
    for (let index = 0; index < this.#accepted.length; index += 1) {
      const one = this.#accepted.at(index);
      if (one !== undefined && one.outcome === undefined) this.#unsent.push(one);
    }
    if (!isRefusal(cause)) this.#spill();
    this.#isWaiting = true;
    void this.#options.clock.sleep(this.#reconnect.nextPauseMs(), this.#stopped.signal).then(
      () => {
        this.#isWaiting = false;
        this.#depart();
      },
      () => undefined, // stopped
    );
  }

  /** Answers in the order of the calls, as receivers rely on. */
  #settle(parcel: Parcel, outcome: Acknowledgement | CollectorError): void {
    parcel.outcome = outcome;
    this.answered[outcome instanceof CollectorError ? "refused" : "forwarded"] += parcel.messages;
    if (parcel.envelope !== undefined) this.#release(parcel);
    const { entry } = parcel;
    if (entry !== undefined) this.#forget(entry);
    for (let first = this.#accepted.at(0); first?.outcome !== undefined; first = this.#accepted.at(0)) {
      this.#accepted.shift();
      if (first.outcome instanceof CollectorError) first.answer.reject(first.outcome);
      else first.answer.resolve(first.outcome);
    }
    if (this.#accepted.length === 0) this.#idle?.resolve();
  }

  /** Moves what is in memory to the spool, where there is one. */
  #spill(): void {
    const { spool } = this.#options;
    if (spool === undefined) return;
    const bySender = new Map<string, Parcel[]>();
    for (let index = 0; index < this.#accepted.length; index += 1) {
      const parcel = this.#accepted.at(index);
      if (parcel?.envelope === undefined || parcel.outcome !== undefined) continue;
      const parcels = bySender.get(parcel.envelope.senderId) ?? [];
      bySender.set(parcel.envelope.senderId, parcels);
      parcels.push(parcel);
    }
    for (const [senderId, parcels] of bySender) {
      this.#onDisk(() => {
        const entries = this.#spoolOf(senderId, spool).append(
          parcels.flatMap(({ envelope }) => envelope ?? []),
          parcels.length, // all of them are this forwarder's to send
        );
        parcels.forEach((parcel, index) => {
          parcel.entry = entries[index];
          this.#release(parcel);
        });
      });
    }
  }

  #forget(entry: SpoolEntry): void {
    const spool = this.#spools.get(entry.senderId);
    if (spool === undefined) return;
    this.#onDisk(() => spool.acknowledge(entry));
    if (!spool.isEmpty) return;
    spool.close();
    this.#spools.delete(entry.senderId);
  }

  #spoolOf(senderId: string, options: NonNullable<ForwarderOptions["spool"]>): Spool {
    let spool = this.#spools.get(senderId);
    if (spool === undefined) {
      spool = new Spool({
        disk: options.disk,
        directory: options.directory,
        owner: ownerHere(senderId, ""),
        mostBytes: options.mostBytesOfSender,
        onDamage: this.#options.onWarning,
      });
      this.#spools.set(senderId, spool);
    }
    return spool;
  }

  #fromSpool({ entry }: Parcel): OutgoingEnvelope {
    const spool = entry === undefined ? undefined : this.#spools.get(entry.senderId);
    if (entry === undefined || spool === undefined) {
      throw new CollectorError("internal", "forward an envelope: it is neither in memory nor in the spool");
    }
    return spool.read(entry);
  }

  /** The envelope is no longer in memory. */
  #release(parcel: Parcel): void {
    parcel.envelope = undefined;
    this.#memoryBytes -= parcel.bytes;
    if (this.#memoryBytes > lowWaterBytes) return;
    this.#room?.resolve();
    this.#room = undefined;
  }

  #onDisk(does: () => void): void {
    try {
      does();
      this.#hasDiskTrouble = false;
    } catch (cause) {
      if (!this.#hasDiskTrouble) {
        this.#warn("spool", `write to the agent's spool: ${reasonOf(cause)}; messages wait in memory`);
      }
      this.#hasDiskTrouble = true;
    }
  }

  #warn(code: "unavailable" | "spool", text: string): void {
    this.#options.onWarning(new CollectorError(code, text));
  }
}

/** The answer to an envelope that went by a radio which gets none: it is out of the agent's hands. */
function handedOver({ senderId, firstSequence, count }: OutgoingEnvelope): Acknowledgement {
  const first = BigInt(firstSequence);
  return {
    ...Acknowledgement.create({ senderId }),
    committed: count === 0 ? undefined : { first, last: first + BigInt(count) - 1n },
  };
}
