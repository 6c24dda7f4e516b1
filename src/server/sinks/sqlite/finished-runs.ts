import type Database from "better-sqlite3";

import { CollectorError } from "../../../base/errors.js";
import { localText, utcText, type Micros } from "../../../model/time.js";
import { runStateOf } from "../../account.js";

/** Runs that `prune` has removed whole, and of which nothing has come since. A sender still in the ledger may name them. */
export const goneRuns =
  "SELECT run_id FROM collector_pruned WHERE table_name = 'workflow' AND run_id NOT IN (SELECT run_id FROM workflow)";

/** Senders that the ledger remembers for such runs alone, by the numbers of their rows: no account speaks of them. */
export const sendersOfGoneRuns = `SELECT sender FROM collector_sender_run GROUP BY sender HAVING min(run_id IN (${goneRuns}))`;

/** A run that nobody adds to any more. */
export interface FinishedRun {
  readonly runId: string;
  /** Its number in our own tables; null for a run that only Parsl wrote. */
  readonly row: number | null;
  readonly state: "completed" | "lost";
  /** When a message of it last came, in UTC; null for a run that only Parsl wrote. */
  readonly lastReceivedAt: string | null;
}

interface RunRow {
  readonly run_id: string;
  readonly row: number | null;
  readonly time_completed: string | null;
  readonly all_closed: 0 | 1 | null;
  readonly last_received_at: string | null;
}

/** A finished run, or why a run is none. */
type Verdict = FinishedRun | { readonly runId: string; readonly because: string };

/** The runs that had ended, or if they never did, said their last word, before a time. With `wanted` these only; a
 *  CollectorError says why one of them is no such run. */
export function finishedRuns(
  db: Database.Database,
  wanted: readonly string[],
  { before, now }: { readonly before: Micros; readonly now: Micros },
): FinishedRun[] {
  const rows = db
    .prepare<[], RunRow>(
      `SELECT run.run_id, ours.id AS row, time_completed, all_closed, last_received_at
      FROM (SELECT run_id FROM workflow UNION SELECT run_id FROM collector_sender_run) run
        LEFT JOIN workflow USING (run_id)
        LEFT JOIN collector_run ours USING (run_id)
        LEFT JOIN (SELECT heard.run_id, min(sender.last_sequence IS NOT NULL) AS all_closed,
            max(heard.last_received_at) AS last_received_at
          FROM collector_sender_run heard JOIN collector_sender sender ON sender.id = heard.sender
          GROUP BY heard.run_id) ledger USING (run_id)
      WHERE run.run_id NOT IN (${goneRuns})
      ORDER BY run.run_id`,
    )
    .all();
  const known = new Map(rows.map((row) => [row.run_id, row]));
  for (const runId of wanted) {
    const row = known.get(runId);
    if (row === undefined) {
      const some = [...known.keys()].slice(-5).join(", ");
      refuse(runId, `the file has no such run; ${some === "" ? "it has none" : `it has ${some}`}`);
    }
  }
  const verdicts = rows
    .filter((row) => wanted.length === 0 || wanted.includes(row.run_id))
    .map((row) => verdictOf(db, row, before, now, wanted.length > 0));
  return verdicts.flatMap((verdict) => {
    if ("state" in verdict) return [verdict];
    if (wanted.length > 0) refuse(verdict.runId, verdict.because);
    return [];
  });
}

/** When a message of a run last came, in UTC; null for a run that only Parsl wrote. */
export function lastReceivedAt(db: Database.Database): (runId: string) => string | null {
  const select = db
    .prepare<[string], string | null>(
      "SELECT max(last_received_at) FROM collector_sender_run WHERE run_id = ?",
    )
    .pluck();
  return (runId) => select.get(runId) ?? null;
}

function refuse(runId: string, because: string): never {
  throw new CollectorError("invalid-argument", `prune run ${runId}: ${because}`);
}

function verdictOf(
  db: Database.Database,
  row: RunRow,
  before: Micros,
  now: Micros,
  isNamed: boolean,
): Verdict {
  const { run_id: runId, time_completed: completed, last_received_at: heard } = row;
  const finished = (state: FinishedRun["state"], at: string, limit: string): Verdict =>
    at < limit
      ? { runId, row: row.row, state, lastReceivedAt: heard }
      : {
          runId,
          because: `it ${state === "completed" ? "ended" : "was last heard"} at ${at}, which is after ${limit}`,
        };
  if (completed !== null) return finished("completed", completed, localText(before));
  if (heard !== null) {
    const lastReceivedAtMs = Date.parse(`${heard.replace(" ", "T")}Z`);
    const state = runStateOf(
      { hasEnd: false, allClosed: row.all_closed === 1, lastReceivedAtMs },
      now / 1000,
    );
    if (state === "running")
      return { runId, because: `it is still running: it was last heard at ${heard} UTC` };
    return finished("lost", heard, utcText(before));
  }
  // Parsl's own hub says nothing while nothing happens, so a silent run of it may well be running: only who names it
  // can know that it is not.
  if (!isNamed) return { runId, because: "Parsl wrote it, and no end" };
  return finished("lost", lastTimeOf(db, runId), localText(before));
}

/** The latest time in any row of a run, as Parsl's tables have it. */
function lastTimeOf(db: Database.Database, runId: string): string {
  const times = [
    "status.timestamp",
    "resource.timestamp",
    "block.timestamp",
    "node.last_heartbeat",
    "workflow.time_began",
  ];
  const each = times.map((time) => {
    const [table = "", column = ""] = time.split(".");
    return `SELECT max(${column}) AS time FROM ${table} WHERE run_id = @runId`;
  });
  return String(
    db
      .prepare(`SELECT max(time) FROM (${each.join(" UNION ALL ")})`)
      .pluck()
      .get({ runId }),
  );
}
