import type Database from "better-sqlite3";

import { exceptionSql, exitCodeSql, kindSql, ofThePlace, quoted } from "./causes.js";

/** Exceptions that are told one by one; the rest is told together. */
export const mostExceptions = 10;

/** Exit codes of a bash app whose program was killed by SIGKILL: of its child as a shell says it, or of the shell itself. */
const killedCodes = [137, -9];

/** From which share of a node's memory on its killer is near. By the samples of tasks: these come each 30 s as a rule and
 *  leave out what else runs there, so this is well below all of it. By those of the whole node, which say more. */
const nearByTasks = 0.8;
const nearByNode = 0.9;

/** How long before its end samples tell of a try, in minutes: a few at the default interval of 30 s. The last one alone does
 *  not, for Parsl samples a process also while it is taken down, and when it is gone but for its entry. */
export const minutesBefore = 2;

const prefix = "temp.why_";

/** How far a status says that a task is: given to an executor, failed, ended well. */
const stageSql = `CASE task_status_name WHEN 'exec_done' THEN 3 WHEN 'memo_done' THEN 3 WHEN 'failed' THEN 2
  WHEN 'dep_fail' THEN 2 WHEN 'launched' THEN 1 ELSE 0 END`;

/** Failures that a full memory may explain, as a condition on why_failure. */
const suspectSql = `finding IN (${[
  "lost-worker",
  "lost-node",
  ...killedCodes.map((code) => `exit-code:${String(code)}`),
]
  .map(quoted)
  .join(", ")})`;

/** The node of ManagerLost(b'0e1f', 'node1'): a task that waited for a worker there has no other word of it. */
const lostHostSql = `CASE WHEN task_fail_history GLOB 'ManagerLost(*'
    THEN rtrim(substr(task_fail_history, instr(task_fail_history, ''', ''') + 4), ''')') END`;

/** Tables of this connection's own, each filled by one pass over a table of Parsl, so that what follows need not read a
 *  million rows again. All are gone after `dropTables`.
 *
 *  - why_state: tasks that did not end well, and whether they failed and were given to an executor;
 *  - why_failure: tries that failed, and by what. `finding` is the finding they are counted in, if any;
 *  - why_open: tries that began and have no end;
 *  - why_node, why_block: what became of nodes and blocks;
 *  - why_memory: the memory before the end of tries that may have been killed for it. */
