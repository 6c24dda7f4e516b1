import type Database from "better-sqlite3";

import type { RunStatus } from "../../../model/status.js";
import { sendersOfGoneRuns } from "./finished-runs.js";
import { microsOfText, readLosses, readRuns, readStatus } from "./status.js";
import { TaskStates } from "./task-states.js";

/** How a file stands, or one of its runs. */
export interface Overview {
  readonly runs: readonly (RunStatus & {
    /** How many tasks are in each state. */
    readonly tasks: ReadonlyMap<string, number>;
  })[];
  readonly senders: number;
  readonly counts: Counts;
  /** From the time in the newest message to its receipt, in ms; below 0 when its sender's clock is ahead. Undefined
   *  until a message comes. */
  readonly lagMs: number | undefined;
}

/** Messages, by what became of them. */
interface Counts {
  readonly stored: number;
  readonly rejected: number;
  readonly missing: number;
  readonly lost: number;
}

/** Reads it again and again, at the cost of what has changed and of the runs and senders. */
export class OverviewReader {
  readonly #db: Database.Database;
  readonly #runId: string;
  readonly #tasks: TaskStates;
  readonly #stored: Database.Statement<[], { senders: number; stored: number; rejected: number }>;
  readonly #received: Database.Statement<[], string | null>;
  #lagMs: number | undefined;

  /** An empty `runId` means all runs. */
  constructor(db: Database.Database, runId: string) {
    this.#db = db;
    this.#runId = runId;
    this.#tasks = new TaskStates(db);
    this.#stored = db.prepare(
      `SELECT count(*) AS senders, coalesce(sum(stored), 0) AS stored, coalesce(sum(rejected), 0) AS rejected
      FROM collector_sender WHERE id NOT IN (${sendersOfGoneRuns})`,
    );
    this.#received = db
      .prepare<[], string | null>("SELECT max(last_received_at) FROM collector_sender")
      .pluck();
  }

  read(nowMs: number): Overview {
    // Of one moment: what is committed meanwhile would make its parts contradict each other.
    return this.#db.transaction(() => this.#read(nowMs))();
  }

  #read(nowMs: number): Overview {
    const newest = this.#tasks.update();
    const received = this.#received.get();
    if (newest !== undefined && typeof received === "string") {
      this.#lagMs = microsOfText(received) / 1000 - Date.parse(newest.replace(" ", "T"));
    }
    const runs = readRuns(this.#db, this.#runId, nowMs);
    return {
      runs: runs.map((run) => ({ ...run, tasks: this.#tasks.of(run.runId) })),
      ...this.#countAll(nowMs),
      lagMs: this.#lagMs,
    };
  }

  #countAll(nowMs: number): Pick<Overview, "senders" | "counts"> {
    if (this.#runId === "") {
      const { senders = 0, ...stored } = this.#stored.get() ?? { stored: 0, rejected: 0 };
      return { senders, counts: { ...stored, ...readLosses(this.#db) } };
    }
    const { senders, total } = readStatus(this.#db, this.#runId, nowMs);
    const countOf = (count: bigint | undefined): number => Number(count ?? 0n);
    return {
      senders: senders.length,
      counts: {
        stored: countOf(total?.stored),
        rejected: countOf(total?.rejected),
        missing: countOf(total?.missing),
        lost: countOf(total?.lost),
      },
    };
  }
}
