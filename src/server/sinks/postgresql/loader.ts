import type { SqlValue } from "../../rows/value.js";
import { columnsOf } from "../sqlite/schema.js";
import type { ReadArrival } from "../sqlite/group-writer.js";
import type { Connection, Row } from "./connection.js";
import { addedKeysOf, type GroupKeys, type KeyColumns } from "./group-keys.js";
import type { StoredRows } from "./mirror.js";
import { truthText, type Columns } from "./schema.js";

/** What is there already of what a group is about. */
export interface LoadedGroup {
  readonly stored: readonly StoredRows[];
  /** How many senders a run has, for runs with a new one. */
  readonly sendersOf: ReadonlyMap<string, number>;
}

/** Reads, and locks, what a group is about: by a few statements, however many rows it is. Used inside a transaction. */
export class Loader {
  readonly #connection: Connection;
  readonly #columns: Columns;

  constructor(connection: Connection, columns: Columns) {
    this.#connection = connection;
    this.#columns = columns;
  }

  /** Nobody else writes to the group's senders, and with `exclusively` to its runs, until the transaction ends; who
   *  makes a new one at the same time runs into its key. */
  async load(keys: GroupKeys, exclusively: boolean): Promise<LoadedGroup> {
    const { senders, runs } = keys;
    const known = await this.#rows(
      "collector_sender",
      "WHERE sender_id = ANY($1::text[]) ORDER BY sender_id FOR UPDATE",
      [senders],
    );
    const stored = [
      { table: "collector_sender", rows: known },
      await this.#table(
        "collector_run",
        `WHERE run_id = ANY($1::text[]) ORDER BY run_id ${exclusively ? "FOR UPDATE" : ""}`,
        [runs],
      ),
      ...(await this.#ofSenders(keys, known)),
      await this.#table("workflow", "WHERE run_id = ANY($1::text[])", [runs]),
    ];
    if (keys.hasPrincipals) {
      const firstRuns = known.flatMap((row) => row[columnsOf("collector_sender").indexOf("run_id")] ?? []);
      stored.push(...(await this.#owners([...runs, ...firstRuns])));
    }
    if (keys.merges) stored.push(...(await this.#tasksAndTries(keys)));
    const isNew = known.length < senders.length;
    return { stored, sendersOf: isNew ? await this.#countSenders(runs) : new Map<string, number>() };
  }

  /** Rows that a group's own would stand beside, in tables that are only added to. */
  async loadAdded(group: readonly ReadArrival[]): Promise<StoredRows[]> {
    const { resource, nodeUsage, status, block } = addedKeysOf(group);
    return [
      await this.#joined(
        "resource",
        "$1::bigint[], $2::bigint[], $3::text[], $4::timestamp[]",
        "each.try_id = a AND each.task_id = b AND each.run_id = c AND each.timestamp = d",
        resource,
      ),
      await this.#joined(
        "collector_node_usage",
        "$1::text[], $2::timestamp[], $3::bigint[]",
        "hostname = a AND timestamp BETWEEN b AND b + c * interval '1 microsecond'",
        nodeUsage,
      ),
      await this.#joined(
        "status",
        "$1::text[], $2::bigint[], $3::text[]",
        "each.run_id = a AND each.task_id = b AND each.task_status_name = c",
        status,
      ),
      await this.#joined(
        "block",
        "$1::text[], $2::text[], $3::text[]",
        "each.run_id = a AND each.block_id = b AND each.executor_label = c",
        block,
      ),
      await this.#moved("status", status),
      await this.#moved("block", block),
    ];
  }

