import type Database from "better-sqlite3";

import { localTimes } from "../model/local-time.js";
import type { Indexed } from "./api.js";
import { Changes } from "./changes.js";
import { addSortIndexes, clearIndex, taskKey, toldColumns, wordKinds, type WordKind } from "./index-file.js";
import type { Source } from "./source.js";
import { codeOf, historyOf, isEnd, stateCode, type Said } from "./states.js";

/** Rows of a table that are read in one transaction, which is open some 20 ms: as long as one is, a writer in WAL mode
 *  cannot begin its journal anew, and in other modes cannot write. */
const chunkRows = 5_000;

/** Tasks from which on sorting them wants indexes of its own. Sorting fewer takes 50 ms without. */
const manyTasks = 50_000;

/** Words whose numbers are kept at hand. */
const mostKeptWords = 100_000;

/** Rows of the resource table that are looked at for when a run was last heard of, each time. */
const latestSamples = 100;

/** What a step did. */
export interface Step {
  /** Runs of which something is new. */
  readonly changed: ReadonlySet<string>;
  /** Whether there is more to do at once. */
  readonly isBehind: boolean;
  readonly indexed: Indexed;
}

/** A row of the status table, as an array: rowid, task_id, run_id, task_status_name, timestamp, try_id. */
type StatusRow = [number, number, string, string, string, number];

interface Run {
  readonly id: number;
  readonly runId: string;
  first: number | null;
  last: number | null;
}

/** A task's row of the index. */
interface TaskEntry {
  id: number;
  run: number;
  app: number;
  state: number;
  executor: number;
  block: number;
  host: number;
  submitted: number | null;
  began: number | null;
  ended: number | null;
  seconds: number | null;
  tries: number;
  failure: number;
  read_at: number;
  said: string;
}

interface Attempt {
  readonly try: number;
  readonly block: number;
  readonly host: number;
  readonly began: number;
  readonly ended: number | null;
  readonly failed: 0 | 1;
}

/** What of a task's rows of Parsl's tables the index keeps. */
interface Facts {
  readonly app: number;
  readonly submitted: number | null;
  readonly returned: number | null;
  readonly parents: readonly number[];
  readonly tries: readonly {
    readonly try: number;
    readonly executor: number;
    readonly block: number;
    readonly host: number;
    readonly began: number | null;
    readonly returned: number | null;
    readonly failure: number;
  }[];
}

/** New statuses of one task. */
interface Touched {
  readonly run: Run;
  readonly task: number;
  readonly said: Said[];
  lastRow: number;
  facts: Facts | undefined;
}

const entryColumns = [
  "id",
  "run",
  ...toldColumns,
  "read_at",
  "said",
] as const satisfies readonly (keyof TaskEntry)[];

/** Keeps the index of a file up to date, a piece at a time. What is in the file when it begins is read by task, so that
 *  each is put together once; what comes later by row. Parsl and our collector change the rows of a task and its tries only
 *  together with a new status, which tells what to read again. Rows that are removed, or numbered anew, make it begin anew. */
export class Indexer {
  readonly #source: Source;
  readonly #index: Database.Database;
  readonly #ms: (text: unknown) => number | null;
  readonly #read: Reader;
  readonly #write: Writer;
  #runs = new Map<string, Run>();
  #words = new Map<WordKind, Map<string, number>>(wordKinds.map((kind) => [kind, new Map<string, number>()]));
  #workflows = new Map<string, string>();
  #used = new Set<string>();
  /** Runs that were pruned so far. */
  #gone: number | undefined;
  #changes: Changes;
  /** Number of the last status row that is in the index; undefined until those that were there first are. */
  #position: number | undefined;
  /** While those are read: the last row of them, the last task that is in the index, and how many rows are. */
  #first: { readonly until: number; task: number; runId: string; rows: number } | undefined;
  /** That last row, as it was. */
  #mark: { readonly row: number; readonly is: string } | undefined;
  #nodePosition = 0;
  #blockPosition = 0;
  #samplePosition = 0;
  #tasks = 0;
  #hasSortIndexes = false;
  /** Whether the last step came to its end. */
  #isSound = true;

