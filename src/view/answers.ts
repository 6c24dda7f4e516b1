import type Database from "better-sqlite3";

import { localTimes } from "../model/local-time.js";
import { RunState } from "../model/status.js";
import { whatLacks } from "../server/sinks/sqlite/completeness.js";
import { readStatus } from "../server/sinks/sqlite/status.js";
import type { Completeness, TaskState } from "./api.js";
import { wordKinds, type WordKind } from "./index-file.js";
import type { Source } from "./source.js";
import { stateOf } from "./states.js";

/** What is asked for is not there; the message says it to the asker. */
export class NotFound extends Error {}

/** What is asked for makes no sense. */
export class BadRequest extends Error {}

/** A run as the index has it. */
export interface IndexedRun {
  readonly id: number;
  readonly run_id: string;
  readonly first: number | null;
  readonly last: number | null;
  /** Length of the stretches of its timeline, in ms. */
  readonly width: number;
}

export interface WorkflowRow {
  readonly run_id: string;
  readonly workflow_name: string | null;
  readonly workflow_version: string | null;
  readonly time_began: string;
  readonly time_completed: string | null;
  readonly host: string;
  readonly user: string;
  readonly rundir: string;
}

/** How long what the ledger says of a run is good, in ms: reading it takes long where a run has many senders. */
const ledgerMs = 1_000;

/** Statements that are kept prepared: those with a search in them are many. */
const mostStatements = 200;

const runStates = {
  [RunState.RUNNING]: "running",
  [RunState.COMPLETED]: "completed",
  [RunState.LOST]: "lost",
} as const;

/** What all answers are made from: the file, its index, and what reads both. */
export class Data {
  readonly source: Source;
  readonly index: Database.Database;
  readonly ms: (text: unknown) => number | null;
  readonly #statements = new Map<string, Database.Statement>();
  readonly #words: Database.Statement<[number], string>;
  readonly #ledger = new Map<string, { readonly at: number; readonly is: Completeness | null }>();

  constructor(source: Source, index: Database.Database, timezone: string) {
    this.source = source;
    this.index = index;
    this.ms = localTimes(timezone);
    this.#words = index.prepare<[number], string>("SELECT text FROM word WHERE id = ?").pluck();
  }

  /** Rows of the index. Statements are prepared once. */
  rows<Row>(sql: string, ...values: readonly unknown[]): Row[] {
    return this.#prepared(this.index, sql).all(...values) as Row[];
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- who writes the SQL knows the row
  row<Row>(sql: string, ...values: readonly unknown[]): Row | undefined {
    return this.#prepared(this.index, sql).get(...values) as Row | undefined;
  }

  /** Rows of the file. */
  fileRows<Row>(sql: string, ...values: readonly unknown[]): Row[] {
    return this.#prepared(this.source.db, sql).all(...values) as Row[];
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- who writes the SQL knows the row
  fileRow<Row>(sql: string, ...values: readonly unknown[]): Row | undefined {
    return this.#prepared(this.source.db, sql).get(...values) as Row | undefined;
  }

  /** Null for what is not known. */
  word(id: number): string | null {
    const text = this.#words.get(id);
    return text === undefined || text === "" ? null : text;
  }

  /** The number of a word; undefined where nothing has that name. */
  wordId(kind: WordKind, text: string): number | undefined {
    return this.row<{ id: number }>(
      "SELECT id FROM word WHERE kind = ? AND text = ?",
      wordKinds.indexOf(kind),
      text,
    )?.id;
  }

  runs(): IndexedRun[] {
    return this.rows("SELECT * FROM run");
  }

  hasRun(runId: string): boolean {
    return this.#run(runId) !== undefined;
  }

  /** Throws NotFound. */
  run(runId: string): IndexedRun {
    const run = this.#run(runId);
    if (run === undefined) {
      throw new NotFound(
        `show run ${runId}: ${this.source.file} has no run of this id; see the list of runs`,
      );
    }
    return run;
  }

  #run(runId: string): IndexedRun | undefined {
    return this.row("SELECT * FROM run WHERE run_id = ?", runId);
  }

  workflow(runId: string): WorkflowRow | undefined {
    return this.fileRow("SELECT * FROM workflow WHERE run_id = ?", runId);
  }

  workersOf(runId: string): IndexedNode[] {
    return this.rows("SELECT * FROM node WHERE run = ? ORDER BY first, host", this.run(runId).id);
  }

  /** What the ledger says of a run; null where there is none, or nothing of it. */
  completeness(runId: string, now: number): Completeness | null {
    if (!this.source.hasLedger) return null;
    const kept = this.#ledger.get(runId);
    if (kept !== undefined && now - kept.at < ledgerMs) return kept.is;
    const is = this.#readCompleteness(runId, now);
    this.#ledger.set(runId, { at: now, is });
    return is;
  }

  #readCompleteness(runId: string, now: number): Completeness | null {
    const status = readStatus(this.source.db, runId, now);
    const [run] = status.runs;
    if (run === undefined) return null;
    const lacks = whatLacks(status, false);
    const count = (value: bigint | undefined): number => Number(value ?? 0n);
    return {
      state: run.state in runStates ? runStates[run.state as keyof typeof runStates] : "running",
      complete: lacks.length === 0,
      stored: count(status.total?.stored),
      rejected: count(status.total?.rejected),
      missing: count(status.total?.missing),
      lost: count(status.total?.lost),
      lacks,
    };
  }

  #prepared(db: Database.Database, sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = db.prepare(sql);
      if (this.#statements.size >= mostStatements) this.#statements.clear();
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

export interface IndexedNode {
  readonly host: string;
  readonly uid: string;
  readonly block: string;
  readonly cpus: number;
  readonly memory: number;
  readonly workers: number;
  readonly first: number;
  /** When it was last spoken of. */
  readonly last: number;
  readonly heartbeat: number;
  readonly active: 0 | 1;
}

/** Counts by state, from rows that may name one several times. */
export function countsOf(
  rows: readonly { readonly state: number; readonly tasks: number }[],
): Partial<Record<TaskState, number>> {
  const counts: Partial<Record<TaskState, number>> = {};
  for (const { state, tasks } of rows) {
    if (tasks === 0) continue;
    const name = stateOf(state);
    counts[name] = (counts[name] ?? 0) + tasks;
  }
  return counts;
}
