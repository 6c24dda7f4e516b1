"""What the tests share: messages as Parsl makes them, a real collector, and the rows of a database."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psutil
from parsl.dataflow.states import States
from parsl.monitoring.message_type import MessageType

from parsl_collector import CollectorHub
from parsl_collector._node import find_node, find_server

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE.parent.parent / "tests" / "golden"
RUN = "00000000-0000-4000-8000-000000000000"
BEGAN = datetime.datetime(2026, 1, 1)
TABLES = ("workflow", "task", "try", "status", "resource", "node", "block")
DEADLINE_S = 60.0
"""Only a failure waits so long."""


def at(seconds: float) -> datetime.datetime:
    return BEGAN + datetime.timedelta(seconds=seconds)


def workflow_start(run_id: str = RUN, **over: Any) -> tuple:
    body = {
        "python_version": "3.11.7",
        "parsl_version": "2026.10.26",
        "time_began": BEGAN,
        "run_id": run_id,
        "workflow_name": "test",
        "workflow_version": "1",
        "rundir": "/home/user/runinfo/000",
        "tasks_completed_count": 0,
        "tasks_failed_count": 0,
        "user": "user",
        "host": "node1",
    }
    return (MessageType.WORKFLOW_INFO, {**body, **over})


def workflow_end(run_id: str = RUN, **over: Any) -> tuple:
    body = {
        "tasks_failed_count": 0,
        "tasks_completed_count": 1,
        "time_completed": at(100),
        "run_id": run_id,
        "rundir": "/home/user/runinfo/000",
    }
    return (MessageType.WORKFLOW_INFO, {**body, **over})


def task_info(task_id: int = 0, state: str = "pending", seconds: float = 1, **over: Any) -> tuple:
    body = {
        "task_func_name": "app",
        "task_memoize": False,
        "task_hashsum": None,
        "task_fail_count": 0,
        "task_fail_cost": 0,
        "task_status": States[state],
        "task_id": task_id,
        "task_time_invoked": at(0.5),
        "task_try_time_launched": None,
        "task_time_returned": None,
        "task_try_time_returned": None,
        "task_executor": "htex",
        "run_id": RUN,
        "try_id": 0,
        "timestamp": at(seconds),
        "task_status_name": state,
        "tasks_failed_count": 0,
        "tasks_completed_count": 0,
        "tasks_memo_completed_count": 0,
        "from_memo": None,
        "task_inputs": "None",
        "task_outputs": "None",
        "task_stdin": None,
        "task_stdout": "",
        "task_stderr": "",
        "task_fail_history": "",
        "task_depends": "",
        "task_joins": None,
    }
    return (MessageType.TASK_INFO, {**body, **over})


def worker_task_info(task_id: int = 0, *, is_last: bool = False, seconds: float = 2, **over: Any) -> tuple:
    body = {
        "run_id": RUN,
        "try_id": 0,
        "task_id": task_id,
        "hostname": "node1",
        "block_id": "0",
        "first_msg": not is_last,
        "last_msg": is_last,
        "timestamp": at(seconds),
    }
    return (MessageType.WORKER_TASK_INFO, {**body, **over})


def resource_info(task_id: int = 0, seconds: float = 3, **over: Any) -> tuple:
    body = {
        "psutil_process_pid": 4000,
        "psutil_process_memory_percent": 0.31,
        "psutil_process_status": "sleeping",
        "psutil_process_time_user": 1.25,
        "psutil_process_disk_read": 0,
        "psutil_cpu_num": 1,
        "run_id": RUN,
        "task_id": task_id,
        "try_id": 0,
        "resource_monitoring_interval": 30,
        "hostname": "node1",
        "timestamp": at(seconds),
    }
    return (MessageType.RESOURCE_INFO, {**body, **over})


def node_info(uid: str = "manager", **over: Any) -> tuple:
    body = {
        "run_id": RUN,
        "hostname": "node1",
        "uid": uid,
        "block_id": "0",
        "cpu_count": 2,
        "total_memory": 2**34,
        "active": True,
        "worker_count": 2,
        "python_v": "3.11.7",
        "timestamp": at(1),
        "last_heartbeat": at(1),
    }
    return (MessageType.NODE_INFO, {**body, **over})


def block_info(*blocks: Any) -> tuple:
    return (MessageType.BLOCK_INFO, list(blocks))


def block(block_id: str = "0", **over: Any) -> dict:
    body = {
        "run_id": RUN,
        "status": "RUNNING",
        "timestamp": at(1),
        "executor_label": "htex",
        "job_id": "17",
        "block_id": block_id,
    }
    return {**body, **over}


class Unprintable:
    """Something whose repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class Unpicklable:
    """Something that goes into a queue and raises on the way out."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _raise, ()


def _raise() -> None:
    raise RuntimeError("no unpickling")


def golden_messages() -> list[tuple]:
    """The messages of one real workflow, as they came out of a hub's queue."""
    with open(GOLDEN / "messages.jsonl") as f:
        lines = [json.loads(line) for line in f]
    return [(MessageType[line["type"]], _decoded(line["body"])) for line in lines]


