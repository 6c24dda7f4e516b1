import { SequenceSet, type Interval } from "./ledger.js";

/** Silence, in ms, after which a run without an end is taken for lost: three times the 30 s after which a
 *  hub that has nothing to say lets itself be heard of. */
export const lostAfterMs = 90_000;

/** What became of the sequences of one sender, each of which is stored, lost or missing. */
export interface Account {
  /** The highest sequence known: the closing note's, or the highest that came or was given up. */
  readonly last: number;
  /** Sequences that the sender gave up and that did not come after all, by kind. */
  readonly lost: ReadonlyMap<string, number>;
  /** Sequences up to `last` of which nothing is known. */
  readonly missing: readonly Interval[];
  readonly missingCount: number;
}

/** Draws up a sender's account. `told` has the sequences that it gave up, by kind; one that came all the same
 *  is not lost, and one that was told under two kinds counts under the first that has a name. */
export function accountOf(
  stored: SequenceSet,
  told: ReadonlyMap<string, SequenceSet>,
  lastSequence: number | null,
): Account {
  const known = new SequenceSet(stored.intervals);
  const lost = new Map<string, number>();
  for (const kind of [...told.keys()].sort(
    (a, b) => Number(a === "") - Number(b === "") || (a < b ? -1 : 1),
  )) {
    let count = 0;
    for (const interval of told.get(kind)?.intervals ?? []) count += known.add(interval).added;
    if (count > 0) lost.set(kind, count);
  }
  const last = Math.max(lastSequence ?? 0, known.highest);
  return { last, lost, missing: known.gaps(last), missingCount: last - known.size };
}

/** What is known of a run's senders, for its state. */
export interface RunHeard {
  /** Whether the end of its workflow is stored. */
  readonly hasEnd: boolean;
  /** Whether each of its senders has said its closing note. */
  readonly allClosed: boolean;
  /** When it was last heard of, in ms since 1970. */
  readonly lastReceivedAtMs: number;
}

/** A run whose driver vanished must not look as if it ran for ever; a quiet one must not look lost. */
export function runStateOf(
  { hasEnd, allClosed, lastReceivedAtMs }: RunHeard,
  nowMs: number,
): "completed" | "running" | "lost" {
  if (hasEnd) return "completed";
  return allClosed || nowMs - lastReceivedAtMs > lostAfterMs ? "lost" : "running";
}
