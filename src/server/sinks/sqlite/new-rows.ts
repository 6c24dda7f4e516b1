import type Database from "better-sqlite3";

import { localText } from "../../../model/time.js";
import { microsOfText } from "./status.js";

/** Kinds of messages as Parsl names them, and REJECTED for those that no table took. */
export const storedKinds = [
  "WORKFLOW_INFO",
  "TASK_INFO",
  "WORKER_TASK_INFO",
  "RESOURCE_INFO",
  "NODE_INFO",
  "BLOCK_INFO",
  "NODE_USAGE",
  "REJECTED",
] as const;
export type StoredKind = (typeof storedKinds)[number];

/** A message as the tables have it. */
export interface StoredMessage {
  readonly kind: StoredKind;
  /** When it happened, as Parsl's tables have it: in the collector's local zone. */
  readonly time: string;
  readonly runId: string | null;
  readonly taskId?: number;
  readonly tryId?: number;
  /** Of a workflow, task, process, node or block; of a rejected message its kind. */
  readonly state?: string;
  readonly hostname?: string | null;
  /** What a person wants to know beside. */
  readonly detail?: string;
  readonly row: Row;
}

type Row = Readonly<Record<string, string | number | null>>;

export interface NewRowsOptions {
  /** Messages of this run only; of all runs when it is empty. */
  readonly runId: string;
  readonly kinds: readonly StoredKind[];
  /** Whether what is in the file already is new. */
  readonly fromStart: boolean;
}

/** Rows that are read at once, of each table. No statement stays open while they are used: a slow reader would keep
 *  SQLite from shrinking the journal, and where that is no WAL, from writing. */
const batchRows = 1_000;

/** Finds what has come into a file since it last looked, by where it stood in each table: it costs the new rows, not
 *  the tables. Rows that are changed in place (of tasks and tries) are told by their statuses. What is removed and
 *  numbered anew meanwhile, as by VACUUM, may go unseen. */
export class NewRows {
  readonly #queues: readonly Queue[];

  constructor(db: Database.Database, { runId, kinds, fromStart }: NewRowsOptions) {
    // An older collector's file may lack tables of ours.
    const isThere = db.prepare("SELECT 1 FROM sqlite_master WHERE name = ?");
    const sources = kinds.flatMap((kind): Source[] => {
      if (kind === "WORKFLOW_INFO") return [new Workflows(db, runId, fromStart)];
      if (kind !== "NODE_USAGE") return [new NumberedRows(db, kind, numbered[kind], runId, fromStart)];
      return isThere.get("collector_node_usage") === undefined ? [] : [new NodeUsages(db, runId, fromStart)];
    });
    this.#queues = sources.map((source) => ({ source, messages: [], at: 0 }));
  }

