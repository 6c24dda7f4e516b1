import { kindNames } from "../model/kinds.js";

/** What may become of a message that is received. */
export const outcomes = ["stored", "rejected", "repeated"] as const;
export type MessageOutcome = (typeof outcomes)[number];

/** Every name that kindName gives. No text of a sender is among them: a sender cannot make series. */
const kinds = [...new Set(Object.values(kindNames)), "UNKNOWN"];
const kindPlaces = new Map(kinds.map((kind, place) => [kind, place]));

/** Where messages by a radio that nobody announced are counted. */
const otherRadio = "other";

const bounds = {
  /** Seconds: a commit to a fast disk takes 1 ms, one that waits for a lock of another minutes. */
  commit: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
  /** Messages. */
  batch: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000],
  /** Seconds: milliseconds by gRPC, hours from the spool of a sender that was cut off. */
  lag: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600, 86_400],
};

/** What one histogram shows. */
export interface Distribution {
  /** How many values were at most so large; all of them under Infinity. */
  readonly upTo: ReadonlyMap<number, number>;
  readonly sum: number;
}

/** What the writer has stored since it began, counted in memory that its thread shares with the main one. So a
 *  commit costs no message between the two, and the numbers can be read while the writer waits for a lock. Nothing
 *  orders reads and writes: a number may be one commit older than its neighbour. */
export class StoreCounts {
  /** The radios that are told apart. */
  readonly radios: readonly string[];
  readonly memory: SharedArrayBuffer;
  readonly #messages: Float64Array;
  readonly #commitSeconds: Bins;
  readonly #batchMessages: Bins;
  readonly #lagSeconds: Bins;
  /** The first of the places in `#messages` of each radio. */
  readonly #radioPlaces: ReadonlyMap<string, number>;
  /** Messages of the group that is not yet committed, as in `#messages`. */
  readonly #pending: Float64Array;
  /** Most messages are counted where the one before was. */
  #lastPlace:
    | {
        readonly radio: string;
        readonly kind: string;
        readonly outcome: MessageOutcome;
        readonly place: number;
      }
    | undefined;
  /** The times of those that are new rows, in microseconds since 1970. */
  #pendingTimes: number[] = [];

  /** `memory` is that of the counts that these are to share; by default they have their own. */
  constructor(radios: readonly string[], memory?: SharedArrayBuffer) {
    this.radios = [...radios, otherRadio];
    this.#radioPlaces = new Map(
      this.radios.map((name, place) => [name, place * kinds.length * outcomes.length]),
    );
    const messages = this.radios.length * kinds.length * outcomes.length;
    const lengths = [messages, ...[bounds.commit, bounds.batch, bounds.lag].map(lengthOf)];
    const bytes = lengths.reduce((sum, length) => sum + length, 0) * Float64Array.BYTES_PER_ELEMENT;
    this.memory = memory ?? new SharedArrayBuffer(bytes);
    let at = 0;
    const [counts, commit, batch, lag] = lengths.map((length) => {
      const numbers = new Float64Array(this.memory, at, length);
      at += numbers.byteLength;
      return numbers;
    }) as [Float64Array, Float64Array, Float64Array, Float64Array];
    this.#messages = counts;
    this.#pending = new Float64Array(messages);
    this.#commitSeconds = new Bins(bounds.commit, commit);
    this.#batchMessages = new Bins(bounds.batch, batch);
    this.#lagSeconds = new Bins(bounds.lag, lag);
  }

  /** One more message of the group. */
  add(radio: string, kind: string, outcome: MessageOutcome): void {
    const place = this.#place(radio, kind, outcome);
    this.#pending[place] = (this.#pending[place] ?? 0) + 1;
  }

  /** One of them is a new row, and has a time of its own. */
  addTime(atMicros: number): void {
    this.#pendingTimes.push(atMicros);
  }

  /** The group was rolled back. */
  discard(): void {
    this.#pending.fill(0);
    this.#pendingTimes = [];
  }

  /** The group is on the disk. */
  commit(seconds: number, nowMicros: number): void {
    let batch = 0;
    this.#pending.forEach((count, place) => {
      if (count === 0) return;
      batch += count;
      this.#messages[place] = (this.#messages[place] ?? 0) + count;
    });
    this.#commitSeconds.add(seconds);
    this.#batchMessages.add(batch);
    // A clock that is ahead of ours makes no negative lag, which a sum could not bear.
    for (const at of this.#pendingTimes) this.#lagSeconds.add(Math.max(0, nowMicros - at) / 1e6);
    this.discard();
  }

  /** Every count of messages, those that are 0 among them; of radios that nobody announced the others only. */
  messages(): { radio: string; kind: string; outcome: MessageOutcome; count: number }[] {
    const all = this.radios.flatMap((radio) =>
      kinds.flatMap((kind) =>
        outcomes.map((outcome) => ({
          ...{ radio, kind, outcome },
          count: this.#messages[this.#place(radio, kind, outcome)] ?? 0,
        })),
      ),
    );
    return all.filter(({ radio, count }) => radio !== otherRadio || count > 0);
  }

  /** Time that a group took from the writer's first look at it to its commit. */
  get commitSeconds(): Distribution {
    return this.#commitSeconds.read();
  }

  /** Messages of a group. */
  get batchMessages(): Distribution {
    return this.#batchMessages.read();
  }

  /** Time from a message's own time to its commit. */
  get lagSeconds(): Distribution {
    return this.#lagSeconds.read();
  }

  #place(radio: string, kind: string, outcome: MessageOutcome): number {
    const last = this.#lastPlace;
    if (radio === last?.radio && kind === last.kind && outcome === last.outcome) return last.place;
    const radioPlace = this.#radioPlaces.get(radio) ?? this.#radioPlaces.get(otherRadio) ?? 0;
    const kindPlace = kindPlaces.get(kind) ?? kinds.length - 1;
    const place = radioPlace + kindPlace * outcomes.length + outcomes.indexOf(outcome);
    this.#lastPlace = { radio, kind, outcome, place };
    return place;
  }
}

/** Numbers of a histogram: one for each bound, one for what is beyond them all, and the sum. */
function lengthOf(bounds: readonly number[]): number {
  return bounds.length + 2;
}

class Bins {
  readonly #bounds: readonly number[];
  readonly #numbers: Float64Array;

  constructor(bounds: readonly number[], numbers: Float64Array) {
    this.#bounds = bounds;
    this.#numbers = numbers;
  }

  add(value: number): void {
    let bin = 0;
    while (bin < this.#bounds.length && value > (this.#bounds[bin] ?? Infinity)) bin += 1;
    const sum = this.#bounds.length + 1;
    this.#numbers[bin] = (this.#numbers[bin] ?? 0) + 1;
    this.#numbers[sum] = (this.#numbers[sum] ?? 0) + value;
  }

  read(): Distribution {
    let count = 0;
    const upTo = [...this.#bounds, Infinity].map(
      (bound, bin) => [bound, (count += this.#numbers[bin] ?? 0)] as const,
    );
    return { upTo: new Map(upTo), sum: this.#numbers[this.#bounds.length + 1] ?? 0 };
  }
}
