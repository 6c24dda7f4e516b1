import Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import { localText, nowMicros, utcText, type Micros } from "../../../model/time.js";
import type { SqlValue } from "../../rows/value.js";
import { advisePlanner, openFile } from "./file.js";
import { finishedRuns, goneRuns, lastReceivedAt, type FinishedRun } from "./finished-runs.js";
import { openForReading } from "./reading.js";
import { Remover, type GoingRow } from "./remover.js";

/** Longest wait for another's lock, in ms. */
const lockTimeoutMs = 60_000;

export interface PruneOptions {
  /** Runs go that ended, or were last heard, so long ago; what belongs to no run goes when it is as old. In ms. */
  readonly olderThanMs: number;
  /** Nothing but these runs; everything when it is empty. */
  readonly runs?: readonly string[];
  /** Removes nothing but samples: of each try, and of each node, the first and the last stay, and one each so many ms. */
  readonly thinToMs?: number | undefined;
  /** Keeps the rejected messages of the runs that go. */
  readonly keepRejected?: boolean;
  /** How long after its last message a sender whose runs are gone is remembered, in ms: so long, what it sends again is
   *  not taken for new. */
  readonly keepLedgerMs?: number;
  /** Counts what would go, and removes nothing. */
  readonly dryRun?: boolean;
  /** Waits between two transactions; told what the last one took, in ms. By default it waits as long. */
  readonly pause?: (tookMs: number) => Promise<unknown>;
}

/** 90 days, in ms. */
export const defaultKeepLedgerMs = 90 * 86_400_000;

export interface Pruned {
  /** Runs that are gone, or whose samples were thinned. */
  readonly runs: readonly FinishedRun[];
  /** Runs that were heard of meanwhile: what was not removed by then stays. */
  readonly heardMeanwhile: readonly string[];
  /** Rows removed, by table. */
  readonly rows: ReadonlyMap<string, number>;
}

/** Opens the file of a collector, which may be running, to prune it. */
export function openForPruning(path: string, dryRun: boolean): Database.Database {
  const readable = openForReading(path);
  if (dryRun) return readable;
  readable.close();
  const db = openFile(path);
  db.pragma(`busy_timeout = ${String(lockTimeoutMs)}`);
  // As Parsl and the collector have it. With them on, each workflow that goes would cost a look through all of `status`.
  db.pragma("foreign_keys = OFF");
  return db;
}

/** Removes runs that are over, or thins their samples. What a transaction has removed is removed: after a kill the file
 *  is whole, and the next prune goes on. Throws a CollectorError, before anything is removed, for a run that was named
 *  and must stay. */
export async function prune(db: Database.Database, options: PruneOptions): Promise<Pruned> {
  try {
    const pruning = new Pruning(db, options);
    const { thinToMs } = options;
    await (thinToMs === undefined ? pruning.removeRuns() : pruning.thin(thinToMs));
    if (options.dryRun !== true) advisePlanner(db);
    return pruning.pruned;
  } catch (cause) {
    if (!(cause instanceof Database.SqliteError)) throw cause;
    throw new CollectorError(
      "database",
      `prune ${db.name}: ${reasonOf(cause)}; what was removed stays removed, run it again for the rest`,
      { cause },
    );
  }
}

class Pruning {
  readonly #db: Database.Database;
  readonly #remover: Remover;
  readonly #now = nowMicros();
  readonly #before: Micros;
  readonly #isEverything: boolean;
  readonly #keepRejected: boolean;
  readonly #keepLedgerMs: number;
  /** The runs that go. */
  readonly #going: ReadonlyMap<string, FinishedRun>;
  readonly #heardMeanwhile = new Set<string>();

