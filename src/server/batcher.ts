import PQueue from "p-queue";

import { CollectorError, reasonOf } from "../base/errors.js";
import { faultPoint } from "../base/fault-points.js";
import { WaterLevel } from "../base/water-level.js";
import type { Acknowledgement } from "../model/envelope.js";
import type { Principal } from "../model/principal.js";
import type { Inbox } from "../radios/radio.js";
import type { Arrival, SinkStatus, Store } from "./sinks/sink.js";

/** Bytes of envelopes that make a group: about 9,000 rows. With half of it they cost the writer 7 % more: a page that
 *  many rows of a group change is written once. Without a cap a transaction at saturation grows to 96,000 rows, and
 *  acknowledgements come once a second. */
export const defaultGroupBytes = 2 * 1024 * 1024;

/** Bytes of waiting envelopes at which receivers are asked to stop reading, and at which they may go on.
 *  100 senders of one address at full speed are held up before, by their share: with the writer blocked the collector
 *  takes 125 MiB, and 180 to 210 when it goes on. */
export const defaultHighWaterBytes = 16 * 1024 * 1024;
export const defaultLowWaterBytes = 8 * 1024 * 1024;

export interface BatcherOptions {
  readonly groupBytes?: number;
  readonly highWaterBytes?: number;
  readonly lowWaterBytes?: number;
}

interface Waiting extends Arrival {
  readonly resolve: (acknowledgement: Acknowledgement) => void;
  readonly reject: (error: CollectorError) => void;
}

/** Groups that the sink has at most, so that at full speed it never waits for the next. */
const mostStoring = 2;

/** Group commit: everything that arrives while one group is stored makes the next one. No timer: a lone
 *  envelope is stored at once, and under load groups grow by themselves. Knows neither gRPC nor SQL. */
export class Batcher implements Inbox, AsyncDisposable {
  readonly #sink: Store;
  readonly #groupBytes: number;
  readonly #queued: WaterLevel;
  readonly #calls = new PQueue({ concurrency: mostStoring });
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  /** Groups that the sink has. */
  #storing = 0;
  /** Settles with the envelope that was accepted last. */
  #lastSettled: Promise<unknown> = Promise.resolve();
  #refusal: CollectorError | undefined;

  constructor(sink: Store, options: BatcherOptions = {}) {
    this.#sink = sink;
    this.#groupBytes = options.groupBytes ?? defaultGroupBytes;
    this.#queued = new WaterLevel(
      options.highWaterBytes ?? defaultHighWaterBytes,
      options.lowWaterBytes ?? defaultLowWaterBytes,
    );
  }

  get room(): Promise<void> | undefined {
    return this.#queued.room;
  }

  /** Bytes of envelopes that are not yet committed. */
  get queuedBytes(): number {
    return this.#queued.value;
  }

  accept(envelope: Uint8Array, radio: string, principal?: Principal): Promise<Acknowledgement> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    this.#queued.add(envelope.byteLength);
    const { promise, resolve, reject } = Promise.withResolvers<Acknowledgement>();
    this.#waiting.push({ envelope, radio, principal, resolve, reject });
    this.#waitingBytes += envelope.byteLength;
    this.#lastSettled = promise.catch(() => undefined);
    this.#storeNext();
    return promise;
  }

  /** The ledger after everything that was accepted before this call. */
  async status(runId: string, principal?: Principal): Promise<SinkStatus> {
    await this.#lastSettled;
    return await this.#calls.add(() => this.#sink.status(runId, principal));
  }

  /** Stores what was accepted, then refuses more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#refusal ??= new CollectorError(
      "shutting-down",
      "store an envelope: the collector is shutting down",
    );
    await this.#lastSettled;
    await this.#calls.onIdle();
  }

  /** Gives up on what is not yet stored and says how many envelopes that is. */
  abort(): number {
    return this.#refuse(
      new CollectorError("shutting-down", "store an envelope: the collector was told to stop at once"),
    );
  }

  #storeNext(): void {
    // While the sink has one, the next goes to it only when it is full: smaller ones cost more each.
    const isDue = this.#storing === 0 ? this.#waiting.length > 0 : this.#waitingBytes > this.#groupBytes;
    if (!isDue || this.#storing === mostStoring) return;
    this.#storing += 1;
    const group = this.#takeGroup();
    void this.#calls.add(() => this.#storeGroup(group));
  }

  async #storeGroup(group: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = await this.#sink.store(group);
      faultPoint("batcher: before acknowledgement");
      group.forEach((waiting, index) => {
        const outcome = outcomes[index];
        if (outcome === undefined)
          throw new CollectorError("internal", "store a group: an outcome is missing");
        if ("acknowledgement" in outcome) waiting.resolve(outcome.acknowledgement);
        else if ("forbidden" in outcome) waiting.reject(new CollectorError("forbidden", outcome.forbidden));
        else if ("exhausted" in outcome) waiting.reject(new CollectorError("exhausted", outcome.exhausted));
        else waiting.reject(new CollectorError("invalid-envelope", `read an envelope: ${outcome.invalid}`));
      });
    } catch (cause) {
      const error =
        cause instanceof CollectorError
          ? cause
          : new CollectorError("internal", `store ${String(group.length)} envelopes: ${reasonOf(cause)}`, {
              cause,
            });
      for (const waiting of group) waiting.reject(error);
      this.#refuse(error);
    } finally {
      this.#queued.remove(group.reduce((sum, { envelope }) => sum + envelope.byteLength, 0));
      this.#storing -= 1;
      this.#storeNext();
    }
  }

  #takeGroup(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { envelope } of this.#waiting) {
      if (count > 0 && bytes + envelope.byteLength > this.#groupBytes) break;
      bytes += envelope.byteLength;
      count += 1;
    }
    this.#waitingBytes -= bytes;
    return this.#waiting.splice(0, count);
  }

  #refuse(error: CollectorError): number {
    this.#refusal = error;
    const left = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const { envelope, reject } of left) {
      this.#queued.remove(envelope.byteLength);
      reject(error);
    }
    return left.length;
  }
}
