"""Parsl's own monitoring, for comparison: messages a second from its queue to rows in SQLite.

usage: dbmanager.py COUNT resource|tasks|workflow|latency

Prints one line of JSON. The messages are those of bench/messages.ts. `latency` puts COUNT samples at 50 a
second and says how long each takes until a reader sees it.
"""

import datetime
import json
import sqlite3
import sys
import tempfile
import time

from parsl.monitoring import MonitoringHub
from parsl.monitoring.message_type import MessageType

BEGAN = datetime.datetime(2026, 1, 1)
STATES = ("unsched", "pending", "launched", "joining", "exec_done")
TIMEOUT_S = 120
SIDE_BY_SIDE = 16
PACKAGES = {f"python-package-{i}": "2026.10.26" for i in range(60)}
PER_SECOND = 50


def at(micros):
    return BEGAN + datetime.timedelta(microseconds=micros)


def workflow_start():
    return (
        MessageType.WORKFLOW_INFO,
        {
            "python_version": "3",
            "parsl_version": "0",
            "time_began": BEGAN,
            "run_id": "bench",
            "workflow_name": "bench",
            "workflow_version": "1",
            "rundir": "/home/user/run",
            "tasks_completed_count": 0,
            "tasks_failed_count": 0,
            "user": "user",
            "host": "node1",
        },
    )


def sample(task_id, micros):
    return (
        MessageType.RESOURCE_INFO,
        {
            "run_id": "bench",
            "task_id": task_id,
            "try_id": 0,
            "timestamp": at(micros),
            "hostname": "node1",
            "resource_monitoring_interval": 30.0,
            "psutil_process_pid": 4000,
            "psutil_process_memory_percent": 0.31,
            "psutil_process_children_count": 0,
            "psutil_process_time_user": 1.25,
            "psutil_process_time_system": 0.5,
            "psutil_process_memory_virtual": 500_000_000.0 + micros,
            "psutil_process_memory_resident": 70_000_000.0,
            "psutil_process_disk_read": 90_000.0,
            "psutil_process_disk_write": 1_000.0,
            "psutil_process_status": "sleeping",
            "psutil_cpu_num": 1,
            "psutil_process_num_ctx_switches_voluntary": 100.0 + micros,
            "psutil_process_num_ctx_switches_involuntary": 7.0,
            "psutil_cpu_count": 2,
            "psutil_process_cpu_num": 1,
            "psutil_process_create_time": 1_767_225_600.12,
            "psutil_process_cwd": "/home/user/project/run",
            "psutil_process_exe": "/usr/bin/python3.11",
            "psutil_process_name": "python3",
            "psutil_process_nice": 0,
            "psutil_process_num_threads": 3,
            "psutil_process_ppid": 3999,
            "psutil_process_username": "user",
        },
    )


def worker(task_id, is_last, micros):
    return (
        MessageType.WORKER_TASK_INFO,
        {
            "run_id": "bench",
            "task_id": task_id,
            "try_id": 0,
            "hostname": "node1",
            "block_id": "0",
            "first_msg": not is_last,
            "last_msg": is_last,
            "timestamp": at(micros),
        },
    )


def state(task_id, name, micros):
    launched = name in ("launched", "joining", "exec_done")
    done = name == "exec_done"
    return (
        MessageType.TASK_INFO,
        {
            "run_id": "bench",
            "task_id": task_id,
            "try_id": 0,
            "timestamp": at(micros),
            "task_status_name": name,
            "task_status": None,
            "task_func_name": "noop",
            "task_memoize": False,
            "task_hashsum": None,
            "task_fail_count": 0,
            "task_fail_cost": 0,
            "task_time_invoked": at(micros),
            "task_try_time_launched": at(micros) if launched else None,
            "task_time_returned": at(micros) if done else None,
            "task_try_time_returned": at(micros) if done else None,
            "task_executor": "htex",
            "tasks_failed_count": 0,
            "tasks_completed_count": task_id + 1 if done else task_id,
            "tasks_memo_completed_count": 0,
            "from_memo": False,
            "task_inputs": "None",
            "task_outputs": "None",
            "task_stdin": None,
            "task_stdout": "",
            "task_stderr": "",
            "task_fail_history": "",
            "task_depends": "",
            "task_joins": None,
        },
    )


