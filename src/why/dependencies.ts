import type Database from "better-sqlite3";

import type { Finding } from "../view/api.js";
import { isKindSql } from "./causes.js";
import { countsOf } from "./groups.js";
import type { RunFacts } from "./run-facts.js";
import { counted, cut, digits } from "./text.js";

/** Tasks named as the root of others' failures. */
const mostRoots = 5;

/** Each task that failed for another, with one failed task that it depends on or joins: the first. So the tasks make trees,
 *  and following them takes no longer than there are tasks, however many ways lead from one to another. */
function causeSql(failed: string, dependent: string, run: string): string {
  return `SELECT dependent.task_id, min(dependency.value) AS cause
  FROM ${dependent} dependent
    JOIN task ON task.run_id = ${run} AND task.task_id = dependent.task_id
    JOIN try ON try.run_id = ${run} AND try.task_id = dependent.task_id AND try.try_id = dependent.try_id
    JOIN json_each('[' || CASE WHEN task_fail_history GLOB 'JoinError(*' THEN task_joins ELSE task_depends END || ']') dependency
    JOIN ${failed} cause ON cause.task_id = dependency.value
  GROUP BY dependent.task_id`;
}

/** From the tasks that failed by themselves down to all that failed for them. */
const downSql = `SELECT cause, task_id FROM cause WHERE cause NOT IN (SELECT task_id FROM cause)
  UNION ALL
  SELECT down.root, cause.task_id FROM down JOIN cause ON cause.cause = down.task_id`;

/** Tasks that could not run since one before them failed. */
export function dependencies(db: Database.Database, run: RunFacts): Finding[] {
  if (run.dependent === 0) return [];
  db.exec(`
CREATE TABLE temp.why_cause (task_id INTEGER PRIMARY KEY, cause INTEGER);
INSERT INTO why_cause ${causeSql(
    "(SELECT task_id FROM why_state WHERE failed)",
    "(SELECT task_id, try_id FROM why_failure WHERE finding = 'dependency')",
    run.sql,
  )};
CREATE INDEX temp.why_cause_of ON why_cause (cause);
CREATE TABLE temp.why_root (task_id INTEGER PRIMARY KEY, root INTEGER);
INSERT INTO why_root WITH RECURSIVE cause AS (SELECT * FROM why_cause), down(root, task_id) AS (${downSql})
SELECT task_id, root FROM down;`);
  const counts = countsOf(
    db,
    `SELECT 'dependency' AS finding, failed.task_id, failed.app, root_of.text, failed.host, failed.block
    FROM why_failure failed LEFT JOIN why_root USING (task_id)
      LEFT JOIN why_failure root_of ON root_of.task_id = why_root.root AND root_of.is_last
    WHERE failed.finding = 'dependency'`,
    ["exception", "app"],
  ).get("dependency");
  if (counts === undefined) return [];
  const { detail, rootCount } = roots(db, counts.count);
  const because = `${rootCount > 1 ? "tasks" : "a task"} before ${counts.count === 1 ? "it" : "them"}`;
  return [
    {
      kind: "dependency",
      severity: "failure",
      title: `${counted(counts.count, "task")} could not run, for ${because} failed.`,
      detail,
      ...counts,
      query: query(run),
    },
  ];
}

function roots(db: Database.Database, count: number): { detail: string[]; rootCount: number } {
  const rows = db
    .prepare<[], { root: number; count: number; direct: number; app: string; text: string }>(
      `SELECT root, count(*) AS count, (SELECT count(*) FROM why_cause WHERE cause = root) AS direct,
        coalesce(app, '') AS app, coalesce(text, '') AS text
      FROM why_root LEFT JOIN why_failure failed ON failed.task_id = root AND is_last
      GROUP BY root ORDER BY 2 DESC, root`,
    )
    .all();
  const detail = rows.slice(0, mostRoots).map(({ root, count: down, direct, app, text }) => {
    const further = down > direct ? `, ${digits(direct)} of them directly` : "";
    const said = text === "" ? "" : ` with ${cut(text)}`;
    return `Task ${String(root)} (${app}) failed${said}; ${counted(down, "task")} after it did not run${further}.`;
  });
  if (rows.length > mostRoots)
    detail.push(`And ${counted(rows.length - mostRoots, "more task")} failed at the root of others.`);
  const known = rows.reduce((sum, row) => sum + row.count, 0);
  if (known < count) {
    const what = "that it depends on is in the file: it waited for a future of something else";
    detail.push(`For ${counted(count - known, "task")} no failed task ${what}.`);
  }
  if (rows.length > 1)
    detail.push("A task with several failed dependencies is counted at the first of them.");
  return { detail, rootCount: rows.length };
}

function query({ sql }: RunFacts): string {
  return `WITH RECURSIVE
failed AS MATERIALIZED (SELECT task_id, try_id FROM status
  WHERE run_id = ${sql} AND task_status_name IN ('failed', 'dep_fail')),
dependent AS MATERIALIZED (SELECT task_id, try_id FROM try JOIN failed USING (task_id, try_id)
  WHERE run_id = ${sql} AND ${isKindSql("dependency")}),
cause AS MATERIALIZED (${causeSql("failed", "dependent", sql)}),
down(root, task_id) AS (${downSql})
SELECT task_id, try_id, root AS root_task_id, task_fail_history
FROM dependent JOIN try USING (task_id, try_id) LEFT JOIN down USING (task_id)
WHERE run_id = ${sql}
ORDER BY root, task_id;`;
}
