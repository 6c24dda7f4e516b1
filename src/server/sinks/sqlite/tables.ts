import type Database from "better-sqlite3";

import { firstWorkerColumn, workflowColumns, taskColumns, tryColumns, type Facts } from "../../rows/facts.js";
import { MergedValues, type Rule } from "../../rows/merged-values.js";
import { uniqueTimes, type TimedRow } from "../../rows/unique-time.js";
import type { SqlValue } from "../../rows/value.js";
import { localText, nextMicrosecond, type Micros } from "../../../model/time.js";
import { Insert } from "./insert.js";
import { columnsOf } from "./schema.js";

/** What became of the facts of one message. */
export type Applied = "stored" | "duplicate" | { readonly refused: string };

/** A run, whose workflow row is a placeholder until its start is heard. */
interface Run {
  readonly row: number;
  readonly runId: string;
  heardFrom: Micros;
  /** Values of workflowColumns. */
  readonly merged: MergedValues;
  failed: number;
  completed: number;
}

interface Task {
  readonly run: Run;
  readonly taskId: number;
  readonly merged: MergedValues;
}

interface Try extends Task {
  readonly tryId: number;
}

/** Merged rows that are kept in memory from one group to the next, so that the next message of a task
 *  costs no read. */
const keptRows = 20_000;

/** Characters of text that the kept rows may hold: inputs of megabytes must not stay. */
const keptCharacters = 16 * 1024 * 1024;

const workflowRules: readonly Rule[] = Object.values(workflowColumns);
const taskRules: readonly Rule[] = Object.values(taskColumns);
const tryRules: readonly Rule[] = Object.values(tryColumns);
const timeBeganColumn = Object.keys(workflowColumns).indexOf("time_began");

/** Parsl's tables. Rows that several messages make (workflow, task, try) are merged in memory and written
 *  once a group; the others are written as they come. Used inside the writer's transaction. */
export class Tables {
  readonly #statements: ReturnType<typeof prepare>;
  readonly #status: UniqueRows;
  readonly #block: UniqueRows;
  readonly #resource: Samples;
  readonly #nodeUsage: Samples;
  readonly #runs = new Map<string, Run>();
  readonly #tasks = new Map<string, Task>();
  readonly #tries = new Map<string, Try>();
  readonly #dirtyRuns = new Set<Run>();
  readonly #dirtyTasks = new Set<Task>();
  readonly #dirtyTries = new Set<Try>();
  #characters = 0;

