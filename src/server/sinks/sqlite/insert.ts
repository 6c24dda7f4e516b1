import type Database from "better-sqlite3";

import type { SqlValue } from "../../rows/value.js";
import { columnsOf } from "./schema.js";

/** Rows with the same constants after which these get a statement of their own: to prepare one costs as much as some 20
 *  rows save by it. */
const rowsUntilPrepared = 100;

/** Combinations of constants that are counted or have a statement: of many runs side by side, none comes often. */
const mostConstants = 64;

/** Characters of a text that may be part of a statement. Longer ones are no ids or states, and would stay in memory, as
 *  keys here and as SQLite's text of the statement. */
const longestConstant = 1_000;

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
  readonly #special = new Map<string, Map<string, Special>>();
  #specials = 0;

  /** `constants`: two columns that mostly repeat. */
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
    const statement = this.#specialFor(row[this.#first], row[this.#second]);
    if (statement === undefined) return this.#general.run(...row).changes === 1;
    const rest: SqlValue[] = [];
    for (let column = 0; column < row.length; column += 1) {
      if (column !== this.#first && column !== this.#second) rest.push(row[column] ?? null);
    }
    return statement.run(...rest).changes === 1;
  }

  /** The statement with these two in it; undefined where there is none, or not yet. */
  #specialFor(first: SqlValue | undefined, second: SqlValue | undefined): Special["statement"] {
    if (!isShortText(first) || !isShortText(second)) return undefined;
    const special = this.#special.get(first)?.get(second) ?? this.#begin(first, second);
    special.rows += 1;
    if (special.rows === rowsUntilPrepared) special.statement = this.#prepare(first, second);
    return special.statement;
  }

  #begin(first: string, second: string): Special {
    if (this.#specials === mostConstants) {
      this.#special.clear();
      this.#specials = 0;
    }
    this.#specials += 1;
    const ofFirst = this.#special.get(first) ?? new Map<string, Special>();
    const special = { rows: 0, statement: undefined };
    this.#special.set(first, ofFirst.set(second, special));
    return special;
  }

  /** Undefined with NUL, where SQLite's parser would end. */
  #prepare(first: string, second: string): Special["statement"] {
    if (first.includes("\0") || second.includes("\0")) return undefined;
    const values = columnsOf(this.#table).map(() => "?");
    values[this.#first] = literalOf(first);
    values[this.#second] = literalOf(second);
    return this.#db.prepare<SqlValue[]>(insertUnlessKnown(this.#table, this.#key, values));
  }
}

interface Special {
  /** That had these constants. */
  rows: number;
  statement: Database.Statement<SqlValue[]> | undefined;
}

function isShortText(value: SqlValue | undefined): value is string {
  return typeof value === "string" && value.length <= longestConstant;
}

/** A text as SQL has it. */
function literalOf(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
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
