import { copyFileSync } from "node:fs";
import { join } from "node:path";

import Database from "better-sqlite3";
import test from "ava";

import { taskInfo } from "../support/builders.js";
import { openDatabase } from "../support/database.js";
import { envelopeOf, newSenderId } from "../support/encoded.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { acknowledgementsOf, openWriter } from "../support/writer.js";

/** What readers of a large file ask: users, and the pages of parsl-visualize, word for word as Parsl has them. */
const queries = {
  "all states of all tries": `SELECT task.task_id, task_func_name, hostname, task_status_name, timestamp
    FROM task JOIN try USING (run_id, task_id) JOIN status USING (run_id, task_id, try_id) WHERE run_id = 'run-a'`,
  "the state of each task": "SELECT * FROM collector_task_state WHERE run_id = 'run-a'",
  "tries of a workflow": `SELECT task.task_id, task_func_name, task_time_returned, task_try_time_running, task_try_time_returned
    FROM task, try WHERE task.task_id = try.task_id AND task.run_id='run-a' AND try.run_id='run-a'`,
  "tries by resource usage": `SELECT task.task_id, task_func_name,
    task_try_time_launched, task_try_time_running, task_try_time_returned from task, try
    WHERE task.task_id = try.task_id AND task.run_id='run-a' and try.run_id=task.run_id`,
  "the last try of each task": `SELECT task.task_id, task_func_name, hostname FROM task JOIN try USING (run_id, task_id)
  WHERE try_id = (SELECT max(try_id) FROM try other WHERE other.run_id = task.run_id AND other.task_id = task.task_id)`,
  "the graph of tasks": `SELECT task.task_id, task.task_func_name, task.task_depends, status.task_status_name
    FROM task LEFT JOIN status
    ON task.task_id = status.task_id
    AND task.run_id = status.run_id
    AND status.timestamp = (SELECT MAX(status.timestamp)
                            FROM status
                            WHERE status.task_id = task.task_id and status.run_id = task.run_id)
    WHERE task.run_id='run-a'`,
};

/** Our views, each of which reads a table once or twice more. */
const queriesOfViews = {
  "a task": "SELECT * FROM collector_view_task WHERE run_id = 'run-a' AND task_id = 77",
  "each application": `SELECT app, state, count(*), sum(running_seconds) FROM collector_view_task
    WHERE run_id = 'run-a' GROUP BY app, state`,
  "each run": "SELECT * FROM collector_view_run",
};

/** Of one task, for which no table may be read through. */
const queriesOfTask = {
  "a task": "SELECT * FROM task WHERE run_id = 'run-a' AND task_id = '77' LIMIT 1 OFFSET 0",
  "states of a task": "SELECT * FROM status WHERE run_id = 'run-a' AND task_id = '77' ORDER BY timestamp",
  "samples of a task": "SELECT * FROM resource WHERE run_id='run-a' AND task_id='77'",
};

const tasks = 100_000;

/** Fills the file as a run of 100,000 tasks does, with five states and a sample each. */
function fill(path: string): void {
  openWriter(path).close(); // makes the tables
  const db = new Database(path);
  const time = "'2026-03-01 12:00:00.000000'";
  db.transaction(() => {
    db.exec(`
      CREATE TEMP TABLE n AS
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${String(tasks - 1)}) SELECT i FROM n;
      INSERT INTO workflow VALUES ('run-a', 'demo', '1', ${time}, NULL, 'submit', 'ada', '/runs/000', 0, 0);
      INSERT INTO task (task_id, run_id, task_func_name, task_memoize, task_fail_count, task_fail_cost)
        SELECT i, 'run-a', 'app' || (i % 10), '0', 0, 0 FROM n;
      INSERT INTO try (try_id, task_id, run_id, task_executor, hostname) SELECT 0, i, 'run-a', 'htex', 'n1' FROM n;
      INSERT INTO status SELECT i, state.value, '2026-03-01 12:00:0' || state.key || '.000000', 'run-a', 0
        FROM n, json_each('["pending", "launched", "running", "running_ended", "exec_done"]') state;
      INSERT INTO resource (try_id, task_id, run_id, timestamp) SELECT 0, i, 'run-a', ${time} FROM n;
    `);
  })();
  db.close();
}

/** Steps that read a whole table again for each row of another: the way of 100,000 tasks to hours. */
function nestedScans(plan: readonly string[]): string[] {
  const reads = plan.filter((step) => /^(SCAN|SEARCH) /.test(step));
  return reads.slice(1).filter((step) => step.startsWith("SCAN ") && !step.includes("collector_task_state"));
}

test("case 59: at 100,000 tasks what users and Parsl's viewer ask is found by index, in a copy of the file too", (t) => {
  const folder = temporaryDirectory(t);
  const path = join(folder, "monitoring.db");
  fill(path);
  openWriter(path).close();
  const copy = join(folder, "copy.db");
  copyFileSync(path, copy);
  const db = openDatabase(t, copy);
  const planOf = (query: string): string[] =>
    db.rows(`EXPLAIN QUERY PLAN ${query}`).map(({ detail }) => String(detail));

  t.is(db.value("PRAGMA integrity_check"), "ok");
  t.is(db.count("status"), 5 * tasks);
  for (const [name, query] of Object.entries(queries)) {
    t.deepEqual(nestedScans(planOf(query)), [], name);
    const began = performance.now();
    const rows = Number(db.value(`SELECT count(*) FROM (${query})`));
    t.true(rows >= tasks, `${name}: ${String(rows)} rows`);
    t.log(`${name}: ${(performance.now() - began).toFixed(0)} ms`);
  }
  // By a measure of this machine: what reads a table again for each task would take a thousand times as long.
  const cpuOf = (query: string): number => {
    const before = process.cpuUsage();
    t.true(db.rows(query).length > 0, query);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  };
  const joinMs = cpuOf(`SELECT count(*) FROM (${queries["all states of all tries"]})`);
  for (const [name, query] of Object.entries(queriesOfViews)) {
    const ms = cpuOf(query);
    t.log(`${name}: ${ms.toFixed(0)} ms of CPU`);
    t.true(
      ms < 30 * joinMs,
      `${name}: ${ms.toFixed(0)} ms, ${joinMs.toFixed(0)} ms for the join of tasks, tries and states`,
    );
  }
  for (const [name, query] of Object.entries(queriesOfTask)) {
    const plan = planOf(query);
    t.true(
      plan.some((step) => step.startsWith("SEARCH ")) && !plan.some((step) => step.startsWith("SCAN ")),
      name,
    );
    t.true(db.rows(query).length > 0, name);
  }
});

test("case 59: in the file of a collector that runs, what asks for the last try of each task finds it by index", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  t.teardown(() => writer.close());
  const senderId = newSenderId();

  for (let first = 1; first <= 10_000; first += 500) {
    const messages = Array.from({ length: 500 }, (_, n) => taskInfo({ taskId: first + n }));
    acknowledgementsOf(writer, [envelopeOf(messages, { senderId, first })]);
  }

  const plan = openDatabase(t, path)
    .rows(`EXPLAIN QUERY PLAN ${queries["the last try of each task"]}`)
    .map(({ detail }) => String(detail));
  t.regex(plan.find((step) => step.startsWith("SEARCH other ")) ?? "", /task_id=\?/, plan.join("\n"));
});