  constructor(db: Database.Database, options: PruneOptions) {
    const { runs = [], dryRun = false, pause } = options;
    this.#db = db;
    this.#before = this.#now - options.olderThanMs * 1000;
    this.#isEverything = runs.length === 0;
    this.#keepRejected = options.keepRejected ?? false;
    this.#keepLedgerMs = options.keepLedgerMs ?? defaultKeepLedgerMs;
    const finished = finishedRuns(db, runs, { before: this.#before, now: this.#now });
    this.#going = new Map(finished.map((run) => [run.runId, run]));
    const heardAt = lastReceivedAt(db);
    const stays = (runId: string): boolean => {
      const run = this.#going.get(runId);
      if (run === undefined || heardAt(runId) === run.lastReceivedAt) return this.#heardMeanwhile.has(runId);
      this.#heardMeanwhile.add(runId);
      return true;
    };
    this.#remover = new Remover(db, { dryRun, stays, pause });
  }

  get pruned(): Pruned {
    return {
      runs: [...this.#going.values()].filter(({ runId }) => !this.#heardMeanwhile.has(runId)),
      heardMeanwhile: [...this.#heardMeanwhile],
      rows: this.#remover.rows,
    };
  }

  /** The workflow goes last: until then the next prune finds the run again. */
  async removeRuns(): Promise<void> {
    for (const table of ["resource", "status", "try", "task", "node", "block"]) {
      await this.#remover.removeRows(table, { key: ["rowid"], columns: ["run_id"] }, (key, [runId]) =>
        this.#ofRun(key, runId),
      );
    }
    const runIds = new Map([...this.#going.values()].map(({ row, runId }) => [row, runId]));
    for (const [table, key] of [
      ["collector_task", ["run", "task_id"]],
      ["collector_try", ["run", "task_id", "try_id"]],
    ] as const) {
      await this.#remover.removeRows(table, { key }, (values) =>
        this.#ofRun(values, runIds.get(Number(values[0]))),
      );
    }
    const moved = ["table_name", "run_id", "row_group", "timestamp"];
    await this.#remover.removeRows("collector_moved", { key: moved }, (key) => this.#ofRun(key, key[1]));
    const sendersOfRejected = await this.#removeRejected();
    await this.#removeNames();
    if (!this.#isEverything) return;
    await this.#remover.removeRows("collector_node_usage", { key: ["hostname", "timestamp"] }, (key) =>
      this.#byAge(key),
    );
    await this.#forgetSenders(sendersOfRejected);
  }

  async thin(thinToMs: number): Promise<void> {
    const ofTry = ["try_id", "task_id", "run_id", "timestamp"];
    await this.#remover.removeRows(
      "resource",
      { key: ofTry },
      thinned(thinToMs, (key) => this.#ofRun(key, key[2])),
    );
    if (!this.#isEverything) return;
    await this.#remover.removeRows(
      "collector_node_usage",
      { key: ["hostname", "timestamp"] },
      thinned(thinToMs, (key) => this.#byAge(key)),
    );
  }

  #ofRun(key: readonly SqlValue[], runId: SqlValue | undefined): GoingRow | undefined {
    return typeof runId === "string" && this.#going.has(runId) ? { key, runId } : undefined;
  }

  /** Of a key that ends with a time as Parsl's tables have it. */
  #byAge(key: readonly SqlValue[]): GoingRow | undefined {
    return String(key.at(-1)) < localText(this.#before) ? { key, runId: "" } : undefined;
  }

  /** With those of the runs go those that name no run of the file, by their age. Returns the senders of those that
   *  stay: `rejected` looks for them. */
  async #removeRejected(): Promise<ReadonlySet<string>> {
    const before = utcText(this.#before);
    const ofFile = `SELECT run_id FROM workflow UNION SELECT run_id FROM collector_sender_run WHERE run_id NOT IN (${goneRuns})`;
    const known = new Set(this.#db.prepare<[], string>(ofFile).pluck().all());
    const staying = new Set<string>();
    const columns = ["sender_id", "run_id", "received_at"];
    await this.#remover.removeRows("collector_rejected", { key: ["id"], columns }, (key, values) => {
      const [senderId, runId, receivedAt] = values.map(String);
      const isOldOfNone =
        this.#isEverything && !known.has(runId ?? "") && (receivedAt ?? "") < before
          ? { key, runId: "" }
          : undefined;
      const going = this.#keepRejected ? undefined : (this.#ofRun(key, runId) ?? isOldOfNone);
      if (going === undefined) staying.add(senderId ?? "");
      return going;
    });
    return staying;
  }

  /** Removes what makes a run one. The note for table workflow says that it is gone, where it had no row too. */
  async #removeNames(): Promise<void> {
    const removeWorkflow = this.#remover.removal("workflow", "run_id = ?");
    const removeOurs = this.#remover.removal("collector_run", "run_id = ?");
    await this.#remover.inSteps([...this.#going.values()], ({ runId }) => ({
      workflow: removeWorkflow(runId),
      collector_run: removeOurs(runId),
    }));
  }

  /** Removes from the ledger the senders that have been silent long enough and whose runs are all gone. */
  async #forgetSenders(sendersOfRejected: ReadonlySet<string>): Promise<void> {
    const before = utcText(this.#now - this.#keepLedgerMs * 1000);
    const gone = new Set(this.#db.prepare<[], string>(goneRuns).pluck().all());
    for (const { runId } of this.pruned.runs) gone.add(runId); // in a dry run they are there still
    const heard = this.#db
      .prepare<[string], { sender: number; sender_id: string; run_id: string | null }>(
        `SELECT sender.id AS sender, sender_id, heard.run_id FROM collector_sender sender
          LEFT JOIN collector_sender_run heard ON heard.sender = sender.id WHERE sender.last_received_at < ?`,
      )
      .all(before);
    const staying = new Set<number>();
    for (const { sender, sender_id, run_id } of heard) {
      if (sendersOfRejected.has(sender_id) || (run_id !== null && !gone.has(run_id))) staying.add(sender);
    }
    const silent = new Set(heard.map(({ sender }) => sender).filter((sender) => !staying.has(sender)));
    const forget = this.#remover.removal("collector_sender", "id = ? AND last_received_at < ?");
    const removals = [
      "collector_sequence",
      "collector_lost",
      "collector_sender_radio",
      "collector_sender_run",
    ].map((table) => [table, this.#remover.removal(table, "sender = ?")] as const);
    await this.#remover.inSteps(
      [...silent].map((sender) => ({ runId: "", sender })),
      ({ sender }) => {
        const forgotten = forget(sender, before);
        if (forgotten === 0) return {}; // it was heard of meanwhile
        const rows = removals.map(([table, remove]) => [table, remove(sender)] as const);
        return { collector_sender: forgotten, ...Object.fromEntries(rows) };
      },
    );
    // Who owned a run matters as long as someone may send something of it again.
    const named = this.#db
      .prepare<[], { sender: number; run_id: string }>("SELECT sender, run_id FROM collector_sender_run")
      .all()
      .filter(({ sender }) => !silent.has(sender));
    for (const { run_id } of named) gone.delete(run_id);
    await this.#remover.removeRows("collector_run_owner", { key: ["run_id"] }, (key) =>
      gone.has(String(key[0])) ? { key, runId: "" } : undefined,
    );
  }
}