  constructor(db: Database.Database) {
    this.#statements = prepare(db);
    this.#status = new UniqueRows(db, "status", ["task_id", "task_status_name"], "task_status_name");
    this.#block = new UniqueRows(db, "block", ["block_id", "executor_label"], "executor_label");
    this.#resource = new Samples(db, "resource", {
      key: ["try_id", "task_id", "run_id", "timestamp"],
      constants: ["run_id", "psutil_process_status"],
      nameOf: ([tryId, taskId, runId, timestamp]) =>
        `of task ${String(taskId)} try ${String(tryId)} of run ${String(runId)} at ${String(timestamp)}`,
      mostMoves: 0, // a try has one agent, which says no time twice
    });
    this.#nodeUsage = new Samples(db, "collector_node_usage", {
      key: ["hostname", "timestamp"],
      constants: ["hostname", "run_id"],
      nameOf: ([hostname, timestamp]) => `of ${String(hostname)} at ${String(timestamp)}`,
      mostMoves: 99, // several agents of a host may sample in one millisecond, the finest that their clocks know
    });
  }

  apply(facts: Facts): Applied {
    // It says nothing of a run, not even when it began: an agent may be there before.
    if (facts.nodeUsage !== undefined) return this.#nodeUsage.add(facts.nodeUsage);
    // What a table may refuse comes first: a message is stored whole or not at all.
    if (facts.resource !== undefined) {
      const applied = this.#resource.add(facts.resource);
      if (applied !== "stored") return applied;
    }
    const run = this.#run(facts);
    if (facts.counts !== undefined) this.#count(run, facts.counts);
    if (facts.workflow !== undefined && this.#say(run.merged, 0, facts.workflow, facts.at))
      this.#dirtyRuns.add(run);
    if (facts.task !== undefined) {
      const task = this.#task(run, facts.task.taskId);
      if (this.#say(task.merged, 0, facts.task.values, facts.at)) this.#dirtyTasks.add(task);
    }
    if (facts.try !== undefined) {
      const { taskId, tryId, from, values } = facts.try;
      const row = this.#try(run, taskId, tryId);
      if (this.#say(row.merged, from, values, facts.at)) this.#dirtyTries.add(row);
    }
    let isNew = true;
    if (facts.status !== undefined) isNew = this.#status.add(facts.status);
    if (facts.block !== undefined) isNew = this.#block.add(facts.block);
    if (facts.node !== undefined) this.#statements.addNode.run(...facts.node);
    return isNew ? "stored" : "duplicate";
  }

  /** Writes the merged rows. */
  flush(): void {
    for (const run of this.#dirtyRuns) this.#writeRun(run);
    for (const task of this.#dirtyTasks) this.#writeTask(task);
    for (const row of this.#dirtyTries) this.#writeTry(row);
    this.#status.flush();
    this.#block.flush();
    this.#clearDirty();
  }

  /** Forgets what is kept in memory, after a rollback or a write by another process. */
  forget(): void {
    this.#runs.clear();
    this.#tasks.clear();
    this.#tries.clear();
    this.#status.forget();
    this.#block.forget();
    this.#clearDirty();
    this.#characters = 0;
  }

  #clearDirty(): void {
    this.#dirtyRuns.clear();
    this.#dirtyTasks.clear();
    this.#dirtyTries.clear();
  }

  /** Keeps memory flat on long runs. Call after a commit only: what is kept must be written. */
  trim(): void {
    const rows = this.#runs.size + this.#tasks.size + this.#tries.size;
    if (rows > keptRows || this.#characters > keptCharacters) this.forget();
  }

  #say(merged: MergedValues, from: number, values: readonly SqlValue[], at: Micros): boolean {
    let changed = false;
    for (let index = 0; index < values.length; index += 1) {
      const value = values[index] ?? null;
      if (typeof value === "string") this.#characters += value.length;
      if (merged.say(from + index, value, at)) changed = true;
    }
    return changed;
  }

  #count(run: Run, [failed, completed]: readonly [number, number]): void {
    if (failed > run.failed || completed > run.completed) {
      run.failed = Math.max(run.failed, failed);
      run.completed = Math.max(run.completed, completed);
      this.#dirtyRuns.add(run);
    }
  }

  #run(facts: Facts): Run {
    const { runId, at } = facts;
    let run = this.#runs.get(runId);
    if (run === undefined) {
      run = this.#readRun(runId, at);
      this.#runs.set(runId, run);
    }
    // Of use only until the start is heard, so it makes no write of its own after that.
    if (at < run.heardFrom) {
      run.heardFrom = at;
      if (run.merged.values[timeBeganColumn] === null) this.#dirtyRuns.add(run);
    }
    return run;
  }

  #readRun(runId: string, at: Micros): Run {
    const workflow = this.#statements.workflow.get(runId);
    const kept = this.#statements.run.get(runId);
    const none = MergedValues.empty(workflowRules);
    const row = kept?.id ?? Number(this.#statements.addRun.run(runId, at, none.versions).lastInsertRowid);
    if (workflow === undefined) {
      const run = { row, runId, heardFrom: at, merged: none, failed: 0, completed: 0 };
      this.#dirtyRuns.add(run);
      return run;
    }
    const [failed, completed, ...values] = workflow;
    return {
      row,
      runId,
      heardFrom: kept?.heard_from_us ?? at,
      merged: MergedValues.stored(workflowRules, values, kept?.versions ?? null),
      failed: Number(failed),
      completed: Number(completed),
    };
  }

  /** The row must be there before any row that refers to it, and its columns may not be NULL: until the
   *  start is heard it says "unknown", and the earliest time that was heard. */
  #writeRun(run: Run): void {
    const [name, version, timeBegan, host, user, rundir, timeCompleted] = run.merged.values;
    this.#statements.putWorkflow.run(
      run.runId,
      name ?? null,
      version ?? null,
      timeBegan ?? localText(run.heardFrom),
      timeCompleted ?? null,
      host ?? "unknown",
      user ?? "unknown",
      rundir ?? "unknown",
      run.failed,
      run.completed,
    );
    this.#statements.putRun.run(run.heardFrom, run.merged.versions, run.row);
  }

  #task(run: Run, taskId: number): Task {
    const key = `${String(run.row)}/${String(taskId)}`;
    let task = this.#tasks.get(key);
    if (task === undefined) {
      const values = this.#statements.task.get(taskId, run.runId);
      const kept = values === undefined ? undefined : this.#statements.taskVersions.get(run.row, taskId);
      const merged =
        values === undefined
          ? MergedValues.empty(taskRules)
          : MergedValues.stored(taskRules, values, kept?.versions ?? null);
      task = { run, taskId, merged };
      this.#tasks.set(key, task);
    }
    return task;
  }

  #writeTask({ run, taskId, merged }: Task): void {
    this.#statements.putTask.run(taskId, run.runId, ...merged.values);
    this.#statements.putTaskVersions.run(run.row, taskId, merged.versions);
  }

  #try(run: Run, taskId: number, tryId: number): Try {
    const key = `${String(run.row)}/${String(taskId)}/${String(tryId)}`;
    let row = this.#tries.get(key);
    if (row === undefined) {
      row = { run, taskId, tryId, merged: this.#readTry(run, taskId, tryId) };
      this.#tries.set(key, row);
    }
    return row;
  }

  #readTry(run: Run, taskId: number, tryId: number): MergedValues {
    const kept = this.#statements.tryVersions.get(run.row, taskId, tryId);
    const values = this.#statements.try.get(tryId, taskId, run.runId);
    if (values !== undefined) return MergedValues.stored(tryRules, values, kept?.versions ?? null);
    if (kept === undefined) return MergedValues.empty(tryRules);
    const said: SqlValue[] = Array<null>(firstWorkerColumn).fill(null);
    return MergedValues.stored(
      tryRules,
      [...said, kept.held_time_running, kept.held_block_id, kept.held_hostname],
      kept.versions,
    );
  }

  /** The worker may be heard before the submitting process: until that has named the executor, what the
   *  worker said is held in our own table, across restarts. */
  #writeTry({ run, taskId, tryId, merged }: Try): void {
    const { values, versions } = merged;
    if (values[0] === null) {
      this.#statements.putTryVersions.run(
        run.row,
        taskId,
        tryId,
        versions,
        ...values.slice(firstWorkerColumn),
      );
    } else {
      this.#statements.putTry.run(tryId, taskId, run.runId, ...values);
      this.#statements.putTryVersions.run(run.row, taskId, tryId, versions, null, null, null);
    }
  }
}

