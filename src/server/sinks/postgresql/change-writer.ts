import type { SqlValue } from "../../rows/value.js";
import type { Connection, Row } from "./connection.js";
import type { Changes } from "./mirror.js";
import { truthText, type Columns } from "./schema.js";

/** Rows from which on COPY is faster than a statement that takes the columns as arrays. */
const copyRows = 200;

/** Taken by whoever appends to the log until the commit, so that a position is never seen before a lower one. */
const logLock = "7239120938473";

/** Numbers that the database itself gives. */
const givenNumbers: Readonly<Record<string, string>> = {
  node: "id",
  collector_rejected: "id",
  collector_log: "position",
};

/** Tables whose numbers others refer to, and the column by which they do. */
const numberedTables = { collector_sender: "sender", collector_run: "run" } as const;

/** Tables in which a row that another has put there meanwhile is a surprise: the group has to look again. */
const surprising = new Set(["collector_sender", "collector_run", "status", "block"]);

/** Writes what a group did to its rows back, by one or two statements a table. Used inside a transaction. */
export class ChangeWriter {
  readonly #connection: Connection;
  readonly #columns: Columns;
  /** Numbers in the mirror and the ones that the database gave for them, by the columns that refer to them. */
  readonly #numbers = new Map<string, Map<SqlValue, SqlValue>>();

  constructor(connection: Connection, columns: Columns) {
    this.#connection = connection;
    this.#columns = columns;
  }

  async write(changes: readonly Changes[]): Promise<void> {
    for (const each of changes) await this.#number(each);
    for (const { table, columns, removed, added, changed } of changes) {
      const { name, key } = table;
      if (name === "collector_log")
        await this.#connection.query("SELECT pg_advisory_xact_lock($1)", [logLock]);
      if (removed.length > 0) await this.#remove(name, key, this.#withNumbers(name, key, removed));
      const isPlain = table.addsOnly === true || surprising.has(name);
      if (isPlain) await this.#insert(name, columns, this.#withNumbers(name, columns, added));
      const merged = withTruthTexts(name, columns, isPlain ? changed : [...added, ...changed]);
      if (merged.length > 0) await this.#merge(name, key, columns, this.#withNumbers(name, columns, merged));
    }
  }

  /** Asks for numbers for the rows that need one. */
  async #number({ table: { name }, columns, added }: Changes): Promise<void> {
    if (!isNumbered(name) || added.length === 0) return;
    const id = columns.indexOf("id");
    const rows = await this.#connection.query(
      `SELECT nextval(pg_get_serial_sequence('${name}', 'id')) FROM generate_series(1, $1::int)`,
      [added.length],
    );
    const numbers = added.map((row, index) => [row[id] ?? null, rows[index]?.[0] ?? null] as const);
    this.#numbers.set(numberedTables[name], new Map(numbers));
  }

  #withNumbers(name: string, columns: readonly string[], rows: readonly Row[]): readonly Row[] {
    const reference = isNumbered(name)
      ? numberedTables[name]
      : columns.find((column) => this.#numbers.has(column));
    const numbers = reference === undefined ? undefined : this.#numbers.get(reference);
    if (numbers === undefined) return rows;
    const at = columns.indexOf(isNumbered(name) ? "id" : (reference ?? ""));
    return rows.map((row) => {
      const number = numbers.get(row[at] ?? null);
      return number === undefined ? row : row.with(at, number);
    });
  }

  async #insert(name: string, columns: readonly string[], rows: readonly Row[]): Promise<void> {
    if (rows.length === 0) return;
    const without = columns.indexOf(givenNumbers[name] ?? "");
    const kept = columns.filter((_, index) => index !== without);
    const values = without < 0 ? rows : rows.map((row) => row.toSpliced(without, 1));
    const target = `"${name}" (${quoted(kept)})`;
    if (rows.length >= copyRows) {
      await this.#connection.copy(`COPY ${target} FROM STDIN`, copyText(values));
    } else {
      const statement = `INSERT INTO ${target} SELECT * FROM unnest(${this.#arrays(name, kept)})`;
      await this.#connection.query(statement, transposed(values, kept.length));
    }
  }

  async #merge(
    name: string,
    key: readonly string[],
    columns: readonly string[],
    rows: readonly Row[],
  ): Promise<void> {
    const others = columns.filter((column) => !key.includes(column));
    await this.#connection.query(
      `INSERT INTO "${name}" (${quoted(columns)}) SELECT * FROM unnest(${this.#arrays(name, columns)}) ` +
        `ON CONFLICT (${quoted(key)}) DO UPDATE SET ${others.map((column) => `"${column}" = excluded."${column}"`).join(", ")}`,
      transposed(rows, columns.length),
    );
  }

  async #remove(name: string, key: readonly string[], rows: readonly Row[]): Promise<void> {
    await this.#connection.query(
      `DELETE FROM "${name}" each USING unnest(${this.#arrays(name, key)}) AS gone (${quoted(key)}) ` +
        `WHERE ${key.map((column) => `each."${column}" = gone."${column}"`).join(" AND ")}`,
      transposed(rows, key.length),
    );
  }

  #arrays(name: string, columns: readonly string[]): string {
    const types = this.#columns.get(name);
    return columns
      .map((column, index) => `$${String(index + 1)}::${types?.get(column) ?? "text"}[]`)
      .join(", ");
  }
}

function withTruthTexts(name: string, columns: readonly string[], rows: readonly Row[]): readonly Row[] {
  if (name !== truthText.table) return rows;
  const at = columns.indexOf(truthText.column);
  return rows.map((row) => row.with(at, row[at] === "1" ? "true" : "false"));
}

function isNumbered(name: string): name is keyof typeof numberedTables {
  return name in numberedTables;
}

function quoted(columns: readonly string[]): string {
  return columns.map((column) => `"${column}"`).join(", ");
}

function transposed(rows: readonly Row[], width: number): SqlValue[][] {
  return Array.from({ length: width }, (_, column) => rows.map((row) => row[column] ?? null));
}

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Rows as COPY reads them. */
function copyText(rows: readonly Row[]): string {
  return rows.map((row) => `${row.map(copyValue).join("\t")}\n`).join("");
}

function copyValue(value: SqlValue): string {
  if (value === null) return "\\N";
  if (typeof value === "string") return value.replace(/[\\\n\r\t]/g, (character) => escapes[character] ?? "");
  if (value instanceof Uint8Array) return `\\\\x${Buffer.from(value).toString("hex")}`;
  return String(value);
}