  /** What is new: the earliest first, as far as each table has it so. What is not taken of it comes first the next
   *  time. */
  *read(): Generator<StoredMessage> {
    for (const queue of this.#queues) fill(queue);
    for (;;) {
      let earliest: { readonly message: StoredMessage; readonly queue: Queue } | undefined;
      for (const queue of this.#queues) {
        const message = queue.messages[queue.at];
        if (message === undefined) continue;
        if (earliest === undefined || message.time < earliest.message.time) earliest = { message, queue };
      }
      if (earliest === undefined) return;
      earliest.queue.at += 1;
      yield earliest.message;
      fill(earliest.queue);
    }
  }
}

/** What has been read of a table and not yet been told. */
interface Queue {
  readonly source: Source;
  messages: readonly StoredMessage[];
  at: number;
}

function fill(queue: Queue): void {
  if (queue.at < queue.messages.length) return;
  queue.messages = queue.source.next();
  queue.at = 0;
}

interface Source {
  /** The next messages, a bounded number; none when there are no more now. */
  next(): StoredMessage[];
}

/** A table whose rows have numbers that grow. */
interface NumberedTable {
  readonly table: string;
  /** Which rows, of the table as `one`. */
  readonly where?: string;
  /** More columns, and what they come from. */
  readonly more?: { readonly columns: string; readonly joins: string };
  /** Its column timestamp when this is not given. */
  readonly time?: (row: Row) => string;
  readonly message: (row: Row) => Partial<StoredMessage>;
}

/** States that a worker says of a task; the others are the submitting process's. */
const workerStates = "('running', 'running_ended')";

const statuses = (isOfWorker: boolean): NumberedTable => ({
  table: "status",
  where: `one.task_status_name ${isOfWorker ? "" : "NOT "}IN ${workerStates}`,
  more: {
    columns: "task.task_func_name AS function, try.hostname AS hostname",
    joins:
      "LEFT JOIN task ON task.task_id = one.task_id AND task.run_id = one.run_id " +
      "LEFT JOIN try ON try.try_id = one.try_id AND try.task_id = one.task_id AND try.run_id = one.run_id",
  },
  message: (row) => ({ state: textOf(row["task_status_name"]), detail: textOf(row["function"]) }),
});

const numbered: Readonly<Record<Exclude<StoredKind, "WORKFLOW_INFO" | "NODE_USAGE">, NumberedTable>> = {
  TASK_INFO: statuses(false),
  WORKER_TASK_INFO: statuses(true),
  RESOURCE_INFO: {
    table: "resource",
    more: {
      columns: "try.hostname AS hostname",
      joins:
        "LEFT JOIN try ON try.try_id = one.try_id AND try.task_id = one.task_id AND try.run_id = one.run_id",
    },
    message: (row) => {
      const cpu = Number(row["psutil_process_time_user"]) + Number(row["psutil_process_time_system"]);
      const mib = Number(row["psutil_process_memory_resident"]) / 1024 ** 2;
      return {
        state: textOf(row["psutil_process_status"]),
        detail: `${cpu.toFixed(1)} s CPU, ${mib.toFixed(0)} MiB`,
      };
    },
  },
  NODE_INFO: {
    table: "node",
    message: (row) => ({
      state: row["active"] === 1 ? "active" : "inactive",
      detail: `block ${textOf(row["block_id"])}, ${textOf(row["worker_count"])} workers`,
    }),
  },
  BLOCK_INFO: {
    table: "block",
    message: (row) => ({
      state: textOf(row["status"]),
      detail: `${textOf(row["executor_label"])} block ${textOf(row["block_id"])}, job ${textOf(row["job_id"])}`,
    }),
  },
  REJECTED: {
    table:
      "(SELECT id AS rowid, id, sender_id, sequence, run_id, kind, reason, received_at FROM collector_rejected)",
    time: (row) => localText(microsOfText(textOf(row["received_at"]))),
    message: (row) => ({ state: textOf(row["kind"]), detail: textOf(row["reason"]) }),
  },
};

class NumberedRows implements Source {
  readonly #kind: StoredKind;
  readonly #table: NumberedTable;
  readonly #runId: string;
  readonly #last: Database.Statement<[], number | null>;
  readonly #between: Database.Statement<[number, number, string, string], Row>;
  #position = 0;

  constructor(
    db: Database.Database,
    kind: StoredKind,
    numberedTable: NumberedTable,
    runId: string,
    fromStart: boolean,
  ) {
    const { table, where = "1", more } = numberedTable;
    this.#kind = kind;
    this.#table = numberedTable;
    this.#runId = runId;
    this.#last = db.prepare<[], number | null>(`SELECT max(rowid) FROM ${table}`).pluck();
    this.#between = db.prepare(
      `SELECT one.rowid AS position, one.*${more === undefined ? "" : `, ${more.columns}`}
      FROM ${table} one ${more?.joins ?? ""}
      WHERE one.rowid > ? AND one.rowid <= ? AND (? = '' OR one.run_id = ?) AND ${where}
      ORDER BY one.rowid LIMIT ${String(batchRows)}`,
    );
    if (!fromStart) this.#position = this.#last.get() ?? 0;
  }

  next(): StoredMessage[] {
    const last = this.#last.get() ?? 0;
    const rows = this.#between.all(this.#position, last, this.#runId, this.#runId);
    const messages = rows.map(({ position, ...row }): StoredMessage => {
      this.#position = Number(position);
      const time = this.#table.time?.(row) ?? textOf(row["timestamp"]);
      return { kind: this.#kind, time, ...idsOf(row), ...this.#table.message(row), row };
    });
    // Those behind the last one found are none of ours.
    if (rows.length < batchRows) this.#position = last;
    return messages;
  }
}

/** A workflow's row is made with the first message of the run, and changed when its start and its end come, of which
 *  each is told once. There are few of them. */
class Workflows implements Source {
  readonly #made: Database.Statement<[number, string, string], { position: number; run_id: string }>;
  readonly #row: Database.Statement<[string], Row>;
  readonly #runId: string;
  /** Those whose end has not come, and whether their start has. */
  readonly #open = new Map<string, boolean>();
  #position = 0;

