/** A run of sequences, both ends included. */
export interface Interval {
  readonly first: number;
  readonly last: number;
}

function length({ first, last }: Interval): number {
  return last - first + 1;
}

/** Sequences of one sender, those that are stored for one, as disjoint intervals in ascending order with a gap between
 *  each two. A sender whose messages come in order has one interval, however many they are; envelopes that
 *  come late or out of order make more, and close them again. */
export class SequenceSet {
  readonly #intervals: Interval[];

  constructor(intervals: readonly Interval[] = []) {
    this.#intervals = [...intervals];
  }

  get intervals(): readonly Interval[] {
    return this.#intervals;
  }

  /** The highest sequence in the set; 0 when it is empty. */
  get highest(): number {
    return this.#intervals.at(-1)?.last ?? 0;
  }

  /** Sequences in the set. */
  get size(): number {
    return this.#intervals.reduce((sum, interval) => sum + length(interval), 0);
  }

  has(sequence: number): boolean {
    const interval = this.#intervals[this.#indexAtOrAfter(sequence)];
    return interval !== undefined && interval.first <= sequence;
  }

  /** Whether all of first..last are in the set. */
  includes({ first, last }: Interval): boolean {
    const interval = this.#intervals[this.#indexAtOrAfter(first)];
    return interval !== undefined && interval.first <= first && last <= interval.last;
  }

  /** Adds a run, and says which intervals it made one: those that are gone, and the one that is there
   *  now; and how many sequences are new. */
  add(run: Interval): {
    readonly gone: readonly Interval[];
    readonly grown: Interval;
    readonly added: number;
  } {
    // A run also swallows the neighbours that it touches, hence the 1 on both sides.
    const from = this.#indexAtOrAfter(run.first - 1);
    let to = from;
    let { first, last } = run;
    for (let next = this.#intervals[to]; next !== undefined && next.first <= run.last + 1;) {
      first = Math.min(first, next.first);
      last = Math.max(last, next.last);
      next = this.#intervals[++to];
    }
    const grown = { first, last };
    const gone = this.#intervals.splice(from, to - from, grown);
    const before = gone.reduce((sum, interval) => sum + length(interval), 0);
    return { gone, grown, added: length(grown) - before };
  }

  /** The runs of 1..upTo that are not in the set. */
  gaps(upTo: number): Interval[] {
    const gaps: Interval[] = [];
    let next = 1;
    for (const { first, last } of this.#intervals) {
      if (first > upTo) break;
      if (first > next) gaps.push({ first: next, last: first - 1 });
      next = last + 1;
    }
    if (next <= upTo) gaps.push({ first: next, last: upTo });
    return gaps;
  }

  /** Index of the first interval that ends at `sequence` or later. Looks at the end first: that is where
   *  a message that comes in order belongs. */
  #indexAtOrAfter(sequence: number): number {
    let high = this.#intervals.length;
    if (high === 0 || this.highest < sequence) return high;
    let low = 0;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const interval = this.#intervals[middle];
      if (interval !== undefined && interval.last < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
