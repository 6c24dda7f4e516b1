import { CollectorError, reasonOf } from "../base/errors.js";
import type { Clock } from "../base/clock.js";
import type { OutgoingEnvelope } from "../radios/radio.js";
import { aloneOf, refusedOf } from "../spool/refused.js";
import type { Spool, SpoolEntry } from "../spool/spool.js";
import { windowLimits, type Cut, type Window } from "./window.js";

/** Least time between two attempts to write to a spool that failed, in ms. */
const retryMs = 1_000;

export interface OverflowOptions {
  readonly spool: Spool;
  readonly clock: Clock;
  readonly encode: (cut: Cut) => OutgoingEnvelope;
  readonly onWarning: (warning: CollectorError) => void;
}

/** Where a window's messages go when the collector does not take them, and from where they are sent before
 *  everything that comes later. A disk that fails never stops a client: what cannot be written stays in the
 *  window. */
export class Overflow {
  readonly #spool: Spool;
  readonly #options: OverflowOptions;
  /** Of cuts that were on their way when they were moved: their acknowledgements may still come. */
  readonly #moved = new WeakMap<Cut, SpoolEntry>();
  #onTheWay = 0;
  /** Whether one travels at a time, to find the one that is refused; and the one that does. */
  #isAlone = false;
  #lone: { readonly entry: SpoolEntry; readonly envelope: OutgoingEnvelope } | undefined;
  /** Sequence of the last message that was refused and replaced. */
  #replaced = 0;
  /** When to write again after a failure; undefined while there is none. */
  #retryAtMs: number | undefined;

  constructor(options: OverflowOptions) {
    this.#options = options;
    this.#spool = options.spool;
  }

  get isEmpty(): boolean {
    return this.#spool.isEmpty;
  }

  /** The lowest sequence that is neither acknowledged nor told as lost; infinite when there is none. */
  get from(): number {
    return this.#spool.from;
  }

  /** Messages that are not acknowledged. */
  get messages(): number {
    return this.#spool.messages;
  }

  /** Messages that were given up for want of room. */
  get lost(): number {
    return this.#spool.lost;
  }

  /** Where the messages are, for a person. */
  get directory(): string {
    return this.#spool.directory;
  }

  /** Moves everything out of a window; leaves it as it is when the disk does not take it. */
  take(window: Window): void {
    const whole = window.all();
    const cuts = [...whole.onTheWay.map(({ cut }) => cut), ...whole.rest];
    if (cuts.length === 0 || this.#options.clock.nowMs() < (this.#retryAtMs ?? 0)) return;
    const isDone = this.#onDisk("write to", () => {
      const entries = this.#spool.append(cuts.map(this.#options.encode), whole.onTheWay.length);
      whole.onTheWay.forEach(({ cut, delivered }, index) => {
        const entry = entries[index];
        if (entry === undefined) return;
        if (delivered) this.acknowledge(entry);
        else this.#moved.set(cut, entry);
      });
      this.#onTheWay += whole.onTheWay.filter(({ delivered }) => !delivered).length;
      window.release(whole);
    });
    if (isDone && this.#retryAtMs !== undefined) {
      this.#retryAtMs = undefined;
      this.#options.onWarning(
        new CollectorError("spool", `spool ${this.directory}: it can be written again`),
      );
    }
  }

  /** The next envelope to send; undefined while there is none, or enough are on their way. */
  next(): { readonly entry: SpoolEntry; readonly envelope: OutgoingEnvelope } | undefined {
    if (this.#onTheWay >= (this.#isAlone ? 1 : windowLimits.envelopes)) return undefined;
    const next = this.#spool.next();
    if (next === undefined) return undefined;
    this.#onTheWay += 1;
    this.#lone = this.#isAlone ? next : undefined;
    return next;
  }

  /** The entry that a cut became; undefined for one that is still the window's. */
  entryOf(cut: Cut): SpoolEntry | undefined {
    return this.#moved.get(cut);
  }

  acknowledge(entry: SpoolEntry): void {
    this.#onTheWay = Math.max(0, this.#onTheWay - 1);
    this.#onDisk("remove a file of", () => this.#spool.acknowledge(entry));
    if (this.#spool.isEmpty) this.#isAlone = false;
  }

  /** The connection broke: all that is not acknowledged is sent again. */
  rewind(): void {
    this.#onTheWay = 0;
    this.#spool.rewind();
  }

  /** An envelope was refused for good. Finds the message that is to blame, by sending each alone, and puts one in
   *  its place that the collector keeps as rejected. Returns false when that is refused too, and no message is to
   *  blame. */
  setAside(reason: CollectorError): boolean {
    const lone = this.#lone;
    this.#lone = undefined;
    if (lone === undefined) {
      this.#isAlone = true;
      return true;
    }
    const { entry, envelope } = lone;
    if (envelope.count === 0 || envelope.firstSequence === this.#replaced) return false;
    let parts = aloneOf(envelope);
    if (envelope.count === 1) {
      this.#replaced = envelope.firstSequence;
      parts = [refusedOf(envelope, reason.message)];
    }
    this.#onDisk("write to", () => this.#spool.replace(entry, parts));
    return true;
  }

  /** Leaves what is there to others. */
  close(): void {
    this.#spool.close();
  }

  #onDisk(act: string, does: () => void): boolean {
    try {
      does();
      return true;
    } catch (cause) {
      const { clock, onWarning } = this.#options;
      const isNew = this.#retryAtMs === undefined;
      this.#retryAtMs = clock.nowMs() + retryMs;
      if (isNew) {
        const text = `${act} spool ${this.directory}: ${reasonOf(cause)}; messages wait in memory until it can be written`;
        onWarning(new CollectorError("spool", text, { cause }));
      }
      return false;
    }
  }
}
