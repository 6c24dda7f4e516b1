import type Database from "better-sqlite3";

import { firstWorkerColumn, workflowColumns, taskColumns, tryColumns, type Facts } from "../../rows/facts.js";
import { MergedValues, type Rule } from "../../rows/merged-values.js";
import { uniqueTimes, type TimedRow } from "../../rows/unique-time.js";
import type { SqlValue } from "../../rows/value.js";
import { localText, nextMicrosecond, type Micros } from "../../../model/time.js";
import { AddRows, orReplace, PutRows, unlessKnown, type Row } from "./insert.js";
import { columnsOf, whereAre } from "./schema.js";

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
  /** Those that take rows as they come. */
  readonly #tables: readonly (readonly [RowKind, RowTable])[];
  readonly #runs = new Map<string, Run>();
  readonly #tasks = new Map<string, Task>();
  readonly #tries = new Map<string, Try>();
  readonly #dirtyRuns = new Set<Run>();
  readonly #dirtyTasks = new Set<Task>();
  readonly #dirtyTries = new Set<Try>();
  #nodes: Row[] = [];
  #characters = 0;

  constructor(db: Database.Database) {
    this.#statements = prepare(db);
    this.#status = new UniqueRows(db, "status", ["task_id", "task_status_name"]);
    this.#block = new UniqueRows(db, "block", ["block_id", "executor_label"]);
    this.#tables = [
      ["resource", new Samples(db)],
      ["nodeUsage", new NodeUsages(db)],
      ["status", this.#status],
      ["block", this.#block],
    ];
  }

  /** Stores the facts of several messages, for a row costs less in company, and says what became of each. */
  apply(all: readonly Facts[]): Applied[] {
    const applied = Array<Applied>(all.length).fill("stored");
    // What a table may refuse comes first: a message is stored whole or not at all.
    for (const [kind, table] of this.#tables) addRows(all, kind, table, applied);
    for (let index = 0; index < all.length; index += 1) {
      const facts = all[index];
      // A node's usage says nothing of a run, not even when it began: an agent may be there before.
      if (facts === undefined || facts.nodeUsage !== undefined || typeof applied[index] === "object")
        continue;
      this.#merge(facts);
    }
    return applied;
  }

  /** Takes what several messages say of one row; `flush` writes it. */
  #merge(facts: Facts): void {
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
    if (facts.node !== undefined) this.#nodes.push(facts.node);
  }

  /** Writes what is not written yet. */
  flush(): void {
    this.#writeRuns([...this.#dirtyRuns]);
    this.#writeTasks([...this.#dirtyTasks]);
    this.#writeTries([...this.#dirtyTries]);
    this.#statements.addNodes.run(this.#nodes);
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
    this.#nodes = [];
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

  #writeRuns(runs: readonly Run[]): void {
    const { putWorkflows, putRun } = this.#statements;
    putWorkflows.run(runs.map(workflowRow));
    for (const { row, heardFrom, merged } of runs) putRun.run(heardFrom, merged.versions, row);
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

  #writeTasks(tasks: readonly Task[]): void {
    const { putTasks, putTaskVersions } = this.#statements;
    putTasks.run(tasks.map(({ run, taskId, merged }) => [taskId, run.runId, ...merged.values]));
    putTaskVersions.run(tasks.map(({ run, taskId, merged }) => [run.row, taskId, merged.versions]));
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
  #writeTries(tries: readonly Try[]): void {
    const { putTries, putTryVersions } = this.#statements;
    const named = tries.filter(isNamed);
    putTries.run(named.map(({ run, taskId, tryId, merged }) => [tryId, taskId, run.runId, ...merged.values]));
    putTryVersions.run(
      tries.map((one) => {
        const { run, taskId, tryId, merged } = one;
        const held = isNamed(one) ? [null, null, null] : merged.values.slice(firstWorkerColumn);
        return [run.row, taskId, tryId, merged.versions, ...held];
      }),
    );
  }
}

/** The row must be there before any row that refers to it, and its columns may not be NULL: until the start is heard it
 *  says "unknown", and the earliest time that was heard. */
