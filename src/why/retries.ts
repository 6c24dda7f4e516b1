import type Database from "better-sqlite3";

import type { Finding } from "../view/api.js";
import { countsOf } from "./groups.js";
import type { RunFacts } from "./run-facts.js";
import { counted, digits } from "./text.js";

const triedSql = `SELECT task_id, try_id, hostname, block_id, task_executor, task_fail_history
FROM try`;

/** Tasks that were tried more than once: those that a retry saved, and those that it did not. */
export function retries(db: Database.Database, { runId, sql }: RunFacts): Finding[] {
  const counts = countsOf(
    db,
    `SELECT CASE WHEN state.task_id IS NULL THEN 'helped' WHEN state.failed THEN 'in vain' END AS finding,
      failure.* FROM why_failure failure LEFT JOIN why_state state USING (task_id)
    WHERE state.task_id IS NULL OR (state.failed AND EXISTS (SELECT 1 FROM why_failure last
      WHERE last.task_id = failure.task_id AND last.is_last AND last.try_id > 0))`,
  );
  const helped = counts.get("helped");
  const inVain = counts.get("in vain");
  const findings: Finding[] = [];
  if (helped !== undefined) {
    const elsewhere =
      db
        .prepare<[string], number>(
          `SELECT count(DISTINCT failure.task_id) FROM why_failure failure
            JOIN try next ON next.run_id = ? AND next.task_id = failure.task_id AND next.try_id = failure.try_id + 1
          WHERE failure.task_id NOT IN (SELECT task_id FROM why_state)
            AND next.task_fail_history = '' AND next.hostname <> failure.host`,
        )
        .pluck()
        .get(runId) ?? 0;
    findings.push({
      kind: "retry-helped",
      severity: "note",
      title: `${counted(helped.count, "task")} failed at first and ended well when tried again.`,
      detail: elsewhere === 0 ? [] : [`${digits(elsewhere)} of them on another node than before.`],
      ...helped,
      query: `${triedSql}
WHERE run_id = ${sql} AND task_fail_history <> ''
  AND EXISTS (SELECT 1 FROM status WHERE status.run_id = try.run_id AND status.task_id = try.task_id
    AND task_status_name IN ('exec_done', 'memo_done'))
ORDER BY task_id, try_id;`,
    });
  }
  if (inVain !== undefined) {
    const same =
      db
        .prepare<[], number>(
          `SELECT count(*) FROM (SELECT task_id FROM why_failure JOIN why_state USING (task_id) WHERE failed
          GROUP BY task_id HAVING max(try_id) > 0 AND count(DISTINCT exception) = 1 AND max(is_last))`,
        )
        .pluck()
        .get() ?? 0;
    findings.push({
      kind: "retry-did-not-help",
      severity: "note",
      title: `${counted(inVain.count, "task")} failed in spite of more than one try.`,
      detail:
        same === 0
          ? []
          : [
              `${same === inVain.count ? "Each" : digits(same)} failed by the same exception each time: trying again will hardly help.`,
            ],
      ...inVain,
      query: `${triedSql} JOIN (SELECT task_id FROM status WHERE run_id = ${sql}
    AND task_status_name IN ('failed', 'dep_fail') AND try_id > 0) USING (task_id)
WHERE run_id = ${sql}
ORDER BY task_id, try_id;`,
    });
  }
  return findings;
}
