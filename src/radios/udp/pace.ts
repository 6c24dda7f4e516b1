/** How fast one sender sends in the long run, in bytes a second: about 25,000 samples, a third of what a collector
 *  stores. A datagram that meets a full buffer is gone, and nobody would tell the sender to wait. */
const bytesPerSecond = 8 * 1024 * 1024;

/** What may go at once, in bytes: a sixteenth of the receive buffer, so that the bursts of as many senders fit. */
const burstBytes = 256 * 1024;

/** What a datagram takes in the receive buffer beside its own bytes, on Linux. */
const overheadBytes = 768;

/** Spaces the datagrams of one sender, as a bucket that leaks: a burst goes at once, and then the rate holds. */
export class Pace {
  /** When what was sent so far will have drained at the rate, in ms. */
  #drainedAtMs = 0;

  /** Counts a datagram in, and says how long it has to wait, in ms. */
  waitMs(datagramBytes: number, nowMs: number): number {
    const waitMs = Math.max(0, this.#drainedAtMs - nowMs - (burstBytes / bytesPerSecond) * 1_000);
    const takesMs = ((datagramBytes + overheadBytes) / bytesPerSecond) * 1_000;
    this.#drainedAtMs = Math.max(this.#drainedAtMs, nowMs) + takesMs;
    return waitMs;
  }
}
