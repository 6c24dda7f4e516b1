/** Shortest and longest pause before a new attempt, in ms. A collector that is restarted is back within
 *  tenths of a second; one that is away for an hour must not find 10,000 senders asking twice a second. */
export const shortestPauseMs = 50;
export const longestPauseMs = 5_000;

/** How long to wait before the next attempt to connect. Each pause is drawn between the shortest and a
 *  ceiling that doubles with every failure: senders that lost the same collector do not come back as one. */
export class Reconnect {
  readonly #random: () => number;
  #failures = 0;

  /** `random` gives numbers from 0 to below 1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** The pause after one more failure, in ms. */
  nextPauseMs(): number {
    this.#failures += 1;
    const ceiling = Math.min(longestPauseMs, shortestPauseMs * 2 ** this.#failures);
    return shortestPauseMs + this.#random() * (ceiling - shortestPauseMs);
  }

  /** An envelope was delivered. A connection alone does not count: a proxy may take it and end it at once,
   *  for as long as the collector behind it is away. */
  succeeded(): void {
    this.#failures = 0;
  }
}