/** Of rows in the order of a key that ends with a time, and is a series but for that: those that are less than `thinToMs`
 *  after the last one that stays, but for the last of their series. */
function thinned(
  thinToMs: number,
  mayGo: (key: readonly SqlValue[]) => GoingRow | undefined,
): (key: readonly SqlValue[]) => GoingRow | undefined {
  let series: string | undefined;
  let keptAtMs = NaN;
  let close: GoingRow | undefined;
  return (key) => {
    const row = mayGo(key);
    const name = row === undefined ? undefined : JSON.stringify(key.slice(0, -1));
    const atMs = Date.parse(`${String(key.at(-1)).replace(" ", "T")}Z`);
    const isNextOfSeries = name !== undefined && name === series;
    const going = isNextOfSeries ? close : undefined; // now that it is not the last one
    const isClose = isNextOfSeries && atMs - keptAtMs < thinToMs;
    close = isClose ? row : undefined;
    if (!isClose) keptAtMs = atMs;
    series = name;
    return going;
  };
}

/** What prunes so far have removed of one run; `runId` is "" for what was no run's. */
export interface PrunedBefore {
  readonly runId: string;
  /** Whether all of it is gone. */
  readonly gone: boolean;
  /** The last time, in UTC. */
  readonly prunedAt: string;
  /** Rows removed, by table. */
  readonly rows: Readonly<Record<string, number>>;
}

/** Reads what prunes have removed from a file, or of one of its runs. */
export function readPruned(db: Database.Database, runId = ""): PrunedBefore[] {
  return db
    .prepare<[string, string], { runId: string; gone: 0 | 1; prunedAt: string; rows: string }>(
      `SELECT run_id AS runId, run_id IN (${goneRuns}) AS gone, max(pruned_at) AS prunedAt,
        json_group_object(table_name, rows) AS rows
      FROM collector_pruned WHERE ? = '' OR run_id = ? GROUP BY run_id ORDER BY max(pruned_at), run_id`,
    )
    .all(runId, runId)
    .map(({ gone, rows, ...pruned }) => ({
      ...pruned,
      gone: gone === 1,
      rows: JSON.parse(rows) as Readonly<Record<string, number>>,
    }));
}
