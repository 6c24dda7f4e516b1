/** How far a datagram may come behind a later one of its stream and still be taken, in datagrams. A multiple
 *  of 32. */
const windowSize = 4_096;

/** Streams whose windows are kept, half a KiB each. One that is forgotten, the longest silent first, could be
 *  replayed; the ledger stores no sequence twice in any case. */
const mostStreams = 16_384;

/** Which counters of one stream have come: the sliding window of IPsec (RFC 6479). */
export class ReplayWindow {
  #highest = 0;
  /** A bit for each of the last `windowSize` counters, at its remainder. */
  readonly #bits = new Uint32Array(windowSize / 32);

  /** Whether the counter comes for the first time; one that is too old to know counts as a replay. */
  take(counter: number): boolean {
    if (counter <= this.#highest - windowSize) return false;
    for (
      let skipped = Math.max(this.#highest + 1, counter - windowSize + 1);
      skipped <= counter;
      skipped += 1
    ) {
      this.#set(skipped, 0);
    }
    this.#highest = Math.max(this.#highest, counter);
    return this.#set(counter, 1);
  }

  /** Whether that changed the bit. */
  #set(counter: number, value: 0 | 1): boolean {
    const index = counter % windowSize;
    const word = index >>> 5;
    const bit = 1 << (index & 31);
    const before = this.#bits[word] ?? 0;
    const after = value === 1 ? before | bit : before & ~bit;
    this.#bits[word] = after;
    return before >>> 0 !== after >>> 0;
  }
}

/** The windows of all streams. For datagrams that are known to be genuine: nobody else may make it forget. */
export class Streams {
  readonly #windows = new Map<string, ReplayWindow>();
  readonly #most: number;

  constructor(most = mostStreams) {
    this.#most = most;
  }

  /** Whether a datagram comes for the first time. */
  take(stream: string, counter: number): boolean {
    const window = this.#windows.get(stream) ?? new ReplayWindow();
    // To the end of the map's order, so that its first is always the one that was silent longest.
    this.#windows.delete(stream);
    this.#windows.set(stream, window);
    if (this.#windows.size > this.#most) {
      const [oldest = ""] = this.#windows.keys();
      this.#windows.delete(oldest);
    }
    return window.take(counter);
  }
}
