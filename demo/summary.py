"""What the database says of the latest run, in words: plain SQL on Parsl's own tables.

usage: summary.py DATABASE
"""

import os
import sqlite3
import sys

BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("", "")


def main() -> None:
    database = sys.argv[1]
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        run = connection.execute("SELECT * FROM workflow ORDER BY time_began DESC LIMIT 1").fetchone()
        show_run(run)
        show_tasks(connection, run["run_id"])
        show_failures(connection, run["run_id"])
        show_where(connection, run["run_id"])
        show_ledger(connection, run["run_id"])


def head(title: str) -> None:
    print(f"\n{BOLD}{title}{PLAIN}")


def show_run(run: sqlite3.Row) -> None:
    head("Run")
    print(f"  {run['workflow_name']} {run['run_id']} on {run['host']}")
    print(f"  {run['time_began']} to {run['time_completed'] or 'no end recorded'}")
    print(f"  {run['tasks_completed_count']} tasks completed, {run['tasks_failed_count']} failed")


def show_tasks(connection: sqlite3.Connection, run_id: str) -> None:
    head("Tasks by app and present state")
    rows = connection.execute(
        """SELECT task.task_func_name AS app, state.task_status_name AS state, count(*) AS tasks,
             sum((SELECT count(*) FROM try
                  WHERE try.run_id = task.run_id AND try.task_id = task.task_id)) AS tries
           FROM task JOIN collector_task_state state USING (run_id, task_id)
           WHERE task.run_id = ? GROUP BY app, state ORDER BY min(task.task_id)""",
        (run_id,),
    )
    print(f"  {'app':<14} {'state':<12} {'tasks':>5} {'tries':>5}")
    for row in rows:
        print(f"  {row['app']:<14} {row['state']:<12} {row['tasks']:>5} {row['tries']:>5}")


def show_failures(connection: sqlite3.Connection, run_id: str) -> None:
    head("Failed tries")
    rows = connection.execute(
        """SELECT task_func_name AS app, task_id, try_id, task_fail_history AS reason
           FROM try JOIN task USING (run_id, task_id)
           WHERE run_id = ? AND task_fail_history <> '' ORDER BY task_id, try_id""",
        (run_id,),
    ).fetchall()
    if not rows:
        print("  none")
    for row in rows:
        print(f"  {row['app']}, task {row['task_id']} try {row['try_id']}: {row['reason']}")


def show_where(connection: sqlite3.Connection, run_id: str) -> None:
    head("Where and how")
    nodes = connection.execute(
        """SELECT hostname, max(worker_count), max(cpu_count)
           FROM node WHERE run_id = ? GROUP BY hostname, uid""",
        (run_id,),
    )
    for hostname, workers, cpus in nodes:
        print(f"  {hostname}: {workers} workers, {cpus} CPUs")
    samples, cpu, memory = connection.execute(
        """SELECT count(*), max(psutil_process_time_user + psutil_process_time_system),
             max(psutil_process_memory_resident) / 1048576 FROM resource WHERE run_id = ?""",
        (run_id,),
    ).fetchone()
    print(
        f"  {samples} samples of resource use; at most {cpu or 0:.1f} s of CPU "
        f"and {memory or 0:.0f} MiB in a process"
    )


def show_ledger(connection: sqlite3.Connection, run_id: str) -> None:
    head("Messages")
    senders, stored, rejected = connection.execute(
        "SELECT count(*), sum(stored), sum(rejected) FROM collector_sender WHERE run_id = ?", (run_id,)
    ).fetchone()
    print(
        f"  {stored} stored and {rejected} rejected, from {senders} senders: "
        "the submit process, its workers and their agent"
    )


if __name__ == "__main__":
    main()
