import type Database from "better-sqlite3";

import type { SqlValue } from "../../rows/value.js";
import { columnsOf } from "./schema.js";

/** Rows with the same constants after which these get a statement of their own: to prepare one costs as much as some 20
 *  rows save by it. */
const rowsUntilPrepared = 100;

/** Combinations of constants that are counted or have a statement: of many runs side by side, none comes often. */
const mostConstants = 64;

/** Inserts rows that are not there yet, by their key. Binding is a fifth of what a row costs and a text's dearer than a
 *  number's, so texts that are the same in row after row (a run's id, a state) become part of the statement: 1.2 us less
 *  of 8.7 for a sample. */
export class Insert {
  readonly #db: Database.Database;
  readonly #table: string;
  readonly #key: readonly string[];
  readonly #first: number;
  readonly #second: number;
  readonly #general: Database.Statement<SqlValue[]>;
  /** By the values of the two constants. */
  readonly #special = new Map<SqlValue, Map<SqlValue, Special>>();
  #specials = 0;

  /** `constants`: two columns that mostly repeat, in the order of the table. */
  constructor(
    db: Database.Database,
    table: string,
    key: readonly string[],
    constants: readonly [string, string],
  ) {
    this.#db = db;
    this.#table = table;
    this.#key = key;
    const columns = columnsOf(table);
    this.#first = columns.indexOf(constants[0]);
    this.#second = columns.indexOf(constants[1]);
    this.#general = db.prepare<SqlValue[]>(insertUnlessKnown(table, key));
  }

  /** Whether a row, of all columns of the table, was new. */
  run(row: readonly SqlValue[]): boolean {
    const first = row[this.#first] ?? null;
    const second = row[this.#second] ?? null;
    const special = this.#special.get(first)?.get(second) ?? this.#begin(first, second);
    special.rows += 1;
    if (special.rows === rowsUntilPrepared) special.statement = this.#prepare(first, second);
    if (special.statement === undefined) return this.#general.run(...row).changes === 1;
    const rest: SqlValue[] = [];
    for (let column = 0; column < row.length; column += 1) {
      if (column !== this.#first && column !== this.#second) rest.push(row[column] ?? null);
    }
    return special.statement.run(...rest).changes === 1;
  }

  #begin(first: SqlValue, second: SqlValue): Special {
    if (this.#specials === mostConstants) {
      this.#special.clear();
      this.#specials = 0;
    }
    this.#specials += 1;
    const ofFirst = this.#special.get(first) ?? new Map<SqlValue, Special>();
    const special = { rows: 0, statement: undefined };
    this.#special.set(first, ofFirst.set(second, special));
    return special;
  }

  /** Undefined where a value cannot be a literal. */
  #prepare(first: SqlValue, second: SqlValue): Database.Statement<SqlValue[]> | undefined {
    const literals = [literalOf(first), literalOf(second)];
    if (literals.includes(undefined)) return undefined;
    const values = columnsOf(this.#table).map(() => "?");
    [values[this.#first], values[this.#second]] = literals as [string, string];
    return this.#db.prepare<SqlValue[]>(insertUnlessKnown(this.#table, this.#key, values));
  }
}

interface Special {
  /** That had these constants. */
  rows: number;
  statement: Database.Statement<SqlValue[]> | undefined;
}

/** A text as SQL has it; undefined for what is none, and for one with NUL, where SQLite's parser would end. */
function literalOf(value: SqlValue): string | undefined {
  if (typeof value !== "string" || value.includes("\0")) return undefined;
  return `'${value.replaceAll("'", "''")}'`;
}

/** ON CONFLICT with the key, never OR IGNORE, which would also swallow a NULL where none may be. */
function insertUnlessKnown(
  table: string,
  key: readonly string[],
  values: readonly string[] = columnsOf(table).map(() => "?"),
): string {
  return (
    `INSERT INTO "${table}" (${columnsOf(table).join(", ")}) VALUES (${values.join(", ")}) ` +
    `ON CONFLICT (${key.join(", ")}) DO NOTHING`
  );
}