def life(task_id):
    micros = task_id * 10
    yield state(task_id, STATES[0], micros)
    yield state(task_id, STATES[1], micros + 1)
    yield state(task_id, STATES[2], micros + 2)
    yield worker(task_id, False, micros + 3)
    yield sample(task_id, micros + 4)
    yield sample(task_id, micros + 5)
    yield worker(task_id, True, micros + 6)
    yield state(task_id, STATES[3], micros + 7)
    yield state(task_id, STATES[4], micros + 8)


def node(micros):
    return (
        MessageType.NODE_INFO,
        {
            "run_id": "bench",
            "timestamp": at(micros),
            "hostname": "node1",
            "uid": "0f1e2d3c4b5a",
            "block_id": "0",
            "cpu_count": 2,
            "total_memory": 25_000_000_000,
            "active": True,
            "worker_count": 2,
            "python_v": "3.11.7",
            "last_heartbeat": at(micros),
            "packages": PACKAGES,
        },
    )


def short_life(task_id):
    micros = task_id * 10
    yield state(task_id, "pending", micros)
    yield state(task_id, "launched", micros + 1)
    yield node(micros + 2)
    yield worker(task_id, False, micros + 3)
    yield sample(task_id, micros + 4)
    yield worker(task_id, True, micros + 5)
    yield node(micros + 6)
    yield state(task_id, "exec_done", micros + 7)


def side_by_side(index):
    first = index * SIDE_BY_SIDE
    for step in zip(*(short_life(first + task) for task in range(SIDE_BY_SIDE)), strict=True):
        yield from step


class Reader:
    """Counts rows while they come. None is ever deleted, so the greatest rowid is the count."""

    def __init__(self, database):
        self._connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)

    def rows(self, table):
        return self._connection.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0] or 0

    def wait(self, wanted):
        end = time.monotonic() + TIMEOUT_S
        while any(self.rows(table) < count for table, count in wanted.items()):
            if time.monotonic() > end:
                raise SystemExit(f"not all of {wanted} came within {TIMEOUT_S} s")
            time.sleep(0.02)


def throughput(queue, reader, count, mix):
    if mix == "resource":
        messages = [sample(i % 100, i) for i in range(count)]
        wanted = {"resource": count}
    elif mix == "workflow":
        tasks = count // 8
        messages = [message for i in range(tasks // SIDE_BY_SIDE) for message in side_by_side(i)]
        wanted = {"task": tasks, "try": tasks, "status": 5 * tasks, "resource": tasks, "node": 2 * tasks}
    else:
        tasks = count // 9
        messages = [message for i in range(tasks) for message in life(i)]
        wanted = {"task": tasks, "try": tasks, "status": 7 * tasks, "resource": 2 * tasks}
    began = time.monotonic()
    for message in messages:
        queue.put(message)
    reader.wait(wanted)
    return {"messages_per_second": len(messages) / (time.monotonic() - began)}


def latency(queue, reader, count):
    sent, seen, began = [], [], time.monotonic()
    while len(seen) < count:
        if time.monotonic() > began + count / PER_SECOND + TIMEOUT_S:
            raise SystemExit(f"only {len(seen)} of {count} rows came")
        while len(sent) < count and time.monotonic() >= began + len(sent) / PER_SECOND:
            sent.append(time.monotonic())
            queue.put(sample(len(sent) % 100, len(sent)))
        seen += [time.monotonic()] * (reader.rows("resource") - len(seen))
        time.sleep(0.004)
    delays = sorted((row - put) * 1000 for put, row in zip(sent, seen, strict=True))
    return {"visible_ms": {"p50": delays[len(delays) // 2], "p99": delays[int(len(delays) * 0.99)]}}


def main():
    count, mix = int(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as directory:
        database = f"{directory}/monitoring.db"
        hub = MonitoringHub(logging_endpoint=f"sqlite:///{database}")
        hub.start(f"{directory}/000", directory, None)
        hub.resource_msgs.put(workflow_start())
        reader = wait_for_start(database)
        measure = latency if mix == "latency" else throughput
        figures = measure(hub.resource_msgs, reader, count, *([mix] if mix != "latency" else []))
        hub.close()
        print(json.dumps(figures), flush=True)


def wait_for_start(database):
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        try:
            reader = Reader(database)
            if reader.rows("workflow") == 1:
                return reader
        except sqlite3.OperationalError:
            pass  # the file or the table is not there yet
        time.sleep(0.05)
    raise SystemExit("Parsl's database manager did not start")


if __name__ == "__main__":
    main()