  constructor(db: Database.Database, runId: string, fromStart: boolean) {
    this.#runId = runId;
    this.#made = db.prepare(
      "SELECT rowid AS position, run_id FROM workflow WHERE rowid > ? AND (? = '' OR run_id = ?) ORDER BY rowid",
    );
    this.#row = db.prepare("SELECT * FROM workflow WHERE run_id = ?");
    if (!fromStart) this.next();
  }

  next(): StoredMessage[] {
    for (const { position, run_id: runId } of this.#made.all(this.#position, this.#runId, this.#runId)) {
      this.#position = position;
      this.#open.set(runId, false);
    }
    return [...this.#open].flatMap(([runId, isStarted]) =>
      this.#row.all(runId).flatMap((row) => this.#changes(runId, isStarted, row)),
    );
  }

  #changes(runId: string, isStarted: boolean, row: Row): StoredMessage[] {
    const changes: StoredMessage[] = [];
    // Columns that may not be NULL say "unknown" until the start comes.
    if (!isStarted && row["rundir"] !== "unknown") {
      const detail = `${textOf(row["workflow_name"])}, ${textOf(row["rundir"])}`;
      changes.push({ ...workflowMessage(row, "time_began", "started"), detail });
      this.#open.set(runId, true);
    }
    if (row["time_completed"] !== null) {
      const completed = textOf(row["tasks_completed_count"]);
      const detail = `${completed} tasks completed, ${textOf(row["tasks_failed_count"])} failed`;
      changes.push({ ...workflowMessage(row, "time_completed", "completed"), detail });
      this.#open.delete(runId);
    }
    return changes;
  }
}

function workflowMessage(row: Row, time: string, state: string): StoredMessage {
  return {
    ...{ kind: "WORKFLOW_INFO", time: textOf(row[time]), ...idsOf(row) },
    ...{ state, hostname: textOf(row["host"]), row },
  };
}

/** Its rows have no numbers: what is later than the last one of its host is new. */
class NodeUsages implements Source {
  readonly #hosts: Database.Statement<[], string>;
  readonly #later: Database.Statement<[string, string, string, string], Row>;
  readonly #runId: string;
  readonly #lastOf = new Map<string, string>();

  constructor(db: Database.Database, runId: string, fromStart: boolean) {
    this.#runId = runId;
    // One step in the index for each host, where DISTINCT would read all rows.
    this.#hosts = db
      .prepare<[], string>(
        `WITH RECURSIVE host (name) AS (
          SELECT min(hostname) FROM collector_node_usage UNION ALL
          SELECT (SELECT min(hostname) FROM collector_node_usage WHERE hostname > name) FROM host WHERE name NOT NULL)
        SELECT name FROM host WHERE name NOT NULL`,
      )
      .pluck();
    this.#later = db.prepare(
      `SELECT * FROM collector_node_usage WHERE hostname = ? AND timestamp > ? AND (? = '' OR run_id = ?)
      ORDER BY timestamp LIMIT ${String(batchRows)}`,
    );
    if (fromStart) return;
    const last = db
      .prepare<[string], string>("SELECT max(timestamp) FROM collector_node_usage WHERE hostname = ?")
      .pluck();
    for (const host of this.#hosts.all()) this.#lastOf.set(host, last.get(host) ?? "");
  }

  next(): StoredMessage[] {
    const rows = this.#hosts
      .all()
      .flatMap((host) => this.#later.all(host, this.#lastOf.get(host) ?? "", this.#runId, this.#runId));
    return rows
      .map((row): StoredMessage => {
        const time = textOf(row["timestamp"]);
        this.#lastOf.set(textOf(row["hostname"]), time);
        const gib = (Number(row["memory_available_bytes"]) / 1024 ** 3).toFixed(1);
        const detail = `${textOf(row["cpu_percent"])} % CPU, load ${textOf(row["load1"])}, ${gib} GiB available`;
        return { kind: "NODE_USAGE", time, ...idsOf(row), detail, row };
      })
      .sort((a, b) => (a.time < b.time ? -1 : 1));
  }
}

function idsOf(row: Row): Pick<StoredMessage, "runId" | "taskId" | "tryId" | "hostname"> {
  const { run_id: runId, task_id: taskId, try_id: tryId, hostname } = row;
  return {
    runId: runId === null || runId === undefined ? null : String(runId),
    ...(typeof taskId === "number" && { taskId }),
    ...(typeof tryId === "number" && { tryId }),
    ...(typeof hostname === "string" && { hostname }),
  };
}

function textOf(value: string | number | null | undefined): string {
  return value === null || value === undefined ? "" : String(value);
}