function upsert(table: string, key: readonly string[], others: readonly string[]): string {
  const columns = [...key, ...others];
  return (
    `INSERT INTO "${table}" (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")}) ` +
    `ON CONFLICT (${key.join(", ")}) DO UPDATE SET ${others.map((name) => `${name} = excluded.${name}`).join(", ")}`
  );
}

/** Single-row statements with positional binds: named ones are 1.4 times slower, json_each twice, and rows
 *  by the dozen gain 10 % at most. Values go as arguments: an array in their place costs 1.4 us more a row. */
function prepare(db: Database.Database) {
  const task = Object.keys(taskColumns);
  const tries = Object.keys(tryColumns);
  const node = columnsOf("node").slice(1);
  return {
    run: db.prepare<[string], { id: number; heard_from_us: number; versions: Uint8Array }>(
      "SELECT id, heard_from_us, versions FROM collector_run WHERE run_id = ?",
    ),
    addRun: db.prepare("INSERT INTO collector_run (run_id, heard_from_us, versions) VALUES (?, ?, ?)"),
    putRun: db.prepare("UPDATE collector_run SET heard_from_us = ?, versions = ? WHERE id = ?"),
    workflow: db
      .prepare<[string], SqlValue[]>(
        `SELECT tasks_failed_count, tasks_completed_count, ${Object.keys(workflowColumns).join(", ")} ` +
          "FROM workflow WHERE run_id = ?",
      )
      .raw(),
    putWorkflow: db.prepare(
      upsert(
        "workflow",
        ["run_id"],
        columnsOf("workflow").filter((name) => name !== "run_id"),
      ),
    ),
    task: db
      .prepare<[number, string], SqlValue[]>(
        `SELECT ${task.join(", ")} FROM task WHERE task_id = ? AND run_id = ?`,
      )
      .raw(),
    taskVersions: db.prepare<[number, number], { versions: Uint8Array }>(
      "SELECT versions FROM collector_task WHERE run = ? AND task_id = ?",
    ),
    putTask: db.prepare(upsert("task", ["task_id", "run_id"], task)),
    putTaskVersions: db.prepare(upsert("collector_task", ["run", "task_id"], ["versions"])),
    try: db
      .prepare<[number, number, string], SqlValue[]>(
        `SELECT ${tries.join(", ")} FROM try WHERE try_id = ? AND task_id = ? AND run_id = ?`,
      )
      .raw(),
    tryVersions: db.prepare<[number, number, number], HeldTry>(
      "SELECT versions, held_time_running, held_block_id, held_hostname FROM collector_try " +
        "WHERE run = ? AND task_id = ? AND try_id = ?",
    ),
    putTry: db.prepare(upsert("try", ["try_id", "task_id", "run_id"], tries)),
    putTryVersions: db.prepare(
      upsert(
        "collector_try",
        ["run", "task_id", "try_id"],
        ["versions", "held_time_running", "held_block_id", "held_hostname"],
      ),
    ),
    addNode: db.prepare(`INSERT INTO node (${node.join(", ")}) VALUES (${node.map(() => "?").join(", ")})`),
  };
}

