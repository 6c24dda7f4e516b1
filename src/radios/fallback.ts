import type { Clock } from "../base/clock.js";
import { CollectorError, isRefusal, reasonOf } from "../base/errors.js";
import type { OutgoingEnvelope, RadioSender, Receipt } from "./radio.js";

/** How long a radio fails before the next one takes over, in ms. */
export const defaultFallbackAfterMs = 10_000;

/** How often the first radio is tried again meanwhile, in ms, when there is something to send. */
const probeEveryMs = 5_000;

export interface Road {
  /** The radio's name, for a person. */
  readonly name: string;
  readonly sender: RadioSender;
}

export interface FallbackOptions {
  /** From the best to the last resort; one at least. */
  readonly roads: readonly [Road, ...Road[]];
  readonly afterMs: number;
  readonly clock: Clock;
  /** Told when another road takes over, and why; undefined when the first does again. */
  readonly onChange: (name: string, reason: string | undefined) => void;
}

/** Several radios to one collector, of which one is in use: when it has failed for a time the next takes over, and
 *  the first gets its traffic back once an envelope has come through it. What was on its way by the one is sent by
 *  the other: the collector stores a sequence once, by whatever road it comes. */
export class FallbackSender implements RadioSender {
  readonly #options: FallbackOptions;
  /** Place of the road in use. */
  #current = 0;
  /** Since when the road in use has failed; undefined while it works. */
  #failingSinceMs: number | undefined;
  /** When the first road is tried again; infinite while a try runs. */
  #probeAtMs = 0;

  constructor(options: FallbackOptions) {
    this.#options = options;
  }

  async send(envelope: OutgoingEnvelope, signal?: AbortSignal): Promise<Receipt> {
    const place = this.#current;
    const beganMs = this.#options.clock.nowMs();
    if (place > 0) this.#probe(envelope, beganMs);
    try {
      const receipt = await this.#road(place).sender.send(envelope, signal);
      if (place === this.#current) this.#failingSinceMs = undefined;
      return receipt;
    } catch (cause) {
      if (signal?.aborted === true) throw cause;
      if (isRefusal(cause)) {
        return await this.#elsewhere(envelope, place, cause, signal);
      }
      this.#fail(place, beganMs, cause);
      // Another has taken over, now or while this envelope was on its way.
      if (place !== this.#current) return await this.send(envelope, signal);
      throw cause;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#options.roads.map(({ sender }) => sender[Symbol.asyncDispose]()));
  }

  #road(place: number): Road {
    return this.#options.roads[place] ?? this.#options.roads[0];
  }

  #fail(place: number, beganMs: number, cause: unknown): void {
    if (place !== this.#current) return;
    this.#failingSinceMs ??= beganMs;
    const { clock, afterMs, roads, onChange } = this.#options;
    const isLate = clock.nowMs() - this.#failingSinceMs >= afterMs;
    // What will fail again need not be waited for.
    const isHopeless = !(cause instanceof CollectorError && cause.retryable);
    if (place + 1 >= roads.length || !(isLate || isHopeless)) return;
    this.#current = place + 1;
    this.#failingSinceMs = undefined;
    this.#probeAtMs = clock.nowMs() + probeEveryMs;
    onChange(this.#road(this.#current).name, reasonOf(cause));
  }

  /** Sends an envelope by the first road as well, when it is time: nothing waits for a road that may be dead. */
  #probe(envelope: OutgoingEnvelope, nowMs: number): void {
    if (nowMs < this.#probeAtMs) return;
    this.#probeAtMs = Infinity;
    const { clock, roads, onChange } = this.#options;
    const [first] = roads;
    first.sender.send(envelope).then(
      () => {
        this.#current = 0;
        this.#failingSinceMs = undefined;
        onChange(first.name, undefined);
      },
      () => {
        this.#probeAtMs = clock.nowMs() + probeEveryMs; // as it was: the road in use goes on
      },
    );
  }

  /** An envelope that a road will never take, by one that may: too large for a datagram, say. */
  async #elsewhere(
    envelope: OutgoingEnvelope,
    refusedAt: number,
    refusal: CollectorError,
    signal: AbortSignal | undefined,
  ): Promise<Receipt> {
    for (const [place, { sender }] of this.#options.roads.entries()) {
      if (place === refusedAt) continue;
      try {
        return await sender.send(envelope, signal);
      } catch {
        // The refusal tells more than why another road fails too.
      }
    }
    throw refusal;
  }
}
