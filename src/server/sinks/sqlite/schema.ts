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
];

/** The columns of a table, in the order of its statement. */
export function columnsOf(table: string): string[] {
  const ours = `CREATE TABLE IF NOT EXISTS ${table} (`;
  const statement = parslSchema[table] ?? collectorSchema.find((each) => each.startsWith(ours)) ?? "";
  return [...statement.matchAll(/^\s+(?!PRIMARY|FOREIGN)(\w+) /gm)].map((match) => match[1] ?? "");
}