export function makeTables(db: Database.Database, runId: string): void {
  dropTables(db);
  const run = quoted(runId);
  db.exec(`
CREATE TABLE ${prefix}state (task_id INTEGER PRIMARY KEY, failed INTEGER, launched INTEGER);
INSERT INTO why_state
SELECT task_id, max(${stageSql}) = 2, max(${stageSql}) >= 1 FROM status WHERE run_id = ${run}
GROUP BY task_id HAVING max(${stageSql}) < 3;

CREATE TABLE ${prefix}failure (task_id INTEGER, try_id INTEGER, app TEXT, executor TEXT, host TEXT, block TEXT, text TEXT,
  exception TEXT, code INTEGER, kind TEXT, is_last INTEGER, running TEXT, returned TEXT, finding TEXT);
INSERT INTO why_failure
SELECT task_id, try_id, task_func_name, task_executor, coalesce(hostname, ${lostHostSql}), block_id,
  coalesce(task_fail_history, ''),
  ${exceptionSql}, ${exitCodeSql}, ${kindSql},
  coalesce(failed, 0) AND NOT EXISTS (SELECT 1 FROM try later WHERE later.run_id = try.run_id
    AND later.task_id = try.task_id AND later.try_id = try.try_id + 1),
  task_try_time_running, task_try_time_returned, NULL
FROM try LEFT JOIN why_state USING (task_id) JOIN task USING (run_id, task_id)
WHERE run_id = ${run} AND (task_fail_history <> '' OR failed);
DELETE FROM why_failure WHERE text = '' AND NOT is_last;
UPDATE why_failure SET finding = CASE WHEN kind IN (${ofThePlace.map(quoted).join(", ")}) THEN kind
  WHEN NOT is_last THEN NULL
  WHEN kind = 'exit-code' THEN 'exit-code:' || code
  WHEN kind = 'exception' THEN 'exception:' || exception
  ELSE kind END;
UPDATE why_failure SET finding = 'other-exceptions' WHERE kind = 'exception' AND is_last AND exception NOT IN (
  SELECT exception FROM why_failure WHERE kind = 'exception' AND is_last
  GROUP BY exception ORDER BY count(*) DESC, exception LIMIT ${String(mostExceptions)});

CREATE TABLE ${prefix}open (task_id INTEGER PRIMARY KEY, try_id INTEGER, app TEXT, executor TEXT, host TEXT, block TEXT,
  running TEXT, is_ended INTEGER);
INSERT INTO why_open
SELECT task_id, try_id, task_func_name, task_executor, hostname, block_id, task_try_time_running,
  EXISTS (SELECT 1 FROM status WHERE status.run_id = try.run_id AND status.task_id = try.task_id
    AND task_status_name = 'running_ended' AND status.try_id = try.try_id)
FROM try JOIN why_state USING (task_id) JOIN task USING (run_id, task_id)
WHERE run_id = ${run} AND NOT failed AND task_try_time_running IS NOT NULL AND task_try_time_returned IS NULL
ON CONFLICT DO UPDATE SET try_id = excluded.try_id, host = excluded.host, block = excluded.block,
  running = excluded.running, is_ended = excluded.is_ended WHERE excluded.try_id > try_id;

CREATE TABLE ${prefix}node (host TEXT, block TEXT, uid TEXT, bytes INTEGER, heartbeat TEXT, active INTEGER, at TEXT);
INSERT INTO why_node
SELECT hostname, block_id, uid, max(total_memory), max(last_heartbeat), min(active), max(timestamp)
FROM node WHERE run_id = ${run} AND active = 0 GROUP BY hostname, block_id, uid;
INSERT INTO why_node
SELECT hostname, block_id, uid, total_memory, last_heartbeat, active, timestamp FROM node
WHERE id IN (SELECT max(id) FROM node WHERE run_id = ${run} AND uid NOT IN (SELECT uid FROM why_node)
  AND hostname IN (SELECT host FROM why_open UNION SELECT host FROM why_failure WHERE ${suspectSql}) GROUP BY uid);

CREATE TABLE ${prefix}block (executor TEXT, block TEXT, job TEXT, status TEXT, at TEXT);
INSERT INTO why_block
SELECT executor_label, block_id, job_id, status, max(timestamp)
FROM block WHERE run_id = ${run} GROUP BY executor_label, block_id;

CREATE TABLE ${prefix}memory (task_id INTEGER, try_id INTEGER, host TEXT, sampled TEXT, tasks INTEGER, own_bytes INTEGER,
  tasks_bytes INTEGER, used_share REAL, node_bytes INTEGER, PRIMARY KEY (task_id, try_id));
CREATE TABLE ${prefix}suspect AS
SELECT task_id, try_id, host AS hostname, block AS block_id, ${run} AS run_id, running AS task_try_time_running,
  returned AS task_try_time_returned
FROM why_failure WHERE ${suspectSql} AND running IS NOT NULL;
INSERT INTO why_suspect SELECT task_id, try_id, host, block, ${run}, running, NULL FROM why_open;
CREATE TABLE ${prefix}beside AS
SELECT task_id, try_id, run_id, hostname, task_try_time_running, task_try_time_returned, ${reachSql} AS reach FROM try
WHERE run_id = ${run} AND hostname IN (SELECT hostname FROM why_suspect) AND task_try_time_running IS NOT NULL;
CREATE INDEX ${prefix}beside_at ON why_beside (hostname, reach, task_try_time_running);
CREATE TABLE ${prefix}span AS SELECT DISTINCT hostname, reach FROM why_beside;
INSERT INTO why_memory ${memorySql(db, {
    suspects: "SELECT * FROM why_suspect",
    // In this order: SQLite does not know how few spans there are.
    beside: `CROSS JOIN why_span span ON span.hostname = killed.hostname
    CROSS JOIN why_beside beside ON beside.reach = span.reach
      AND beside.task_try_time_running >= strftime('%Y-%m-%d %H:%M:%f', julianday(sampled) - span.reach) AND`,
    nodes: "SELECT host AS hostname, max(bytes) AS bytes FROM why_node GROUP BY host",
  })};
UPDATE why_failure SET kind = 'out-of-memory', finding = 'memory-killer'
WHERE finding IN ('lost-worker', ${killedCodes.map((code) => `'exit-code:${String(code)}'`).join(", ")})
  AND (task_id, try_id) IN (SELECT task_id, try_id FROM why_memory WHERE ${isNearSql});
CREATE INDEX ${prefix}failure_of ON why_failure (finding, task_id);
CREATE INDEX ${prefix}failure_task ON why_failure (task_id, try_id);`);
}

