import type Database from "better-sqlite3";

import { CollectorError } from "../base/errors.js";
import type { Finding, Why } from "../view/api.js";
import { quoted } from "./causes.js";
import { blocks } from "./blocks.js";
import { dependencies } from "./dependencies.js";
import { failures } from "./failures.js";
import { neverEnded } from "./never-ended.js";
import { retries } from "./retries.js";
import type { RunFacts } from "./run-facts.js";
import { dropTables, makeTables } from "./tables.js";
import { counted, digits, listed } from "./text.js";

/** Why tasks of a run failed, from Parsl's own tables, and from collector_node_usage where that is there.
 *
 *  Reads the tables of the run once, in one transaction, and keeps what it found of the tasks that did not end well in
 *  temporary tables of this connection; it must not be `query_only`. A million tasks take seconds, so call it in a thread
 *  that has nothing else to answer. Throws a CollectorError for a run that the file does not have. */
export function why(db: Database.Database, runId: string): Why {
  try {
    return db.transaction(() => {
      const run = db
        .prepare<[string], Pick<RunFacts, "runId" | "completed" | "rundir">>(
          `SELECT run_id AS runId, time_completed AS completed, rundir FROM workflow WHERE run_id = ?`,
        )
        .get(runId);
      if (run === undefined) {
        throw new CollectorError(
          "invalid-argument",
          `say why tasks of run ${runId} failed: the file has no such run`,
        );
      }
      makeTables(db, runId);
      return whyOf(db, { ...run, sql: quoted(runId), ...outcomes(db, runId) });
    })();
  } finally {
    dropTables(db);
  }
}

type Outcomes = Pick<RunFacts, "tasks" | "failed" | "dependent" | "open">;

function outcomes(db: Database.Database, runId: string): Outcomes {
  const tasks =
    db.prepare<[string], number>("SELECT count(*) FROM task WHERE run_id = ?").pluck().get(runId) ?? 0;
  const ended = db
    .prepare<[], Omit<Outcomes, "tasks">>(
      `SELECT (SELECT count(*) FROM why_state WHERE failed) AS failed,
        (SELECT count(*) FROM why_failure WHERE finding = 'dependency') AS dependent,
        (SELECT count(*) FROM why_state WHERE NOT failed) AS open`,
    )
    .get() ?? { failed: 0, dependent: 0, open: 0 };
  return { tasks, ...ended };
}

function whyOf(db: Database.Database, run: RunFacts): Why {
  const findings = [failures, dependencies, neverEnded, blocks, retries]
    .flatMap((findingsOf) => findingsOf(db, run))
    .sort((a, b) => rank(a) - rank(b) || b.count - a.count);
  return { runId: run.runId, summary: summary(run, findings), findings };
}

function rank({ severity }: Finding): number {
  return ["failure", "warning", "note"].indexOf(severity);
}

function summary(
  { tasks, failed, dependent, open, completed }: RunFacts,
  findings: readonly Finding[],
): string {
  if (tasks === 0) return "The run has no tasks.";
  const done = tasks - failed - open;
  const parts = [
    done > 0 || failed + open === 0
      ? `${done === tasks ? "all" : digits(done)} ended well`
      : "none ended well",
    failed - dependent > 0 ? `${digits(failed - dependent)} failed` : "",
    dependent > 0 ? `${digits(dependent)} could not run since one before failed` : "",
    open > 0 ? `${digits(open)} ${completed === null ? "have no end yet" : "never ended"}` : "",
  ].filter((part) => part !== "");
  const first = findings.find(({ severity, kind }) => severity === "failure" && kind !== "dependency");
  const main =
    first === undefined ? "" : ` Most of it: ${first.title.replace(/^./, (letter) => letter.toLowerCase())}`;
  return `Of ${counted(tasks, "task")} ${listed(parts)}.${main}`;
}
