import type { SqlValue } from "./value.js";

/** Which of two values of a column stands, by the time at which each was said: the one that was said
 *  first, as Parsl writes a column once at its insert, or the one that was said last, as Parsl updates a
 *  column. NULL is never said, so a value never goes back to NULL. */
export type Rule = "first" | "last";

/** Values of one row whose columns are merged from several messages, and when each was said (microseconds
 *  since 1970; NaN for NULL). What it ends with depends on the set of messages only, not on their order:
 *  of two said at once the greater value stands. */
export class MergedValues {
  readonly #rules: readonly Rule[];
  readonly values: SqlValue[];
  readonly #saidAt: Float64Array;

  private constructor(rules: readonly Rule[], values: SqlValue[], saidAt: Float64Array) {
    this.#rules = rules;
    this.values = values;
    this.#saidAt = saidAt;
  }

  static empty(rules: readonly Rule[]): MergedValues {
    return new MergedValues(
      rules,
      rules.map(() => null),
      new Float64Array(rules.length).fill(NaN),
    );
  }

  /** Values of a row that is there already. A row without versions was written by Parsl itself: what it
   *  says once stands, and what it updates gives way to any message. */
  static stored(rules: readonly Rule[], values: SqlValue[], versions: Uint8Array | null): MergedValues {
    const saidAt =
      versions === null
        ? Float64Array.from(values, (value) => (value === null ? NaN : -Infinity))
        : new Float64Array(new Uint8Array(versions).buffer);
    // A placeholder that a NOT NULL column needed was never said.
    const said = values.map((value, column) => (Number.isNaN(saidAt[column]) ? null : value));
    return new MergedValues(rules, said, saidAt);
  }

  /** The times as bytes, to be stored beside the row. */
  get versions(): Uint8Array {
    return new Uint8Array(this.#saidAt.buffer);
  }

  /** Merges a value into a column; returns whether it stands now. */
  say(column: number, value: SqlValue, at: number): boolean {
    if (value === null) return false;
    const before = this.#saidAt[column] ?? NaN;
    if (!Number.isNaN(before)) {
      const kept = this.values[column] ?? null;
      const older = this.#rules[column] === "first" ? at > before : at < before;
      if (older || (at === before && !(kept === null || value > kept))) return false;
    }
    this.values[column] = value;
    this.#saidAt[column] = at;
    return true;
  }
}