  async #ofSenders({ envelopes }: GroupKeys, known: readonly Row[]): Promise<StoredRows[]> {
    if (known.length === 0) return [];
    const ids = [known.map(([id]) => id)];
    const rejected = columnsOf("collector_sender").indexOf("rejected");
    const stored = [
      await this.#table("collector_sequence", "WHERE sender = ANY($1::bigint[])", ids),
      await this.#table("collector_lost", "WHERE sender = ANY($1::bigint[])", ids),
      await this.#table("collector_sender_radio", "WHERE sender = ANY($1::bigint[])", ids),
    ];
    if (known.every((row) => row[rejected] === 0)) return stored;
    return [
      ...stored,
      await this.#joined(
        "collector_rejected",
        "$1::text[], $2::bigint[], $3::bigint[]",
        "each.sender_id = a AND each.sequence BETWEEN b AND c",
        envelopes,
      ),
    ];
  }

  /** Whose a run is, and one word of whether anybody has written it. */
  async #owners(runs: readonly SqlValue[]): Promise<StoredRows[]> {
    return [
      await this.#table("collector_run_owner", "WHERE run_id = ANY($1::text[])", [runs]),
      {
        table: "collector_sender_run",
        rows: await this.#connection.query(
          `SELECT heard.* FROM (SELECT DISTINCT unnest($1::text[]) AS run) wanted CROSS JOIN LATERAL
            (SELECT * FROM collector_sender_run WHERE run_id = wanted.run LIMIT 1) heard`,
          [runs],
        ),
      },
    ];
  }

  async #tasksAndTries({ tasks, tries }: GroupKeys): Promise<StoredRows[]> {
    const task = "$1::text[], $2::bigint[]";
    const oneTry = "$1::text[], $2::bigint[], $3::bigint[]";
    // By the number that our own tables have for a run.
    const run = "run.run_id = a AND each.run = run.id AND each.task_id = b";
    return [
      await this.#joined("task", task, "each.run_id = a AND each.task_id = b", tasks),
      await this.#joined("collector_task", task, run, tasks, "collector_run run,"),
      await this.#joined("try", oneTry, "each.run_id = a AND each.task_id = b AND each.try_id = c", tries),
      await this.#joined("collector_try", oneTry, `${run} AND each.try_id = c`, tries, "collector_run run,"),
    ];
  }

  async #countSenders(runs: readonly string[]): Promise<Map<string, number>> {
    const rows = await this.#connection.query(
      "SELECT run_id, count(*) FROM collector_sender_run WHERE run_id = ANY($1::text[]) GROUP BY run_id",
      [runs],
    );
    return new Map(rows.map(([runId, count]) => [String(runId), Number(count)]));
  }

  #moved(table: string, [runs = [], ...rest]: KeyColumns): Promise<StoredRows> {
    const groups = runs.map((_, index) => JSON.stringify(rest.map((column) => column[index])));
    return this.#joined(
      "collector_moved",
      "$1::text[], $2::text[], $3::text[]",
      "each.table_name = a AND each.run_id = b AND each.row_group = c",
      [runs.map(() => table), runs, groups],
    );
  }

  /** Rows of a table that go with keys, whose columns are a, b, c and d. */
  async #joined(
    table: string,
    types: string,
    where: string,
    keys: KeyColumns,
    from = "",
  ): Promise<StoredRows> {
    if (keys[0]?.length === 0) return { table, rows: [] };
    const names = ["a", "b", "c", "d"].slice(0, keys.length).join(", ");
    const rows = await this.#connection.query(
      `SELECT ${this.#selected(table)} FROM unnest(${types}) AS keys (${names}), ${from} "${table}" each WHERE ${where}`,
      keys,
    );
    return { table, rows };
  }

  async #table(table: string, where: string, values: readonly unknown[]): Promise<StoredRows> {
    return { table, rows: await this.#rows(table, where, values) };
  }

  #rows(table: string, where: string, values: readonly unknown[]): Promise<Row[]> {
    return this.#connection.query(`SELECT ${this.#selected(table)} FROM "${table}" each ${where}`, values);
  }

  #selected(table: string): string {
    return selectedColumns(table, this.#columns);
  }
}

/** The columns of a table `each`, as SQLite has them: times as text in Parsl's form. */
export function selectedColumns(table: string, types: Columns): string {
  return columnsOf(table)
    .map((column) => {
      const value = `each."${column}"`;
      if (types.get(table)?.get(column)?.startsWith("timestamp") === true) {
        return `to_char(${value}, 'YYYY-MM-DD HH24:MI:SS.US')`;
      }
      if (table !== truthText.table || column !== truthText.column) return value;
      return `CASE ${value} WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE ${value} END`;
    })
    .join(", ");
}