  constructor(source: Source, index: Database.Database, timezone: string) {
    this.#source = source;
    this.#index = index;
    this.#ms = localTimes(timezone);
    this.#read = new Reader(source);
    this.#write = new Writer(index);
    this.#changes = new Changes(index);
  }

  /** Reads a piece of what is new into the index. Throws where the file cannot be read now, and may be called again. */
  step(): Step {
    const changed = new Set<string>();
    const ofRows = this.#index.transaction(() =>
      this.#source.atOneMoment(() => {
        const last = this.#read.lastStatus(); // with the lock that this takes all else here is read
        if (
          !this.#isSound ||
          (this.#mark !== undefined && this.#read.statusAt(this.#mark.row) !== this.#mark.is)
        ) {
          this.#beginAnew(changed);
        }
        this.#isSound = false;
        this.#readWorkflows(changed);
        this.#readNodes(changed);
        this.#hearOf(changed);
        for (const one of this.#readStatuses(last)) {
          this.#apply(one, last);
          changed.add(one.run.runId);
        }
        this.#changes.flush();
        for (const runId of changed) {
          const run = this.#runs.get(runId);
          if (run !== undefined) this.#write.setTimes.run(run.first, run.last, run.id);
        }
        return last;
      }),
    )();
    this.#isSound = true;
    const rows = this.#position ?? this.#first?.rows ?? 0;
    const isBehind = this.#first !== undefined || rows < ofRows;
    if (!isBehind && !this.#hasSortIndexes && this.#tasks >= manyTasks) {
      addSortIndexes(this.#index);
      this.#hasSortIndexes = true;
    }
    return { changed, isBehind, indexed: { rows, ofRows } };
  }

  #beginAnew(changed: Set<string>): void {
    for (const runId of this.#runs.keys()) changed.add(runId);
    clearIndex(this.#index);
    this.#runs = new Map();
    for (const words of this.#words.values()) words.clear();
    this.#workflows = new Map();
    this.#used = new Set();
    this.#changes = new Changes(this.#index);
    this.#position = undefined;
    this.#first = undefined;
    this.#mark = undefined;
    this.#nodePosition = 0;
    this.#blockPosition = 0;
    this.#samplePosition = 0;
    this.#tasks = 0;
    this.#hasSortIndexes = false;
  }

  /** Reads the next rows of the status table, and what else of their tasks is not in the index. */
  #readStatuses(last: number): Touched[] {
    if (this.#position === undefined && this.#first === undefined) {
      this.#first = { until: last, task: -1, runId: "", rows: 0 };
    }
    const first = this.#first;
    let rows: StatusRow[];
    let position: number | undefined;
    if (first !== undefined) {
      rows = this.#read.statusesByTask(first.task, first.runId, first.until);
      first.rows += rows.length;
      const end = rows.at(-1);
      if (end === undefined) {
        position = first.until;
        this.#first = undefined;
      } else [, first.task, first.runId] = end;
    } else {
      rows = this.#read.statusesAfter(this.#position ?? 0);
      position = rows.at(-1)?.[0];
    }
    if (position !== undefined) {
      this.#position = position;
      const is = this.#read.statusAt(position);
      this.#mark = is === undefined ? undefined : { row: position, is };
    }
    const touched = new Map<number, Touched>();
    for (const [row, task, runId, status, timestamp, tryId] of rows) {
      const run = this.#runOf(runId);
      const key = taskKey(run.id, task);
      let one = touched.get(key);
      if (one === undefined) {
        one = { run, task, said: [], lastRow: 0, facts: undefined };
        touched.set(key, one);
      }
      one.lastRow = Math.max(one.lastRow, row);
      const at = this.#ms(timestamp);
      const code = codeOf(status);
      if (at === null || code === undefined) continue;
      one.said.push({ at, code, try: tryId });
      heard(run, at);
    }
    for (const [key, one] of touched) {
      const before = first === undefined ? this.#write.entry(key) : undefined;
      const isOld = before === undefined || before.read_at < one.lastRow;
      // When a try ended its worker says better than its row.
      const hasEnded = one.said.some(({ code }) => code === stateCode.running_ended);
      if (isOld || hasEnded) one.facts = this.#factsOf(one, before);
    }
    return [...touched.values()];
  }

  #factsOf({ run, task, said }: Touched, before: TaskEntry | undefined): Facts {
    const row = this.#read.task(task, run.runId);
    const word = (kind: WordKind, text: unknown): number => this.#wordOf(kind, text);
    const tries: Facts["tries"][number][] = [];
    // Not by how many there are: rows of later tries may come first.
    const lastTry = Math.max(-1, ...[...saidBefore(before), ...said].map((one) => one.try));
    for (let number = 0; number <= lastTry; number += 1) {
      const one = this.#read.try(number, task, run.runId);
      if (one === undefined) continue;
      const [executor, block, host, running, returned, failure] = one;
      tries.push({
        try: number,
        executor: word("executor", executor),
        block: word("block", block),
        host: word("host", host),
        began: this.#ms(running),
        returned: this.#ms(returned),
        failure: word("failure", failure),
      });
    }
    return {
      app: word("app", row?.[0]),
      submitted: this.#ms(row?.[1]),
      returned: this.#ms(row?.[2]),
      parents: parentsIn(row?.[3]),
      tries,
    };
  }

  #apply({ run, task, said: news, facts, lastRow }: Touched, snapshot: number): void {
    const key = taskKey(run.id, task);
    const before = this.#write.entry(key);
    const earlier = saidBefore(before);
    const said = [...earlier, ...news];
    const history = historyOf(said);
    const state = history.at(-1)?.code ?? stateCode.unsched;
    const isDone = state === stateCode.exec_done || state === stateCode.memo_done;
    this.#changes.history(run.id, historyOf(earlier), -1);
    this.#changes.history(run.id, history, 1);
    const entry: TaskEntry =
      before === undefined
        ? {
            ...{ id: key, run: run.id, app: 0, state, executor: 0, block: 0, host: 0, submitted: null },
            ...{ began: null, ended: null, seconds: null, tries: 0, failure: 0, read_at: 0, said: "" },
          }
        : { ...before };
    entry.state = state;
    entry.said = JSON.stringify(said.map((one) => [one.at, one.code, one.try]));
    if (facts !== undefined) {
      entry.read_at = Math.max(snapshot, lastRow);
      entry.app = facts.app;
      entry.submitted = facts.submitted;
      entry.tries = facts.tries.length;
      const last = facts.tries.at(-1);
      const began = last?.began ?? null;
      const ended = last === undefined ? null : endOf(last.try, last.returned, said);
      entry.executor = last?.executor ?? this.#wordOf("executor", null);
      entry.block = last?.block ?? this.#wordOf("block", null);
      entry.host = last?.host ?? this.#wordOf("host", null);
      entry.began = began;
      entry.ended = began !== null ? ended : isEnd(state) ? (facts.returned ?? ended) : null;
      entry.seconds = secondsBetween(began, entry.ended);
      const none = this.#wordOf("failure", null);
      entry.failure = isDone
        ? none
        : (facts.tries.findLast(({ failure }) => failure !== none)?.failure ?? none);
      this.#applyTries(run, key, entry.app, facts, said, none);
      this.#applyParents(run, key, before?.app, entry.app, facts.parents);
      this.#use(run, entry);
    }
    if (before === undefined) this.#tasks += 1;
    if (before !== undefined) this.#changes.tally(run.id, before.app, before.state, -1);
    this.#changes.tally(run.id, entry.app, entry.state, 1);
    this.#write.put(before, entry);
  }

  #applyTries(run: Run, key: number, app: number, facts: Facts, said: readonly Said[], none: number): void {
    const before = new Map(this.#write.attempts(key).map((one) => [one.try, one]));
    for (const one of facts.tries) {
      if (one.began === null) continue;
      const attempt: Attempt = {
        ...{ try: one.try, block: one.block, host: one.host, began: one.began },
        ended: endOf(one.try, one.returned, said),
        failed: one.failure === none ? 0 : 1,
      };
      const was = before.get(one.try);
      if (was !== undefined) this.#changes.busy(run.id, was.began, was.ended, -1);
      this.#changes.busy(run.id, attempt.began, attempt.ended, 1);
      this.#write.putAttempt(run.id, key, app, attempt);
    }
  }

  /** Counts dependencies between apps too: each once both of its tasks are in the index. */
  #applyParents(
    run: Run,
    key: number,
    before: number | undefined,
    app: number,
    parents: readonly number[],
  ): void {
    const count = (parent: number, child: number, by: number): void => {
      this.#write.addAppEdge.run(run.id, parent, child, by);
    };
    const isOther = before !== undefined && before !== app;
    for (const parent of parents) {
      const parentKey = taskKey(run.id, parent);
      const isNew = this.#write.addEdge.run(parentKey, key).changes > 0;
      const parentApp = this.#write.appOf(parentKey);
      if (parentApp === undefined) continue;
      if (!isNew && isOther) count(parentApp, before, -1);
      if (isNew || isOther) count(parentApp, app, 1);
    }
    if (before === app) return;
    for (const child of this.#write.children(key)) {
      const childApp = this.#write.appOf(child);
      if (childApp === undefined) continue;
      if (before !== undefined) count(before, childApp, -1);
      count(app, childApp, 1);
    }
  }

  /** Keeps which words a run has. */
  #use(run: Run, entry: TaskEntry): void {
    for (const kind of ["executor", "block", "host"] as const) {
      const word = entry[kind];
      const key = `${String(run.id)} ${String(word)}`;
      if (this.#used.has(key)) continue;
      this.#used.add(key);
      this.#write.use.run(run.id, wordKinds.indexOf(kind), word);
    }
  }

  #readWorkflows(changed: Set<string>): void {
    const rows = this.#read.workflows();
    const there = new Set(rows.map(({ run_id }) => run_id));
    // A run that never said how it began is known to be gone by the note that pruning it leaves.
    const gone = this.#read.goneRuns();
    const isGone = [...this.#workflows.keys()].some((runId) => !there.has(runId));
    if (isGone || (this.#gone !== undefined && gone !== this.#gone)) this.#beginAnew(changed);
    this.#gone = gone;
    for (const row of rows) {
      const is = JSON.stringify(row);
      if (this.#workflows.get(row.run_id) === is) continue;
      this.#workflows.set(row.run_id, is);
      const run = this.#runOf(row.run_id);
      for (const time of [row.time_began, row.time_completed]) {
        const at = this.#ms(time);
        if (at !== null) heard(run, at);
      }
      changed.add(row.run_id);
    }
  }

  #readNodes(changed: Set<string>): void {
    for (const row of this.#read.nodesAfter(this.#nodePosition)) {
      this.#nodePosition = row.id;
      const at = this.#ms(row.timestamp);
      if (at === null) continue;
      const run = this.#runOf(row.run_id);
      heard(run, at);
      changed.add(row.run_id);
      this.#write.putNode.run({
        ...{ run: run.id, host: row.hostname, uid: row.uid ?? "", block: row.block_id ?? "", at },
        ...{ cpus: row.cpu_count, memory: row.total_memory, workers: row.worker_count },
        ...{ heartbeat: this.#ms(row.last_heartbeat) ?? at, active: row.active },
      });
    }
  }

  /** Of blocks and samples only when they came is kept here: whoever shows them reads them from the file. */
  #hearOf(changed: Set<string>): void {
    for (const [table, position, most] of [
      ["block", this.#blockPosition, chunkRows],
      ["resource", this.#samplePosition, latestSamples],
    ] as const) {
      if (!this.#source.has(table)) continue;
      const rows = this.#read.latest(table, position, most);
      for (const { run_id, timestamp } of rows) {
        const at = this.#ms(timestamp);
        if (at !== null) heard(this.#runOf(run_id), at);
        changed.add(run_id);
      }
      const last = rows[0]?.rowid ?? position;
      if (table === "block") this.#blockPosition = last;
      else this.#samplePosition = last;
    }
  }

  #runOf(runId: string): Run {
    let run = this.#runs.get(runId);
    if (run === undefined) {
      run = { id: this.#write.addRun(runId), runId, first: null, last: null };
      this.#runs.set(runId, run);
    }
    return run;
  }

  #wordOf(kind: WordKind, given: unknown): number {
    const text = typeof given === "string" ? given : "";
    const words = this.#words.get(kind) ?? new Map<string, number>();
    let id = words.get(text);
    if (id === undefined) {
      id = this.#write.word(wordKinds.indexOf(kind), text);
      if (words.size >= mostKeptWords) words.clear();
      words.set(text, id);
    }
    return id;
  }
}

function saidBefore(entry: TaskEntry | undefined): Said[] {
  if (entry === undefined) return [];
  return (JSON.parse(entry.said) as [number, number, number][]).map(([at, code, number]) => ({
    ...{ at, code, try: number },
  }));
}

function heard(run: Run, at: number): void {
  run.first = Math.min(run.first ?? at, at);
  run.last = Math.max(run.last ?? at, at);
}

/** By the clock of the worker, which told the begin, where it told the end too; the latest, for it may say it twice. */
function endOf(number: number, returned: number | null, said: readonly Said[]): number | null {
  const told = said.filter((one) => one.code === stateCode.running_ended && one.try === number);
  return told.length === 0 ? returned : Math.max(...told.map(({ at }) => at));
}

function secondsBetween(from: number | null, to: number | null): number | null {
  return from === null || to === null ? null : Math.round((to - from) * 1000) / 1e6;
}

/** Parsl's list of the tasks that one depends on, as "3,1". */
function parentsIn(text: unknown): number[] {
  return typeof text === "string" ? (text.match(/\d+/g) ?? []).map(Number) : [];
}

interface NodeRow {
  readonly id: number;
  readonly run_id: string;
  readonly hostname: string;
  readonly uid: string | null;
  readonly block_id: string | null;
  readonly cpu_count: number;
  readonly total_memory: number;
  readonly active: number;
  readonly worker_count: number;
  readonly timestamp: string;
  readonly last_heartbeat: string | null;
}

interface WorkflowRow {
  readonly run_id: string;
  readonly time_began: string;
  readonly time_completed: string | null;
}

/** The file's tables, as far as the index wants them. */
class Reader {
  readonly #lastStatus: Database.Statement<[], number | null>;
  readonly #statusAt: Database.Statement<[number], StatusRow>;
  readonly #byTask: Database.Statement<[number, string, number, number], StatusRow>;
  readonly #after: Database.Statement<[number], StatusRow>;
  readonly #task: Database.Statement<[number, string], unknown[]>;
  readonly #try: Database.Statement<[number, number, string], unknown[]>;
  readonly #workflows: Database.Statement<[], WorkflowRow>;
  readonly #goneRuns: Database.Statement<[], number> | undefined;
  readonly #nodes: Database.Statement<[number], NodeRow> | undefined;
  readonly #latest = new Map<string, Database.Statement<[number, number], LatestRow>>();
  readonly #source: Source;

  constructor(source: Source) {
    const { db } = source;
    this.#source = source;
    const status = "rowid, task_id, run_id, task_status_name, timestamp, try_id";
    this.#lastStatus = db.prepare<[], number | null>("SELECT max(rowid) FROM status").pluck();
    this.#statusAt = db.prepare<[number], StatusRow>(`SELECT ${status} FROM status WHERE rowid = ?`).raw();
    this.#byTask = db
      .prepare<[number, string, number, number], StatusRow>(
        `SELECT ${status} FROM status WHERE (task_id, run_id) > (?, ?) AND rowid <= ? ORDER BY task_id, run_id LIMIT ?`,
      )
      .raw();
    this.#after = db
      .prepare<[number], StatusRow>(
        `SELECT ${status} FROM status WHERE rowid > ? ORDER BY rowid LIMIT ${String(chunkRows)}`,
      )
      .raw();
    const task = source.columns("task", [
      ...["task_func_name", "task_time_invoked", "task_time_returned", "task_depends"],
    ]);
    this.#task = db
      .prepare<[number, string], unknown[]>(`SELECT ${task} FROM task WHERE task_id = ? AND run_id = ?`)
      .raw();
    const tryColumns = source.columns("try", [
      ...["task_executor", "block_id", "hostname", "task_try_time_running", "task_try_time_returned"],
      "task_fail_history",
    ]);
    this.#try = db
      .prepare<[number, number, string], unknown[]>(
        `SELECT ${tryColumns} FROM try WHERE try_id = ? AND task_id = ? AND run_id = ?`,
      )
      .raw();
    this.#workflows = db.prepare("SELECT * FROM workflow");
    if (source.hasLedger) {
      this.#goneRuns = db
        .prepare<[], number>("SELECT count(*) FROM collector_pruned WHERE table_name = 'workflow'")
        .pluck();
    }
    if (source.has("node")) {
      const columns = source.columns("node", [
        ...[
          "id",
          "run_id",
          "hostname",
          "uid",
          "block_id",
          "cpu_count",
          "total_memory",
          "active",
          "worker_count",
        ],
        ...["timestamp", "last_heartbeat"],
      ]);
      this.#nodes = db.prepare(
        `SELECT ${columns} FROM node WHERE id > ? ORDER BY id LIMIT ${String(chunkRows)}`,
      );
    }
  }

  lastStatus(): number {
    return this.#lastStatus.get() ?? 0;
  }

  /** The row of this number, to tell whether it is still the same. */
  statusAt(row: number): string | undefined {
    const found = this.#statusAt.get(row);
    return found === undefined ? undefined : JSON.stringify(found);
  }

  /** The statuses of the next tasks, in the order of their rows for each. */
  statusesByTask(task: number, runId: string, until: number): StatusRow[] {
    for (let most = chunkRows; ; most *= 2) {
      const rows = this.#byTask.all(task, runId, until, most);
      if (rows.length === most) {
        // The last task may have more.
        const [, lastTask, lastRun] = rows.at(-1) ?? [];
        while (rows.at(-1)?.[1] === lastTask && rows.at(-1)?.[2] === lastRun) rows.pop();
        if (rows.length === 0) continue;
      }
      return rows.sort((a, b) => a[1] - b[1] || (a[2] === b[2] ? a[0] - b[0] : a[2] < b[2] ? -1 : 1));
    }
  }

  statusesAfter(position: number): StatusRow[] {
    return this.#after.all(position);
  }

  task(task: number, runId: string): unknown[] | undefined {
    return this.#task.get(task, runId);
  }

  try(number: number, task: number, runId: string): unknown[] | undefined {
    return this.#try.get(number, task, runId);
  }

  goneRuns(): number {
    return this.#goneRuns?.get() ?? 0;
  }

  workflows(): WorkflowRow[] {
    return this.#workflows.all();
  }

  nodesAfter(id: number): NodeRow[] {
    return this.#nodes?.all(id) ?? [];
  }

  /** The last rows after this one, the newest first. */
  latest(table: "block" | "resource", position: number, most: number): LatestRow[] {
    let statement = this.#latest.get(table);
    if (statement === undefined) {
      statement = this.#source.db.prepare(
        `SELECT rowid, run_id, timestamp FROM ${table} WHERE rowid > ? ORDER BY rowid DESC LIMIT ?`,
      );
      this.#latest.set(table, statement);
    }
    return statement.all(position, most);
  }
}