interface HeldTry {
  readonly versions: Uint8Array;
  readonly held_time_running: string | null;
  readonly held_block_id: string | null;
  readonly held_hostname: string | null;
}

interface SamplesOptions {
  /** The table's first columns; the last of them is the time. */
  readonly key: readonly string[];
  /** See Insert. */
  readonly constants: readonly [string, string];
  /** Says of which sample a key is. */
  readonly nameOf: (key: readonly SqlValue[]) => string;
  /** By how many microseconds a row is moved on at most where another has its key. */
  readonly mostMoves: number;
}

/** A table whose key is its first columns. What comes first is where its message said. */
class Samples {
  readonly #table: string;
  readonly #options: SamplesOptions;
  readonly #insert;
  readonly #select;

  constructor(db: Database.Database, table: string, options: SamplesOptions) {
    this.#table = table;
    this.#options = options;
    this.#insert = new Insert(db, table, options.key, options.constants);
    const where = options.key.map((name) => `${name} = ?`).join(" AND ");
    this.#select = db
      .prepare<SqlValue[], SqlValue[]>(`SELECT ${columnsOf(table).join(", ")} FROM ${table} WHERE ${where}`)
      .raw();
  }

  add(said: readonly SqlValue[]): Applied {
    const { key, nameOf, mostMoves } = this.#options;
    let row = said;
    for (let moves = 0; ; moves += 1) {
      if (this.#insert.run(row)) return "stored";
      const stored = this.#select.get(...row.slice(0, key.length));
      if (stored?.every((value, index) => value === row[index]) === true) return "duplicate";
      if (moves === mostMoves) break;
      row = row.with(key.length - 1, nextMicrosecond(String(row[key.length - 1])));
    }
    return { refused: `table ${this.#table} has another sample ${nameOf(said)}` };
  }
}

/** A row of a table of UniqueRows, as its columns are. */
interface GroupRow extends TimedRow {
  readonly values: readonly SqlValue[];
}

/** Rows that have the same key but for the time. */
interface Group {
  readonly key: readonly SqlValue[];
  /** Its key in collector_moved. */
  readonly groupKey: readonly SqlValue[];
  /** By what makes each of them one of its own: the time that was said, and its content. */
  readonly rows: Map<string, GroupRow>;
  isChanged: boolean;
}

/** A table whose key ends with a time that need not be unique: `status` (two tries in one microsecond) and
 *  `block` (two states in one poll). */
class UniqueRows {
  readonly #table: string;
  readonly #timeColumn: number;
  readonly #runColumn: number;
  readonly #groupColumns: readonly number[];
  readonly #insert;
  readonly #selectGroup;
  readonly #delete;
  readonly #moved;
  readonly #addMoved;
  readonly #deleteMoved;
  /** Groups in which two rows met, by their keys as text. They are arranged once, in `flush`: a group of
   *  thousands that was arranged for each of its rows would take hours. */
  readonly #crowded = new Map<string, Group>();