def golden_rows() -> dict[str, list[dict]]:
    """The rows that Parsl's own hub made of them."""
    return json.loads((GOLDEN / "rows.json").read_text())


_TIMES = {
    "time_began",
    "time_completed",
    "timestamp",
    "last_heartbeat",
    "task_time_invoked",
    "task_time_returned",
    "task_try_time_launched",
    "task_try_time_returned",
}


def _decoded(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return float(value["float"])
        return {name: _decoded(entry, name) for name, entry in value.items()}
    if isinstance(value, list):
        return [_decoded(entry) for entry in value]
    if key in _TIMES and isinstance(value, str):
        return datetime.datetime.fromisoformat(value)
    return value


def query(database: os.PathLike | str, sql: str, *values: Any) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=DEADLINE_S)) as db:
        return db.execute(sql, values).fetchall()


def count(database: os.PathLike | str, table: str) -> int:
    return query(database, f'SELECT count(*) FROM "{table}"')[0][0]


def rows_of(database: os.PathLike | str, run_id: str) -> dict[str, list[dict]]:
    """The rows of a run in each of Parsl's tables, ordered by their content, node.id left out."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return {
            table: in_order(
                dict(row) for row in db.execute(f'SELECT * FROM "{table}" WHERE run_id = ?', (run_id,))
            )
            for table in TABLES
        }


def in_order(rows: Any) -> list[dict]:
    kept = [{name: value for name, value in row.items() if name != "id"} for row in rows]
    return sorted(kept, key=lambda row: json.dumps(row, sort_keys=True))


def wait_until(is_so: Callable[[], Any], what: str) -> None:
    """Polls a condition; only a failure reaches the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.02)


def wait_to_be_ended() -> None:
    """For a signal that Python handles, in slices: one that comes after Python last looked for signals and
    before the wait begins is seen when the wait is over. With other threads at work, 4 of 274 came then."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        time.sleep(0.05)


def has_rows(database: os.PathLike | str, table: str, least: int) -> bool:
    try:
        return count(database, table) >= least
    except sqlite3.OperationalError:
        return False  # the file or its tables are not there yet


def free_address() -> str:
    """Where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextlib.contextmanager
def collector(database: os.PathLike | str, listen: str = "127.0.0.1:0", *options: str) -> Iterator[Collector]:
    """A collector that runs, with more options of its command line; killed at the end if it still does."""
    running = Collector(database, listen, *options)
    try:
        yield running
    finally:
        running.kill()


class Collector:
    def __init__(self, database: os.PathLike | str, listen: str, *options: str) -> None:
        self.database = database
        command = [find_node(None), find_server(), "serve", "--database", str(database), "--listen", listen]
        self.process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout is not None
        ready = json.loads(self.process.stdout.readline())
        self.address = ready["address"]
        self.radios = ready["radios"]
        self.process.stdout.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def agents(running: Collector) -> list[psutil.Process]:
    """The agents of this node that forward to a collector."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if "agent" in command and f"grpc={running.address}" in command:
                found.append(process)
    return found


@contextlib.contextmanager
def running_hub(directory: pathlib.Path, **options: Any) -> Iterator[CollectorHub]:
    """A hub that was started as a DataFlowKernel does it, on directory/monitoring.db. Closed at the end."""
    hub = CollectorHub(**{"logging_endpoint": f"sqlite:///{directory}/monitoring.db", **options})
    hub.start(str(directory / "000"), str(directory), None)
    try:
        yield hub
    finally:
        hub.close()


def replay(directory: pathlib.Path, messages: list, **options: Any) -> pathlib.Path:
    """The database after the messages went through a hub's queue."""
    with running_hub(directory, **options) as hub:
        for message in messages:
            hub.resource_msgs.put(message)
    return directory / "monitoring.db"


def path_with_parsl() -> str:
    """A PATH on which Parsl finds its own programs, interchange and workers, which it starts by name."""
    return os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]


def why_no_network(programs: Sequence[str], trial: str, packages: str) -> str:
    """Why this machine has no network of a test's own; empty when `trial`, a line of shell, works in one."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}: `sudo apt-get install {packages}`"
    tried = subprocess.run(["unshare", "-rn", "sh", "-c", trial], capture_output=True, text=True)
    return "" if tried.returncode == 0 else f"no network namespace may be made here: {tried.stderr.strip()}"


def children_of_ours() -> list[psutil.Process]:
    """What a hub left running under this process."""
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if process.is_running() and process.status() != psutil.STATUS_ZOMBIE and not is_tracker(process)
    ]


def is_tracker(process: psutil.Process) -> bool:
    """multiprocessing's own helper, which lives as long as its process."""
    with contextlib.suppress(psutil.Error):
        return "resource_tracker" in " ".join(process.cmdline())
    return True
