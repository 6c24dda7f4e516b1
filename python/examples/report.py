"""A program without Parsl that reports a little workflow of its own, and reads it back with SQL.

usage: report.py ADDRESS DATABASE

ADDRESS is a collector's, "host:port", and DATABASE the file that it writes. Exit code 1 when what is read is
not what was sent.
"""

from __future__ import annotations

import getpass
import os
import platform
import sqlite3
import sys
import time
import uuid

from parsl_collector import Client
from parsl_collector.messages import (
    ResourceInfo,
    TaskInfo,
    Timestamp,
    WorkerTaskInfo,
    WorkflowEnd,
    WorkflowInfo,
    WorkflowStart,
)

TASKS = 5
FAILS_ONCE = 3
"""The task whose first try fails."""


def main() -> None:
    address, database = sys.argv[1:]
    run_id = str(uuid.uuid4())
    with Client(address, run_id=run_id) as client:
        start = WorkflowStart(
            time_began=now(),
            workflow_name="report",
            rundir=os.getcwd(),
            user=getpass.getuser(),
            host=platform.node(),
            tasks_completed_count=0,
            tasks_failed_count=0,
        )
        client.send(WorkflowInfo(start=start))
        for task_id in range(TASKS):
            run_task(client, task_id)
        end = WorkflowEnd(time_completed=now(), tasks_completed_count=TASKS, tasks_failed_count=0)
        client.send(WorkflowInfo(end=end))
    # Closed: everything is on the collector's disk.
    rows = read_back(database, run_id)
    print("task  tries  last status  samples")
    for task_id, tries, status, samples in rows:
        print(f"{task_id:4}  {tries:5}  {status:11}  {samples:7}")
    if rows != [(task_id, tries_of(task_id), "exec_done", 2 * tries_of(task_id)) for task_id in range(TASKS)]:
        sys.exit("report: what was read is not what was sent")


def run_task(client: Client, task_id: int) -> None:
    invoked, tries = now(), tries_of(task_id)
    client.send(task_info(task_id, 0, "pending", invoked))
    for try_id in range(tries):
        is_last = try_id == tries - 1
        client.send(task_info(task_id, try_id, "launched", invoked, launched=now()))
        client.send(WorkerTaskInfo(task_id=task_id, try_id=try_id, first_msg=True, timestamp=now()))
        for _ in range(2):
            sum(i * i for i in range(20_000))
            client.send(sample(task_id, try_id))
        client.send(WorkerTaskInfo(task_id=task_id, try_id=try_id, last_msg=True, timestamp=now()))
        ended = task_info(task_id, try_id, "exec_done" if is_last else "fail_retryable", invoked)
        ended.task_try_time_returned.CopyFrom(ended.timestamp)
        if is_last:
            ended.task_time_returned.CopyFrom(ended.timestamp)
        else:
            ended.task_fail_history = "RuntimeError('not this time')"
        client.send(ended)


def task_info(
    task_id: int, try_id: int, state: str, invoked: Timestamp, launched: Timestamp | None = None
) -> TaskInfo:
    return TaskInfo(
        task_id=task_id,
        try_id=try_id,
        timestamp=now(),
        task_status_name=state,
        task_func_name="sum_of_squares",
        task_memoize=False,
        task_fail_count=try_id + (state == "fail_retryable"),
        task_fail_cost=try_id + (state == "fail_retryable"),
        task_time_invoked=invoked,
        task_try_time_launched=launched,
        task_executor="this process",
    )


def sample(task_id: int, try_id: int) -> ResourceInfo:
    return ResourceInfo(
        task_id=task_id,
        try_id=try_id,
        timestamp=now(),
        psutil_process_pid=os.getpid(),
        psutil_process_time_user=os.times().user,
        psutil_process_time_system=os.times().system,
        psutil_process_status="running",
    )


def tries_of(task_id: int) -> int:
    return 2 if task_id == FAILS_ONCE else 1


def now() -> Timestamp:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)


def read_back(database: str, run_id: str) -> list[tuple[int, int, str, int]]:
    """Of each task its id, tries, last status and samples."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute(
            """
            SELECT task_id,
                (SELECT count(*) FROM try WHERE (try.run_id, try.task_id) = (task.run_id, task.task_id)),
                (SELECT task_status_name FROM status
                    WHERE (status.run_id, status.task_id) = (task.run_id, task.task_id)
                    ORDER BY timestamp DESC LIMIT 1),
                (SELECT count(*) FROM resource
                    WHERE (resource.run_id, resource.task_id) = (task.run_id, task.task_id))
            FROM task WHERE run_id = ? ORDER BY task_id
            """,
            (run_id,),
        ).fetchall()
    finally:
        connection.close()


if __name__ == "__main__":
    main()
