/** To the millisecond, as the views of SQLite's schema have it. */
function secondsBetween(from: string, to: string): string {
  return `round(extract(epoch FROM ${to} - ${from})::numeric, 3)::float`;
}

/** The views of SQLite's schema, which says what they are for, in PostgreSQL's words. */
export const views: readonly string[] = [
  `CREATE OR REPLACE VIEW collector_task_state AS
SELECT DISTINCT ON (said.run_id, said.task_id) said.run_id, said.task_id, said.try_id,
  CASE WHEN said.task_status_name <> 'launched' THEN said.task_status_name
    WHEN EXISTS (SELECT 1 FROM status w WHERE w.run_id = said.run_id AND w.task_id = said.task_id
      AND w.task_status_name = 'running_ended' AND w.try_id = said.try_id) THEN 'running_ended'
    WHEN EXISTS (SELECT 1 FROM status w WHERE w.run_id = said.run_id AND w.task_id = said.task_id
      AND w.task_status_name = 'running' AND w.try_id = said.try_id) THEN 'running'
    ELSE said.task_status_name END AS task_status_name,
  said.timestamp
FROM status said
WHERE said.task_status_name NOT IN ('running', 'running_ended')
ORDER BY said.run_id, said.task_id, said.timestamp DESC`,
  `CREATE OR REPLACE VIEW collector_view_task AS
WITH last_try AS (SELECT DISTINCT ON (run_id, task_id) run_id, task_id, try_id,
    count(*) OVER (PARTITION BY run_id, task_id) AS tries, task_executor, block_id, hostname, task_try_time_launched,
    task_try_time_running, task_try_time_returned, task_fail_history
  FROM "try" ORDER BY run_id, task_id, try_id DESC),
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
  `CREATE OR REPLACE VIEW collector_view_run AS
SELECT workflow.run_id, workflow_name, "user", host, time_began, time_completed,
  ${secondsBetween("time_began", "time_completed")} AS seconds,
  coalesce(tasks, 0) AS tasks, coalesce(done, 0) AS done, coalesce(failed, 0) AS failed,
  coalesce(running, 0) AS running, coalesce(tasks - done - failed - running, 0) AS waiting,
  coalesce(tries, 0) AS tries, coalesce(hosts, 0) AS hosts
FROM workflow
  LEFT JOIN (SELECT run_id, count(*) AS tasks,
      count(*) FILTER (WHERE task_status_name IN ('exec_done', 'memo_done')) AS done,
      count(*) FILTER (WHERE task_status_name IN ('failed', 'dep_fail')) AS failed,
      count(*) FILTER (WHERE task_status_name IN ('running', 'running_ended', 'joining')) AS running
    FROM collector_task_state GROUP BY run_id) states ON states.run_id = workflow.run_id
  LEFT JOIN (SELECT run_id, count(*) AS tries, count(DISTINCT hostname) AS hosts
    FROM "try" GROUP BY run_id) worked ON worked.run_id = workflow.run_id`,
];
