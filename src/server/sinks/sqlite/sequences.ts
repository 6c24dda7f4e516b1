import type Database from "better-sqlite3";

import { SequenceSet, type Interval } from "../../ledger.js";

/** Reads what the ledger has of one sender, by the number of its row. Its statements are prepared once. */
export class SequenceReader {
  readonly #stored;
  readonly #lost;

  constructor(db: Database.Database) {
    this.#stored = db.prepare<[number], Interval>(
      "SELECT first, last FROM collector_sequence WHERE sender = ? ORDER BY first",
    );
    this.#lost = db.prepare<[number], Interval & { kind: string }>(
      "SELECT kind, first, last FROM collector_lost WHERE sender = ? ORDER BY kind, first",
    );
  }

  /** The sequences that are stored, rejected messages included: disjoint, in ascending order. */
  stored(sender: number): Interval[] {
    return this.#stored.all(sender);
  }

  /** The sequences that the sender gave up, by kind. */
  lost(sender: number): Map<string, SequenceSet> {
    const lost = new Map<string, SequenceSet>();
    for (const { kind, first, last } of this.#lost.all(sender)) {
      let sequences = lost.get(kind);
      if (sequences === undefined) lost.set(kind, (sequences = new SequenceSet()));
      sequences.add({ first, last });
    }
    return lost;
  }
}