interface LatestRow {
  readonly rowid: number;
  readonly run_id: string;
  readonly timestamp: string;
}

/** The tables of the index, as it is written. */
class Writer {
  readonly entry: (key: number) => TaskEntry | undefined;
  readonly attempts: (key: number) => Pick<Attempt, "try" | "began" | "ended">[];
  readonly addEdge: Database.Statement<[number, number]>;
  readonly addAppEdge: Database.Statement<[number, number, number, number]>;
  readonly children: (key: number) => number[];
  readonly setTimes: Database.Statement<[number | null, number | null, number]>;
  readonly putNode: Database.Statement<[Readonly<Record<string, unknown>>]>;
  readonly use: Database.Statement<[number, number, number]>;
  readonly #index: Database.Database;
  readonly #addRun: Database.Statement<[string]>;
  readonly #word: Database.Statement<[number, string], number>;
  readonly #addWord: Database.Statement<[number, string]>;
  readonly #appOf: Database.Statement<[number], number>;
  readonly #insert: Database.Statement<[TaskEntry]>;
  readonly #putAttempt: Database.Statement<[Readonly<Record<string, unknown>>]>;
  /** By the columns that they set. */
  readonly #updates = new Map<string, Database.Statement<[TaskEntry]>>();

  constructor(index: Database.Database) {
    this.#index = index;
    const entry = index.prepare<[number], TaskEntry>("SELECT * FROM task WHERE id = ?");
    this.entry = (key) => entry.get(key);
    const attempts = index.prepare<[number], Pick<Attempt, "try" | "began" | "ended">>(
      "SELECT try, began, ended FROM attempt WHERE task = ?",
    );
    this.attempts = (key) => attempts.all(key);
    this.addEdge = index.prepare("INSERT OR IGNORE INTO edge VALUES (?, ?)");
    this.addAppEdge = index.prepare(
      "INSERT INTO app_edge VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET edges = edges + excluded.edges",
    );
    const children = index.prepare<[number], number>("SELECT child FROM edge WHERE parent = ?").pluck();
    this.children = (key) => children.all(key);
    this.setTimes = index.prepare("UPDATE run SET first = ?, last = ? WHERE id = ?");
    // The latest row says how a node is; one may come late.
    this.putNode = index.prepare(
      `INSERT INTO node VALUES (@run, @host, @uid, @block, @cpus, @memory, @workers, @at, @at, @heartbeat, @active)
      ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last),
        heartbeat = max(heartbeat, excluded.heartbeat), cpus = excluded.cpus, memory = excluded.memory,
        workers = excluded.workers, active = CASE WHEN excluded.last >= last THEN excluded.active ELSE active END`,
    );
    this.use = index.prepare("INSERT OR IGNORE INTO used VALUES (?, ?, ?)");
    this.#addRun = index.prepare("INSERT INTO run (run_id, width) VALUES (?, 1)");
    this.#word = index
      .prepare<[number, string], number>("SELECT id FROM word WHERE kind = ? AND text = ?")
      .pluck();
    this.#addWord = index.prepare("INSERT INTO word (kind, text) VALUES (?, ?)");
    this.#appOf = index.prepare<[number], number>("SELECT app FROM task WHERE id = ?").pluck();
    this.#insert = index.prepare(
      `INSERT INTO task (${entryColumns.join(", ")}) VALUES (${entryColumns.map((name) => `@${name}`).join(", ")})`,
    );
    this.#putAttempt = index.prepare(
      `INSERT INTO attempt VALUES (@task, @try, @run, @app, @block, @host, @began, @ended, @seconds, @failed)
      ON CONFLICT DO UPDATE SET app = @app, block = @block, host = @host, began = @began, ended = @ended,
        seconds = @seconds, failed = @failed`,
    );
  }

  addRun(runId: string): number {
    return Number(this.#addRun.run(runId).lastInsertRowid);
  }

  word(kind: number, text: string): number {
    return this.#word.get(kind, text) ?? Number(this.#addWord.run(kind, text).lastInsertRowid);
  }

  appOf(key: number): number | undefined {
    return this.#appOf.get(key);
  }

  /** Sets only what changes, for each column has an index of its own to keep. */
  put(before: TaskEntry | undefined, entry: TaskEntry): void {
    if (before === undefined) {
      this.#insert.run(entry);
      return;
    }
    const changed = entryColumns.filter((column) => before[column] !== entry[column]);
    if (changed.length === 0) return;
    const name = changed.join();
    let update = this.#updates.get(name);
    if (update === undefined) {
      const sets = changed.map((column) => `${column} = @${column}`).join(", ");
      update = this.#index.prepare(`UPDATE task SET ${sets} WHERE id = @id`);
      this.#updates.set(name, update);
    }
    update.run(entry);
  }

  putAttempt(run: number, task: number, app: number, attempt: Attempt): void {
    const seconds = secondsBetween(attempt.began, attempt.ended);
    this.#putAttempt.run({ run, task, app, ...attempt, seconds });
  }
}