  /** `group`: the columns that make up the key together with run_id and timestamp; `constant` the one of them that mostly
   *  repeats. */
  constructor(db: Database.Database, table: string, group: readonly string[], constant: string) {
    const columns = columnsOf(table);
    this.#table = table;
    this.#timeColumn = columns.indexOf("timestamp");
    this.#runColumn = columns.indexOf("run_id");
    this.#groupColumns = group.map((name) => columns.indexOf(name));
    const key = ["run_id", ...group];
    const where = key.map((name) => `${name} = ?`).join(" AND ");
    this.#insert = new Insert(db, table, [...key, "timestamp"], ["run_id", constant]);
    this.#selectGroup = db
      .prepare<SqlValue[], SqlValue[]>(`SELECT ${columns.join(", ")} FROM "${table}" WHERE ${where}`)
      .raw();
    this.#delete = db.prepare(`DELETE FROM "${table}" WHERE ${where}`);
    this.#moved = db.prepare<SqlValue[], { timestamp: string; said_timestamp: string }>(
      "SELECT timestamp, said_timestamp FROM collector_moved WHERE table_name = ? AND run_id = ? AND row_group = ?",
    );
    this.#addMoved = db.prepare("INSERT INTO collector_moved VALUES (?, ?, ?, ?, ?)");
    this.#deleteMoved = db.prepare(
      "DELETE FROM collector_moved WHERE table_name = ? AND run_id = ? AND row_group = ?",
    );
  }

  /** Returns false when the row is there already. */
  add(row: readonly SqlValue[]): boolean {
    const known = this.#crowded.size === 0 ? undefined : this.#crowded.get(this.#nameOf(row));
    if (known === undefined && this.#insert.run(row)) return true;
    const group = known ?? this.#read(row);
    const added = this.#groupRow(row, new Map());
    const name = JSON.stringify([added.said, added.content]);
    if (group.rows.has(name)) return false;
    group.rows.set(name, added);
    group.isChanged = true;
    return true;
  }

  /** Gives each row of the groups that have grown its own time. */
  flush(): void {
    for (const { key, groupKey, rows, isChanged } of this.#crowded.values()) {
      if (!isChanged) continue;
      this.#delete.run(...key);
      this.#deleteMoved.run(...groupKey);
      for (const { row, timestamp } of uniqueTimes([...rows.values()])) {
        this.#insert.run(row.values.with(this.#timeColumn, timestamp));
        if (timestamp !== row.said) this.#addMoved.run(...groupKey, timestamp, row.said);
      }
    }
    this.#crowded.clear();
  }

  /** Forgets what is not written, after a rollback. */
  forget(): void {
    this.#crowded.clear();
  }

  #keyOf(row: readonly SqlValue[]): SqlValue[] {
    return [this.#runColumn, ...this.#groupColumns].map((column) => row[column] ?? null);
  }

  #nameOf(row: readonly SqlValue[]): string {
    return JSON.stringify(this.#keyOf(row));
  }

  /** The group that a row joins, as it is stored. */
  #read(row: readonly SqlValue[]): Group {
    const key = this.#keyOf(row);
    const [runId = null, ...rest] = key;
    const groupKey = [this.#table, runId, JSON.stringify(rest)];
    const said = new Map(
      this.#moved.all(...groupKey).map((moved) => [moved.timestamp, moved.said_timestamp]),
    );
    const stored = this.#selectGroup.all(...key).map((values) => this.#groupRow(values, said));
    const rows = new Map(stored.map((one) => [JSON.stringify([one.said, one.content]), one]));
    const group = { key, groupKey, rows, isChanged: false };
    this.#crowded.set(JSON.stringify(key), group);
    return group;
  }

  #groupRow(values: readonly SqlValue[], said: ReadonlyMap<string, string>): GroupRow {
    const timestamp = String(values[this.#timeColumn]);
    return {
      values,
      said: said.get(timestamp) ?? timestamp,
      content: JSON.stringify(values.with(this.#timeColumn, null)),
    };
  }
}
