import type Database from "better-sqlite3";

import type { Finding } from "../view/api.js";
import { countsOf } from "./groups.js";
import { fateOf, nameOf, type Place } from "./places.js";
import type { RunFacts } from "./run-facts.js";
import { isNearSql } from "./tables.js";
import { counted, digits } from "./text.js";

/** Nodes that are described one by one. */
const mostPlaces = 5;

/** Tasks of a run that have an end. */
export function endedSql(run: string): string {
  return `SELECT task_id FROM status WHERE run_id = ${run}
    AND task_status_name IN ('exec_done', 'memo_done', 'failed', 'dep_fail')`;
}

/** Whether a try began, and Parsl has not heard of its end. */
export const isRunningSql = "task_try_time_running IS NOT NULL AND task_try_time_returned IS NULL";

/** Tasks that have no end: those that began, and, once the run has ended, those that never did. */
export function neverEnded(db: Database.Database, run: RunFacts): Finding[] {
  return [...begun(db, run), ...waiting(db, run)];
}

function begun(db: Database.Database, run: RunFacts): Finding[] {
  const counts = countsOf(db, "SELECT 'open' AS finding, * FROM why_open", ["app", "host", "block"]).get(
    "open",
  );
  if (counts === undefined) return [];
  const rows = db
    .prepare<[], Place & { gone: number }>(
      `SELECT host, block, executor, count(*) AS count,
        EXISTS (SELECT 1 FROM why_node WHERE why_node.host = why_open.host AND why_node.block = why_open.block)
          AND NOT EXISTS (SELECT 1 FROM why_node WHERE why_node.host = why_open.host
            AND why_node.block = why_open.block AND active) AS gone
      FROM why_open GROUP BY host, block, executor ORDER BY gone DESC, count(*) DESC`,
    )
    .all();
  const gone = rows.reduce((sum, row) => sum + (row.gone === 1 ? row.count : 0), 0);
  const { completed } = run;
  const isOver = completed !== null;
  const detail = rows
    .slice(0, mostPlaces)
    .map((place) => `${counted(place.count, "task")} on ${nameOf(place)}: ${fateOf(db, place, completed)}.`);
  if (rows.length > mostPlaces) {
    detail.push(`And on ${counted(rows.length - mostPlaces, "more node")}, which the query shows.`);
  }
  const ended = numberOf(db, "SELECT count(*) FROM why_open WHERE is_ended");
  if (ended > 0) {
    detail.push(`${digits(ended)} of them ended on their worker, but Parsl did not hear of the result.`);
  }
  const full = numberOf(
    db,
    `SELECT count(*) FROM why_memory JOIN why_open USING (task_id, try_id) WHERE ${isNearSql}`,
  );
  if (full > 0)
    detail.push(
      `For ${digits(full)} of them, the memory of the node was nearly full when it was last sampled.`,
    );
  if (!isOver) detail.push("The file has no end of the run: it runs still, or its program was killed.");
  return [
    {
      kind: "never-ended",
      severity: isOver || gone > 0 ? "failure" : "note",
      title: isOver
        ? `${counted(counts.count, "task")} began and never ended.`
        : `${counted(counts.count, "task")} began and ${counts.count === 1 ? "has" : "have"} not ended so far${gone > 0 ? `, ${digits(gone)} of them on nodes that are gone` : ""}.`,
      detail,
      ...counts,
      query: `SELECT task_id, try_id, task_func_name, try.hostname, try.block_id, task_try_time_running,
  last_heartbeat, block_status
FROM task JOIN try USING (run_id, task_id)
  LEFT JOIN (SELECT hostname, block_id, max(last_heartbeat) AS last_heartbeat FROM node
    WHERE run_id = ${run.sql} GROUP BY hostname, block_id) USING (hostname, block_id)
  LEFT JOIN (SELECT executor_label, block_id, status AS block_status, max(timestamp) FROM block
    WHERE run_id = ${run.sql} GROUP BY executor_label, block_id) last ON last.block_id = try.block_id
    AND executor_label = task_executor
WHERE run_id = ${run.sql} AND ${isRunningSql}
  AND task_id NOT IN (${endedSql(run.sql)})
ORDER BY task_id;`,
    },
  ];
}

/** In a run that goes on tasks wait, which is no finding. */
function waiting(db: Database.Database, { completed, sql }: RunFacts): Finding[] {
  if (completed === null) return [];
  const source = `SELECT 'waiting' AS finding, task_id, task_func_name AS app, launched FROM why_state
    JOIN task USING (task_id) WHERE run_id = ${sql} AND NOT failed AND task_id NOT IN (SELECT task_id FROM why_open)`;
  const counts = countsOf(db, source, ["app"]).get("waiting");
  if (counts === undefined) return [];
  const launched = numberOf(db, `SELECT count(*) FROM (${source}) WHERE launched`);
  const pending = counts.count - launched;
  return [
    {
      kind: "never-ended",
      severity: "failure",
      title: `${counted(counts.count, "task")} still waited when the run ended.`,
      detail: [
        ...(launched > 0
          ? [
              `${counted(launched, "task")} had been given to an executor, and no worker had taken it up or was to try it again.`,
            ]
          : []),
        ...(pending > 0 ? [`${counted(pending, "task")} waited for the tasks that they depend on.`] : []),
      ],
      ...counts,
      query: `SELECT task_id, task_func_name, task_time_invoked, task_depends
FROM task
WHERE run_id = ${sql}
  AND task_id NOT IN (${endedSql(sql)})
  AND task_id NOT IN (SELECT task_id FROM try WHERE run_id = ${sql} AND ${isRunningSql})
ORDER BY task_id;`,
    },
  ];
}

function numberOf(db: Database.Database, sql: string): number {
  return db.prepare<[], number>(sql).pluck().get() ?? 0;
}
