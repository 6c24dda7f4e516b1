/** Parsl's tables, word for word as Parsl 2026.10.26 makes them, so that its tools read our file and its
 *  own database manager can go on with it. */
export const parslSchema: Readonly<Record<string, string>> = {
  workflow: `CREATE TABLE workflow (
	run_id TEXT NOT NULL, 
	workflow_name TEXT, 
	workflow_version TEXT, 
	time_began DATETIME NOT NULL, 
	time_completed DATETIME, 
	host TEXT NOT NULL, 
	user TEXT NOT NULL, 
	rundir TEXT NOT NULL, 
	tasks_failed_count INTEGER NOT NULL, 
	tasks_completed_count INTEGER NOT NULL, 
	PRIMARY KEY (run_id)
)`,
  task: `CREATE TABLE task (
	task_id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	task_depends TEXT, 
	task_func_name TEXT NOT NULL, 
	task_memoize TEXT NOT NULL, 
	task_hashsum TEXT, 
	task_inputs TEXT, 
	task_outputs TEXT, 
	task_stdin TEXT, 
	task_stdout TEXT, 
	task_stderr TEXT, 
	task_time_invoked DATETIME, 
	task_time_returned DATETIME, 
	task_fail_count INTEGER NOT NULL, 
	task_fail_cost FLOAT NOT NULL, 
	PRIMARY KEY (task_id, run_id)
)`,
  try: `CREATE TABLE try (
	try_id INTEGER NOT NULL, 
	task_id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	block_id TEXT, 
	hostname TEXT, 
	task_executor TEXT NOT NULL, 
	task_try_time_launched DATETIME, 
	task_try_time_running DATETIME, 
	task_try_time_returned DATETIME, 
	task_fail_history TEXT, 
	task_joins TEXT, 
	PRIMARY KEY (try_id, task_id, run_id)
)`,
  node: `CREATE TABLE node (
	id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	hostname TEXT NOT NULL, 
	uid TEXT NOT NULL, 
	block_id TEXT NOT NULL, 
	cpu_count INTEGER NOT NULL, 
	total_memory BIGINT NOT NULL, 
	active BOOLEAN NOT NULL, 
	worker_count INTEGER NOT NULL, 
	python_v TEXT NOT NULL, 
	timestamp DATETIME NOT NULL, 
	last_heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (id)
)`,
  block: `CREATE TABLE block (
	run_id TEXT NOT NULL, 
	executor_label TEXT NOT NULL, 
	block_id TEXT NOT NULL, 
	job_id TEXT, 
	timestamp DATETIME NOT NULL, 
	status TEXT NOT NULL, 
	PRIMARY KEY (run_id, block_id, executor_label, timestamp)
)`,
  status: `CREATE TABLE status (
	task_id INTEGER NOT NULL, 
	task_status_name TEXT NOT NULL, 
	timestamp DATETIME NOT NULL, 
	run_id TEXT NOT NULL, 
	try_id INTEGER NOT NULL, 
	PRIMARY KEY (task_id, run_id, task_status_name, timestamp), 
	FOREIGN KEY(run_id) REFERENCES workflow (run_id)
)`,
  resource: `CREATE TABLE resource (
	try_id INTEGER NOT NULL, 
	task_id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	timestamp DATETIME NOT NULL, 
	resource_monitoring_interval FLOAT, 
	psutil_process_pid INTEGER, 
	psutil_process_memory_percent FLOAT, 
	psutil_process_children_count FLOAT, 
	psutil_process_time_user FLOAT, 
	psutil_process_time_system FLOAT, 
	psutil_process_memory_virtual FLOAT, 
	psutil_process_memory_resident FLOAT, 
	psutil_process_disk_read FLOAT, 
	psutil_process_disk_write FLOAT, 
	psutil_process_status TEXT, 
	psutil_cpu_num TEXT, 
	psutil_process_num_ctx_switches_voluntary FLOAT, 
	psutil_process_num_ctx_switches_involuntary FLOAT, 
	PRIMARY KEY (try_id, task_id, run_id, timestamp), 
	FOREIGN KEY(run_id) REFERENCES workflow (run_id)
)`,
};