function workflowRow({ runId, heardFrom, merged, failed, completed }: Run): Row {
  const [name, version, timeBegan, host, user, rundir, timeCompleted] = merged.values;
  return [
    runId,
    name ?? null,
    version ?? null,
    timeBegan ?? localText(heardFrom),
    timeCompleted ?? null,
    host ?? "unknown",
    user ?? "unknown",
    rundir ?? "unknown",
    failed,
    completed,
  ];
}

/** Whether the submitting process has said which executor it is of. */
function isNamed({ merged }: Try): boolean {
  return merged.values[0] !== null;
}

/** Facts that are a row. */
type RowKind = "resource" | "nodeUsage" | "status" | "block";

/** A table that takes rows as they come. */
interface RowTable {
  /** Says what became of each row. */
  add(rows: readonly Row[]): Applied[];
}

/** Adds the rows of one kind. */
function addRows(all: readonly Facts[], kind: RowKind, table: RowTable, applied: Applied[]): void {
  const indexes: number[] = [];
  const rows: Row[] = [];
  for (let index = 0; index < all.length; index += 1) {
    const row = all[index]?.[kind];
    if (row === undefined) continue;
    indexes.push(index);
    rows.push(row);
  }
  if (rows.length === 0) return;
  const became = table.add(rows);
  for (let at = 0; at < became.length; at += 1) applied[indexes[at] ?? -1] = became[at] ?? "stored";
}

function putRows(db: Database.Database, table: string, key: readonly string[], others: readonly string[]) {
  return new PutRows(db, table, [...key, ...others], orReplace(key, others));
}

/** Statements with positional binds: named ones are 1.4 times slower, json_each twice. Values go as arguments: an array in
 *  their place costs 1.4 us more a row. */
function prepare(db: Database.Database) {
  const task = Object.keys(taskColumns);
  const tries = Object.keys(tryColumns);
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
    putWorkflows: putRows(
      db,
      "workflow",
      ["run_id"],
      columnsOf("workflow").filter((name) => name !== "run_id"),
    ),
    task: db
      .prepare<[number, string], SqlValue[]>(
        `SELECT ${task.join(", ")} FROM task WHERE task_id = ? AND run_id = ?`,
      )
      .raw(),
    taskVersions: db.prepare<[number, number], { versions: Uint8Array }>(
      "SELECT versions FROM collector_task WHERE run = ? AND task_id = ?",
    ),
    putTasks: putRows(db, "task", ["task_id", "run_id"], task),
    putTaskVersions: putRows(db, "collector_task", ["run", "task_id"], ["versions"]),
    try: db
      .prepare<[number, number, string], SqlValue[]>(
        `SELECT ${tries.join(", ")} FROM try WHERE try_id = ? AND task_id = ? AND run_id = ?`,
      )
      .raw(),
    tryVersions: db.prepare<[number, number, number], HeldTry>(
      "SELECT versions, held_time_running, held_block_id, held_hostname FROM collector_try " +
        "WHERE run = ? AND task_id = ? AND try_id = ?",
    ),
    putTries: putRows(db, "try", ["try_id", "task_id", "run_id"], tries),
    putTryVersions: putRows(
      db,
      "collector_try",
      ["run", "task_id", "try_id"],
      ["versions", "held_time_running", "held_block_id", "held_hostname"],
    ),
    addNodes: new PutRows(db, "node", columnsOf("node").slice(1)),
  };
}

interface HeldTry {
  readonly versions: Uint8Array;
  readonly held_time_running: string | null;
  readonly held_block_id: string | null;
  readonly held_hostname: string | null;
}

/** Samples of tries. A try has one agent, which says no time twice: another sample under a known key is refused. */
class Samples implements RowTable {
  readonly #rows: AddRows;
  readonly #stored: StoredRow;

  constructor(db: Database.Database) {
    const key = ["try_id", "task_id", "run_id", "timestamp"];
    this.#rows = new AddRows(db, "resource", key);
    this.#stored = new StoredRow(db, "resource", key);
  }

