import type Database from "better-sqlite3";

import type { Finding } from "../view/api.js";

/** What is counted the same way for each finding. */
export type Counts = Pick<Finding, "count" | "tasks" | "groups">;

/** Tasks of a finding that are named; more are only counted. */
const mostTasks = 20;

/** Values of a group that are told, the most frequent ones, and their length in characters. */
const mostValues = 20;
const longestValue = 200;

const groupColumns = { exception: "text", app: "app", host: "host", block: "block" } as const;

type GroupName = keyof typeof groupColumns;
type Value = { readonly value: string; readonly count: number };

/** Counts of each finding: `source` is a select of finding, task_id and some of text, app, host and block. */
export function countsOf(
  db: Database.Database,
  source: string,
  by: readonly GroupName[] = ["exception", "app", "host", "block"],
): Map<string, Counts> {
  const counts = new Map<string, Counts & { readonly groups: Partial<Record<GroupName, Value[]>> }>();
  const totals = db
    .prepare<[], { finding: string; count: number }>(
      `SELECT finding, count(DISTINCT task_id) AS count FROM (${source}) WHERE finding IS NOT NULL GROUP BY finding`,
    )
    .all();
  const firstTasks = db
    .prepare<[string], number>(
      `SELECT DISTINCT task_id FROM (${source}) WHERE finding = ? ORDER BY task_id LIMIT ${String(mostTasks)}`,
    )
    .pluck();
  for (const { finding, count } of totals) {
    counts.set(finding, { count, tasks: firstTasks.all(finding), groups: {} });
  }
  for (const group of by) {
    for (const { finding, value, count } of frequentValues(db, source, groupColumns[group])) {
      const of = counts.get(finding);
      if (of !== undefined) (of.groups[group] ??= []).push({ value, count });
    }
  }
  return counts;
}

function frequentValues(
  db: Database.Database,
  source: string,
  column: string,
): { finding: string; value: string; count: number }[] {
  return db
    .prepare<[], { finding: string; value: string; count: number }>(
      `SELECT finding, value, count FROM (
        SELECT finding, value, count, row_number() OVER (PARTITION BY finding ORDER BY count DESC, value) AS place FROM (
          SELECT finding, substr(${column}, 1, ${String(longestValue)}) AS value, count(DISTINCT task_id) AS count
          FROM (${source}) WHERE finding IS NOT NULL AND ${column} <> '' GROUP BY 1, 2))
      WHERE place <= ${String(mostValues)} ORDER BY finding, place`,
    )
    .all();
}
