import type { Row } from "./database.js";

/** What two databases that were told the same must have in common, of each table: all but numbers that rows are given,
 *  and times of receipt. */
const selects: Readonly<Record<string, string>> = {
  workflow: `SELECT run_id, workflow_name, workflow_version, time_began, time_completed, host, "user", rundir,
    tasks_failed_count, tasks_completed_count FROM workflow`,
  task: `SELECT task_id, run_id, task_depends, task_func_name, replace(replace(task_memoize, 'true', '1'), 'false', '0')
    AS task_memoize, task_hashsum, task_inputs, task_outputs, task_stdin, task_stdout, task_stderr, task_time_invoked,
    task_time_returned, task_fail_count, task_fail_cost FROM task`,
  try: "SELECT * FROM try",
  status: "SELECT * FROM status",
  block: "SELECT * FROM block",
  resource: "SELECT * FROM resource",
  node: `SELECT run_id, hostname, uid, block_id, cpu_count, total_memory, active, worker_count, python_v, timestamp,
    last_heartbeat FROM node`,
  collector_node_usage: "SELECT * FROM collector_node_usage",
  collector_moved: "SELECT * FROM collector_moved",
  // Without heard_from_us: once the start is heard, it is written only together with something else.
  collector_run: "SELECT run_id, HEX(versions) AS versions FROM collector_run",
  collector_task: `SELECT run_id, task_id, HEX(said.versions) AS versions
    FROM collector_task said JOIN collector_run ON collector_run.id = run`,
  collector_try: `SELECT run_id, task_id, try_id, HEX(said.versions) AS versions, held_time_running, held_block_id,
    held_hostname FROM collector_try said JOIN collector_run ON collector_run.id = run`,
  collector_run_owner: "SELECT * FROM collector_run_owner",
  collector_sender: `SELECT sender_id, run_id, hostname, utc_offset_seconds, last_sequence, stored, rejected, repeated,
    duplicate_rows FROM collector_sender`,
  ...Object.fromEntries(
    [
      ["collector_sequence", "first, last"],
      ["collector_lost", "kind, first, last"],
      ["collector_sender_run", "part.run_id"],
      ["collector_sender_radio", "radio, received"],
    ].map(([table = "", columns = ""]) => [
      table,
      `SELECT sender_id, ${columns} FROM ${table} part JOIN collector_sender ON collector_sender.id = sender`,
    ]),
  ),
  collector_rejected:
    "SELECT sender_id, sequence, run_id, kind, reason, HEX(message) AS message FROM collector_rejected",
};

/** These tables, each row as text, sorted. */
export async function comparableTables(
  query: (sql: string) => Row[] | Promise<Row[]>,
): Promise<Record<string, string[]>> {
  const tables: Record<string, string[]> = {};
  for (const [table, select] of Object.entries(selects)) {
    const rows = await query(select);
    tables[table] = rows.map((row) => JSON.stringify(row, Object.keys(row).sort())).sort();
  }
  return tables;
}