export function dropTables(db: Database.Database): void {
  const names = db
    .prepare<[], string>("SELECT name FROM temp.sqlite_master WHERE type = 'table' AND name GLOB 'why_*'")
    .pluck()
    .all();
  for (const name of names) db.exec(`DROP TABLE temp.${name}`);
}

/** Days that a try took, rounded up to a power of 4 times a second. So those that were running at a time are found among
 *  those that began not longer than that before, however long another took. One without an end may reach anywhere. */
const reachSql = `CASE ${Array.from({ length: 10 }, (_, power) => 4 ** power)
  .map(
    (seconds) =>
      `WHEN (julianday(task_try_time_returned) - julianday(task_try_time_running)) * 86400 < ${String(seconds)} - 0.01 THEN ${String(seconds)} / 86400.0`,
  )
  .join(" ")} ELSE 36525.0 END`;

/** Whether a row of memorySql says that the node's memory was nearly used up. */
export const isNearSql = `(tasks_bytes >= ${String(nearByTasks)} * node_bytes OR used_share >= ${String(nearByNode)})`;

/** Tries that SIGKILL may have ended, as a condition on a row of try whose task's failure is at hand. */
export const killedSql = `(task_fail_history GLOB 'WorkerLost(*' OR ((${killedCodes
  .map((code) => `task_fail_history GLOB 'BashExitFailure(*, ${String(code)})'`)
  .join(
    " OR ",
  )}) AND EXISTS (SELECT 1 FROM status WHERE status.run_id = try.run_id AND status.task_id = try.task_id
      AND task_status_name = 'failed' AND status.try_id = try.try_id)))`;

/** Of each suspect, what it and the tries beside it on its node had in memory at its largest sample shortly before the end, in bytes, and what the
 *  whole node had in its last minutes, where an agent samples nodes. A select of the columns of why_memory. */
export function memorySql(
  db: Database.Database,
  { suspects, beside, nodes }: { suspects: string; beside: string; nodes: string },
): string {
  const hasUsage =
    db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'collector_node_usage'").get() !== undefined;
  const used = hasUsage
    ? `(SELECT max(1 - memory_available_bytes / memory_total_bytes) FROM collector_node_usage usage
    WHERE usage.hostname = killed.hostname
      AND usage.timestamp >= max(task_try_time_running,
        datetime(coalesce(task_try_time_returned, sampled), '-${String(minutesBefore)} minutes'))
      AND usage.timestamp <= coalesce(task_try_time_returned, '9'))`
    : "NULL";
  return `WITH killed AS MATERIALIZED (
  SELECT try.*, (SELECT timestamp FROM resource WHERE resource.run_id = try.run_id
    AND resource.task_id = try.task_id AND resource.try_id = try.try_id
    AND timestamp >= (SELECT datetime(max(timestamp), '-${String(minutesBefore)} minutes') FROM resource
      WHERE resource.run_id = try.run_id AND resource.task_id = try.task_id AND resource.try_id = try.try_id)
    ORDER BY psutil_process_memory_resident DESC LIMIT 1) AS sampled
  FROM (${suspects}) try),
there AS (
  SELECT killed.task_id, killed.try_id, beside.task_id = killed.task_id AS is_own,
    (SELECT psutil_process_memory_resident FROM resource WHERE resource.run_id = beside.run_id
      AND resource.task_id = beside.task_id AND resource.try_id = beside.try_id AND resource.timestamp <= sampled
      ORDER BY timestamp DESC LIMIT 1) AS bytes
  FROM killed ${beside} beside.run_id = killed.run_id AND beside.hostname = killed.hostname
    AND beside.task_try_time_running <= sampled
    AND (beside.task_try_time_returned IS NULL OR beside.task_try_time_returned >= sampled)),
node_memory AS MATERIALIZED (${nodes})
SELECT killed.task_id, killed.try_id, killed.hostname, sampled, count(there.bytes) AS tasks,
  max(CASE WHEN is_own THEN there.bytes END) AS own_bytes, sum(there.bytes) AS tasks_bytes,
  ${used} AS used_share, node_memory.bytes AS node_bytes
FROM killed LEFT JOIN there ON there.task_id = killed.task_id AND there.try_id = killed.try_id
  LEFT JOIN node_memory ON node_memory.hostname = killed.hostname
GROUP BY killed.task_id, killed.try_id`;
}