/** Parsl's one index. */
export const parslIndexes: readonly string[] = [
  "CREATE INDEX IF NOT EXISTS ix_task_task_hashsum ON task (task_hashsum)",
];

/** To the millisecond, which is what SQLite computes with. */
function secondsBetween(from: string, to: string): string {
  return `round((julianday(${to}) - julianday(${from})) * 86400, 3)`;
}

/** Our own tables. Times in our bookkeeping are UTC; runs and senders go by short numbers, since a key of 36
 *  characters in each row would double the file. */
export const collectorSchema: readonly string[] = [
  // heard_from_us: the earliest time in any message of the run, for a run whose start has not come.
  // versions: when each value of the workflow row was said, as MergedValues has it.
  `CREATE TABLE IF NOT EXISTS collector_run (
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  heard_from_us INTEGER NOT NULL,
  versions BLOB NOT NULL
)`,
  // When each value of a task row was said, so that a message that comes late changes only what is older.
  `CREATE TABLE IF NOT EXISTS collector_task (
  run INTEGER NOT NULL,
  task_id INTEGER NOT NULL,
  versions BLOB NOT NULL,
  PRIMARY KEY (run, task_id)
) WITHOUT ROWID`,
  // The same for a try; the three values are held here until the try row is there to take them.
  `CREATE TABLE IF NOT EXISTS collector_try (
  run INTEGER NOT NULL,
  task_id INTEGER NOT NULL,
  try_id INTEGER NOT NULL,
  versions BLOB NOT NULL,
  held_time_running TEXT,
  held_block_id TEXT,
  held_hostname TEXT,
  PRIMARY KEY (run, task_id, try_id)
) WITHOUT ROWID`,
  // Rows of status and block whose timestamp was moved on to make their key unique.
  `CREATE TABLE IF NOT EXISTS collector_moved (
  table_name TEXT NOT NULL,
  run_id TEXT NOT NULL,
  row_group TEXT NOT NULL,
  timestamp TEXT NOT NULL,
  said_timestamp TEXT NOT NULL,
  PRIMARY KEY (table_name, run_id, row_group, timestamp)
) WITHOUT ROWID`,
  // The ledger: what each sender sent and what became of it. last_sequence comes with its closing note.
  // least_delay_us: smallest of (our clock at receipt - time in the message); negative when the sender's
  // clock is ahead. It bounds the skew of the sender's clock from above.
  `CREATE TABLE IF NOT EXISTS collector_sender (
  id INTEGER PRIMARY KEY,
  sender_id TEXT NOT NULL UNIQUE,
  run_id TEXT,
  hostname TEXT,
  utc_offset_seconds INTEGER,
  first_received_at TEXT NOT NULL,
  last_received_at TEXT NOT NULL,
  last_sequence INTEGER,
  stored INTEGER NOT NULL,
  rejected INTEGER NOT NULL,
  repeated INTEGER NOT NULL,
  duplicate_rows INTEGER NOT NULL,
  least_delay_us INTEGER
)`,
  `CREATE TABLE IF NOT EXISTS collector_sequence (
  sender INTEGER NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (sender, first)
) WITHOUT ROWID`,
  // Which principal (the name of a token or of a certificate) a run belongs to; none where none was asked for.
  `CREATE TABLE IF NOT EXISTS collector_run_owner (
  run_id TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL
) WITHOUT ROWID`,
  // Which runs a sender spoke of, and when it last did.
  `CREATE TABLE IF NOT EXISTS collector_sender_run (
  sender INTEGER NOT NULL,
  run_id TEXT NOT NULL,
  last_received_at TEXT NOT NULL,
  PRIMARY KEY (run_id, sender)
) WITHOUT ROWID`,
  // Messages received, repeated ones included, by the radio that brought them.
  `CREATE TABLE IF NOT EXISTS collector_sender_radio (
  sender INTEGER NOT NULL,
  radio TEXT NOT NULL,
  received INTEGER NOT NULL,
  PRIMARY KEY (sender, radio)
) WITHOUT ROWID`,
  // Sequences that a sender says it gave up, by kind; one that came all the same is in collector_sequence too.
  `CREATE TABLE IF NOT EXISTS collector_lost (
  sender INTEGER NOT NULL,
  kind TEXT NOT NULL,
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  PRIMARY KEY (sender, kind, first)
) WITHOUT ROWID`,
  // Messages that no table takes. message: the bytes of one MonitoringMessage, as they came.
  `CREATE TABLE IF NOT EXISTS collector_rejected (
  id INTEGER PRIMARY KEY,
  sender_id TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  run_id TEXT,
  kind TEXT NOT NULL,
  reason TEXT NOT NULL,
  received_at TEXT NOT NULL,
  message BLOB NOT NULL,
  UNIQUE (sender_id, sequence)
)`,
  // What `prune` has removed, by run ('' for what is no run's) and table; pruned_at: the last time, in UTC. A run that
  // is gone has an entry for table workflow; that of another says that its samples were thinned.
  `CREATE TABLE IF NOT EXISTS collector_pruned (
  run_id TEXT NOT NULL,
  table_name TEXT NOT NULL,
  rows INTEGER NOT NULL,
  pruned_at TEXT NOT NULL,
  PRIMARY KEY (run_id, table_name)
) WITHOUT ROWID`,
  // What nodes as a whole use, one row a sample: for users, as Parsl's tables are, and with times as they have them.
  // The key is what one looks for: a node, between two times.
  `CREATE TABLE IF NOT EXISTS collector_node_usage (
  hostname TEXT NOT NULL,
  timestamp DATETIME NOT NULL,
  run_id TEXT,
  interval_seconds FLOAT,
  cpu_count INTEGER,
  cpu_percent FLOAT,
  cpu_user_seconds FLOAT,
  cpu_system_seconds FLOAT,
  cpu_idle_seconds FLOAT,
  cpu_iowait_seconds FLOAT,
  cpu_steal_seconds FLOAT,
  load1 FLOAT,
  load5 FLOAT,
  load15 FLOAT,
  memory_total_bytes FLOAT,
  memory_available_bytes FLOAT,
  swap_total_bytes FLOAT,
  swap_free_bytes FLOAT,
  disk_read_bytes FLOAT,
  disk_written_bytes FLOAT,
  tmp_total_bytes FLOAT,
  tmp_free_bytes FLOAT,
  network_received_bytes FLOAT,
  network_sent_bytes FLOAT,
  PRIMARY KEY (hostname, timestamp)
) WITHOUT ROWID`,
  // The state that a task is in now. Ordered by time alone a worker whose clock is ahead would hide the
  // end of its task, so the states that the submitting process says decide, all by one clock; a worker's
  // word counts only while the task is launched.
  `CREATE VIEW IF NOT EXISTS collector_task_state AS
SELECT said.run_id, said.task_id, said.try_id,
  CASE WHEN said.task_status_name <> 'launched' THEN said.task_status_name
    WHEN EXISTS (SELECT 1 FROM status w WHERE w.run_id = said.run_id AND w.task_id = said.task_id
      AND w.task_status_name = 'running_ended' AND w.try_id = said.try_id) THEN 'running_ended'
    WHEN EXISTS (SELECT 1 FROM status w WHERE w.run_id = said.run_id AND w.task_id = said.task_id
      AND w.task_status_name = 'running' AND w.try_id = said.try_id) THEN 'running'
    ELSE said.task_status_name END AS task_status_name,
  max(said.timestamp) AS timestamp
FROM status said
WHERE said.task_status_name NOT IN ('running', 'running_ended')
GROUP BY said.run_id, said.task_id`,
  // A row for each task, with what its last try says. Of a task that succeeded in the end Parsl keeps the failures before;
  // here only one that failed has any. Seconds are differences of one clock where they can be: the worker's, from its
  // start to its end. The latest end, for a worker may say it twice.
  `CREATE VIEW IF NOT EXISTS collector_view_task AS
WITH last_try AS (SELECT run_id, task_id, max(try_id) AS try_id, count(*) AS tries, task_executor, block_id, hostname,
    task_try_time_launched, task_try_time_running, task_try_time_returned, task_fail_history
  FROM try GROUP BY run_id, task_id),
said AS (SELECT task.run_id, task.task_id, task_func_name, state.task_status_name, state.timestamp, tries, task_executor,
    block_id, hostname, task_time_invoked, task_try_time_launched, task_try_time_running, task_fail_history,
    coalesce((SELECT max(ended.timestamp) FROM status ended WHERE ended.task_id = task.task_id
      AND ended.run_id = task.run_id AND ended.task_status_name = 'running_ended' AND ended.try_id = last_try.try_id),
      task_try_time_returned) AS time_ended
  FROM task
    LEFT JOIN last_try ON last_try.run_id = task.run_id AND last_try.task_id = task.task_id
    LEFT JOIN collector_task_state state ON state.run_id = task.run_id AND state.task_id = task.task_id)
SELECT run_id, task_id, task_func_name AS app, task_status_name AS state, timestamp AS state_since, tries,
  task_executor AS executor, block_id, hostname, task_time_invoked AS time_invoked,
  task_try_time_launched AS time_launched, task_try_time_running AS time_running, time_ended,
  ${secondsBetween("task_try_time_launched", "task_try_time_running")} AS waiting_seconds,
  ${secondsBetween("task_try_time_running", "time_ended")} AS running_seconds,
  CASE WHEN task_status_name IN ('failed', 'dep_fail') THEN nullif(task_fail_history, '') END AS failure
FROM said`,
  // A row for each run, with how its tasks stand.
  `CREATE VIEW IF NOT EXISTS collector_view_run AS
SELECT workflow.run_id, workflow_name, user, host, time_began, time_completed,
  ${secondsBetween("time_began", "time_completed")} AS seconds,
  coalesce(tasks, 0) AS tasks, coalesce(done, 0) AS done, coalesce(failed, 0) AS failed,
  coalesce(running, 0) AS running, coalesce(tasks - done - failed - running, 0) AS waiting,
  coalesce(tries, 0) AS tries, coalesce(hosts, 0) AS hosts
FROM workflow
  LEFT JOIN (SELECT run_id, count(*) AS tasks, sum(task_status_name IN ('exec_done', 'memo_done')) AS done,
      sum(task_status_name IN ('failed', 'dep_fail')) AS failed,
      sum(task_status_name IN ('running', 'running_ended', 'joining')) AS running
    FROM collector_task_state GROUP BY run_id) states ON states.run_id = workflow.run_id
  LEFT JOIN (SELECT run_id, count(*) AS tries, count(DISTINCT hostname) AS hosts
    FROM try GROUP BY run_id) worked ON worked.run_id = workflow.run_id`,
];

/** The condition that finds the row, or the rows, with these values of columns. */
export function whereAre(columns: readonly string[]): string {
  return columns.map((name) => `${name} = ?`).join(" AND ");
}

/** The columns of a table, in the order of its statement. */
export function columnsOf(table: string): string[] {
  const ours = `CREATE TABLE IF NOT EXISTS ${table} (`;
  const statement = parslSchema[table] ?? collectorSchema.find((each) => each.startsWith(ours)) ?? "";
  return [...statement.matchAll(/^\s+(?!PRIMARY|FOREIGN|UNIQUE)(\w+) /gm)].map((match) => match[1] ?? "");
}
