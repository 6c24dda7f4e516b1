import type Database from "better-sqlite3";

import type { Finding } from "../view/api.js";
import { countsOf } from "./groups.js";
import { blockName, statusWords } from "./places.js";
import type { RunFacts } from "./run-facts.js";
import { endedSql, isRunningSql } from "./never-ended.js";
import { counted, digits, listed, second } from "./text.js";

/** Last states of a block that a user should know of, and what to do. TIMEOUT is how many pilot jobs are meant to end. */
const told: Readonly<Record<string, { readonly severity: Finding["severity"]; readonly detail: string }>> = {
  FAILED: {
    severity: "warning",
    detail:
      "The batch system could not start its job, or says that it failed: its output is in submit_scripts of the run's directory.",
  },
  MISSING: {
    severity: "warning",
    detail:
      "Its job ended, and no worker had come: `worker_init` fails there, Parsl is missing or of another version, or the " +
      "nodes cannot reach the address that the executor listens on. Its output is in submit_scripts of the run's directory.",
  },
  CANCELLED: { severity: "warning", detail: "Somebody, or the batch system, cancelled the job." },
  HELD: {
    severity: "warning",
    detail: "The batch system keeps the job from starting and says why (condor_q -hold, squeue).",
  },
  TIMEOUT: {
    severity: "note",
    detail:
      "The job's wall time was over. Tasks that ran then are lost, and tried again if `retries` allow it.",
  },
};

/** Blocks named in one finding. */
const mostBlocks = 10;

/** Blocks that did not end as meant, by their last state, and the tasks whose tries failed or never ended there. */
export function blocks(db: Database.Database, { sql }: RunFacts): Finding[] {
  const counts = countsOf(
    db,
    `SELECT status AS finding, task_id, app, host, block FROM (
      SELECT status, task_id, app, host, block FROM why_block JOIN why_failure USING (executor, block)
      UNION SELECT status, task_id, app, host, block FROM why_block JOIN why_open USING (executor, block))`,
    ["app", "host", "block"],
  );
  const last = db.prepare<[string], { block: string; job: string | null; executor: string; at: string }>(
    "SELECT block, job, executor, at FROM why_block WHERE status = ? ORDER BY at, block",
  );
  return Object.entries(told).flatMap(([status, { severity, detail }]) => {
    const rows = last.all(status);
    if (rows.length === 0) return [];
    const of = counts.get(status) ?? { count: 0, tasks: [], groups: {} };
    const named = rows.slice(0, mostBlocks).map((row) => `${blockName(row)} at ${second(row.at)}`);
    const more = rows.length > mostBlocks ? [`${digits(rows.length - mostBlocks)} more`] : [];
    return [
      {
        kind: "block" as const,
        severity,
        title: `${counted(rows.length, "block")} ${statusWords[status] ?? ""} (${status})${of.count === 0 ? "" : `, with ${counted(of.count, "task")} of which a try failed or has no end`}.`,
        detail: [`${listed([...named, ...more]).replace(/^./, (letter) => letter.toUpperCase())}.`, detail],
        ...of,
        query: query(sql, status),
      },
    ];
  });
}

function query(run: string, status: string): string {
  return `SELECT executor_label, last.block_id, job_id, status, at, hostname, task_id, try_id, task_fail_history
FROM (SELECT executor_label, block_id, job_id, status, max(timestamp) AS at FROM block
  WHERE run_id = ${run} GROUP BY executor_label, block_id) last
  LEFT JOIN try ON try.run_id = ${run} AND try.block_id = last.block_id AND task_executor = executor_label
    AND (task_fail_history <> '' OR (${isRunningSql}
    AND task_id NOT IN (${endedSql(run)})))
WHERE status = '${status}'
ORDER BY at, task_id, try_id;`;
}