  add(rows: readonly Row[]): Applied[] {
    const known = new Set(this.#rows.run(rows));
    return rows.map((row) => {
      if (!known.has(row)) return "stored";
      if (this.#stored.is(row)) return "duplicate";
      const [tryId, taskId, runId, timestamp] = row;
      const sample = `task ${String(taskId)} try ${String(tryId)} of run ${String(runId)} at ${String(timestamp)}`;
      return { refused: `table resource has another sample of ${sample}` };
    });
  }
}

/** By how many microseconds a sample of a node is moved on at most. */
const mostMoves = 99;

/** Samples of nodes. Several agents of a host may sample in one millisecond, the finest that their clocks know: what comes
 *  first is where its message said, and another is moved on. */
class NodeUsages implements RowTable {
  readonly #rows: PutRows;
  readonly #stored: StoredRow;

  constructor(db: Database.Database) {
    const key = ["hostname", "timestamp"];
    this.#rows = new PutRows(db, "collector_node_usage", columnsOf("collector_node_usage"), unlessKnown(key));
    this.#stored = new StoredRow(db, "collector_node_usage", key);
  }

  add(rows: readonly Row[]): Applied[] {
    return rows.map((said) => {
      let row = said;
      for (let moves = 0; ; moves += 1) {
        if (this.#isNew(row)) return "stored";
        if (this.#stored.is(row)) return "duplicate";
        if (moves === mostMoves) {
          const sample = `${String(said[0])} at ${String(said[1])}`;
          return { refused: `table collector_node_usage has another sample of ${sample}` };
        }
        row = row.with(1, nextMicrosecond(String(row[1])));
      }
    });
  }

  #isNew(row: Row): boolean {
    let isNew = false;
    this.#rows.run([row], ({ changes }) => (isNew = changes === 1));
    return isNew;
  }
}

/** Compares a row with the one that its table has under its key, the table's first columns. */
class StoredRow {
  readonly #select: Database.Statement<SqlValue[], SqlValue[]>;
  readonly #keyLength: number;

  constructor(db: Database.Database, table: string, key: readonly string[]) {
    this.#select = db
      .prepare<SqlValue[], SqlValue[]>(
        `SELECT ${columnsOf(table).join(", ")} FROM ${table} WHERE ${whereAre(key)}`,
      )
      .raw();
    this.#keyLength = key.length;
  }

  /** Whether the table has this row. */
  is(row: Row): boolean {
    const stored = this.#select.get(...row.slice(0, this.#keyLength));
    return stored?.every((value, index) => value === row[index]) === true;
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
class UniqueRows implements RowTable {
  readonly #table: string;
  readonly #timeColumn: number;
  readonly #runColumn: number;
  readonly #groupColumns: readonly number[];
  readonly #rows: AddRows;
  readonly #selectGroup;
  readonly #delete;
  readonly #moved;
  readonly #addMoved;
  readonly #deleteMoved;
  /** Groups in which two rows met, by their keys as text. They are arranged once, in `flush`: a group of
   *  thousands that was arranged for each of its rows would take hours. */
  readonly #crowded = new Map<string, Group>();

  /** `group`: the columns that make up the key together with run_id and timestamp. */
  constructor(db: Database.Database, table: string, group: readonly string[]) {
    const columns = columnsOf(table);
    this.#table = table;
    this.#timeColumn = columns.indexOf("timestamp");
    this.#runColumn = columns.indexOf("run_id");
    this.#groupColumns = group.map((name) => columns.indexOf(name));
    const key = ["run_id", ...group];
    const where = whereAre(key);
    this.#rows = new AddRows(db, table, [...key, "timestamp"]);
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

  add(rows: readonly Row[]): Applied[] {
    // Those of a group that is crowded already, and those that meet another row only now.
    const joining = new Set(
      this.#crowded.size === 0 ? [] : rows.filter((row) => this.#crowded.has(this.#nameOf(row))),
    );
    for (const row of this.#rows.run(rows.filter((row) => !joining.has(row)))) joining.add(row);
    return rows.map((row) => (!joining.has(row) || this.#joinGroup(row) ? "stored" : "duplicate"));
  }

  /** Returns false when the row is there already. */
  #joinGroup(row: Row): boolean {
    const group = this.#crowded.get(this.#nameOf(row)) ?? this.#read(row);
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
      const arranged = uniqueTimes([...rows.values()]);
      this.#rows.run(arranged.map(({ row, timestamp }) => row.values.with(this.#timeColumn, timestamp)));
      for (const { row, timestamp } of arranged) {
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
