"""A workflow that fails in eight ways, and two tasks that need more than one try.

usage: failing_workflow.py HUB DIRECTORY

HUB is parsl or ours. The database is DIRECTORY/monitoring.db. Prints, as JSON, the run and the tasks of each
way.

What cannot be had on one machine is brought about as near to the real thing as can be:
- Lost node: a manager and its worker are killed by SIGKILL while a task runs there, so its heartbeats stop.
- Memory kill: small_node/sitecustomize.py tells the managers that their node has 1 GiB. The task truly takes
  most of that, and once a sample of it is in the database, its worker is killed by SIGKILL, as the kernel
  would do it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any

import parsl
import psutil
from parsl.monitoring import MonitoringHub
from parsl.providers import LocalProvider

from parsl_collector import CollectorHub, CollectorRadio

NODE_BYTES = 2**30
DEADLINE_S = 240.0
"""Only a failure waits so long."""


@parsl.python_app(cache=False)
def refuse(x: int) -> None:
    raise ValueError(f"{x} is no good")


@parsl.python_app(cache=False)
def add(x: Any, y: Any) -> Any:
    return x + y


@parsl.bash_app(cache=False)
def leave(code: int) -> str:
    return f"exit {code}"


@parsl.bash_app(cache=False)
def call_missing() -> str:
    return "no-such-command --version"


@parsl.python_app(cache=False)
def import_missing() -> None:
    import no_such_package  # noqa: F401


@parsl.python_app(cache=False)
def dawdle(walltime: float) -> None:
    import time

    while True:
        time.sleep(0.05)


@parsl.python_app(cache=False)
def be_flaky(directory: str) -> None:
    import pathlib

    seen = pathlib.Path(directory, "flaky")
    if not seen.exists():
        seen.touch()
        raise OSError(5, "Input/output error")


@parsl.python_app(cache=False)
def hold_once(directory: str) -> None:
    """Says which worker it is on and stays there; another try ends at once."""
    import os
    import pathlib
    import time

    held = pathlib.Path(directory, "held")
    if held.exists():
        return
    pathlib.Path(directory, "holding").write_text(str(os.getpid()))
    os.replace(f"{directory}/holding", held)
    while True:
        time.sleep(0.05)


@parsl.python_app(cache=False)
def take_memory(size: int) -> None:
    import time

    taken = b"x" * size
    while taken:
        time.sleep(0.05)


@parsl.python_app(cache=False)
def run_for_ever() -> None:
    import time

    while True:
        time.sleep(0.05)


def wait_until(is_so: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (value := is_so()):
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.05)
    return value


def query(directory: str, sql: str, *values: Any) -> list[tuple]:
    uri = f"file:{directory}/monitoring.db?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=DEADLINE_S)) as database:
        return database.execute(sql, values).fetchall()


def await_start(directory: str, task_id: int) -> None:
    sql = "SELECT 1 FROM try WHERE task_id = ? AND task_try_time_running IS NOT NULL"
    wait_until(lambda: query(directory, sql, task_id), f"the start of task {task_id} in the database")


def lose_node(directory: str, task_id: int) -> None:
    """Kills the manager under which the task is, once the database says where it runs."""
    held = pathlib.Path(directory, "held")
    wait_until(held.exists, "the task to hold its worker")
    worker = psutil.Process(int(held.read_text()))
    await_start(directory, task_id)
    for process in (worker.parent(), worker):
        assert process is not None
        process.send_signal(signal.SIGKILL)


def kill_for_memory(directory: str, task_id: int, try_id: int) -> None:
    sql = """SELECT psutil_process_pid FROM resource
        WHERE task_id = ? AND try_id = ? AND psutil_process_memory_resident > ?"""
    rows = wait_until(
        lambda: query(directory, sql, task_id, try_id, 0.8 * NODE_BYTES), "a sample of its memory"
    )
    os.kill(rows[0][0], signal.SIGKILL)


def config_of(hub: str, directory: str) -> parsl.Config:
    hub_class = {"parsl": MonitoringHub, "ours": CollectorHub}[hub]
    here = pathlib.Path(__file__).parent
    return parsl.Config(
        executors=[
            parsl.HighThroughputExecutor(
                label="htex",
                address="127.0.0.1",
                max_workers_per_node=1,
                cores_per_worker=0.5,
                encrypted=False,
                heartbeat_period=1,  # also how often Parsl looks for a worker that is gone
                heartbeat_threshold=15,  # less, and a busy machine loses managers that live
                provider=LocalProvider(
                    init_blocks=2,
                    max_blocks=2,
                    worker_init=f"export PYTHONPATH={here}/small_node NODE_BYTES={NODE_BYTES}",
                ),
                remote_monitoring_radio=CollectorRadio(agent=False) if hub == "ours" else None,
            )
        ],
        monitoring=hub_class(
            logging_endpoint=f"sqlite:///{directory}/monitoring.db", resource_monitoring_interval=0.2
        ),
        run_dir=f"{directory}/runinfo",
        retries=1,
        strategy="none",
    )


def main(hub: str, directory: str) -> None:
    with parsl.load(config_of(hub, directory)) as dfk:
        tasks = {"lost-node": [hold_once(directory)]}
        lose_node(directory, tasks["lost-node"][0].tid)
        # One after the other, so that nothing else is on the node that is lost, or takes memory beside the
        # task that is to have it all.
        tasks["lost-node"][0].result()
        refused = refuse(7)
        first = add(refused, 1)
        tasks |= {
            "exception": [refused],
            "dependency": [first, add(first, 2), add(1, first)],
            "exit-code": [leave(3)],
            "environment": [call_missing(), import_missing()],
            "wall-time": [dawdle(walltime=0.5)],
            "flaky": [be_flaky(directory)],
        }
        for future in [future for futures in tasks.values() for future in futures]:
            future.exception()
        tasks["out-of-memory"] = [take_memory(int(0.85 * NODE_BYTES))]
        for try_id in (0, 1):
            kill_for_memory(directory, tasks["out-of-memory"][0].tid, try_id)
        tasks["out-of-memory"][0].exception()
        tasks["never-ended"] = [run_for_ever()]
        await_start(directory, tasks["never-ended"][0].tid)
    print(
        json.dumps(
            {
                "run": dfk.run_id,
                "tasks": {way: [future.tid for future in futures] for way, futures in tasks.items()},
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
