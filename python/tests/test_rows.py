"""What users report of Parsl's rows, by way of a hub's queue."""

from __future__ import annotations

import datetime
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from parsl.monitoring.message_type import MessageType
from support import (
    Unpicklable,
    Unprintable,
    block,
    block_info,
    golden_messages,
    golden_rows,
    has_rows,
    in_order,
    node_info,
    query,
    resource_info,
    rows_of,
    running_hub,
    task_info,
    wait_until,
    worker_task_info,
    workflow_end,
    workflow_start,
)

from parsl_collector import CollectorHub

ZONE = "America/St_Johns"
"""Half an hour off the others, and not the one that the tests run in."""


class Store:
    """One hub for all tests here: each has a run of its own, and its messages behind one another."""

    def __init__(self, database: pathlib.Path, hub: CollectorHub) -> None:
        self.database = database
        self.put = hub.resource_msgs.put
        self._runs = 0

    def __call__(self, *things: Any) -> Rows:
        """The rows of a run with these messages, when they are stored."""
        self._runs += 1
        run_id = f"run {self._runs}"
        for thing in (workflow_start(), *things):
            self.put(of_run(run_id, thing))
        return self.await_rows(run_id)

    def await_rows(self, run_id: str) -> Rows:
        self.put(workflow_start(f"{run_id} stored"))
        marker = "SELECT count(*) FROM workflow WHERE run_id = ?"
        wait_until(lambda: query(self.database, marker, f"{run_id} stored") == [(1,)], run_id)
        return Rows(self.database, run_id)


class Rows:
    """What the database has of one run."""

    def __init__(self, database: pathlib.Path, run_id: str) -> None:
        self.database = database
        self.run_id = run_id

    def query(self, columns: str, table: str, order: str = "1") -> list[tuple]:
        return query(
            self.database, f'SELECT {columns} FROM "{table}" WHERE run_id = ? ORDER BY {order}', self.run_id
        )


def of_run(run_id: str, thing: Any) -> Any:
    """The same message, said of another run; what is no message stays as it is."""
    if isinstance(thing, tuple) and len(thing) == 2 and isinstance(thing[1], dict) and "run_id" in thing[1]:
        return thing[0], {**thing[1], "run_id": run_id}
    if isinstance(thing, tuple) and len(thing) == 2 and isinstance(thing[1], list):
        return thing[0], [{**b, "run_id": run_id} if isinstance(b, dict) else b for b in thing[1]]
    return thing


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory = tmp_path_factory.mktemp("rows")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", ZONE)  # for the processes of the hub
        with running_hub(directory) as hub:
            database = directory / "monitoring.db"
            wait_until(lambda: has_rows(database, "workflow", 0), "the tables")
            yield Store(database, hub)


def test_a_replayed_workflow_gives_the_rows_of_parsls_own_hub_in_any_zone(store):
    [workflow] = golden_rows()["workflow"]
    for message in golden_messages():
        store.put(message)

    stored = rows_of(store.await_rows("golden").database, workflow["run_id"])

    assert stored == {table: in_order(rows) for table, rows in golden_rows().items()}


def test_one_instant_said_in_two_zones_is_one_time_of_the_hubs_zone(store):
    instant = datetime.datetime(2026, 11, 25, 11, 30, 0, 300, datetime.timezone.utc)
    ahead, behind = (datetime.timezone(datetime.timedelta(hours=hours)) for hours in (5, -8))

    rows = store(
        worker_task_info(0, timestamp=instant.astimezone(ahead)),
        worker_task_info(1, timestamp=instant.astimezone(behind)),
    )

    assert rows.query("timestamp", "status") == [("2026-11-25 08:00:00.000300",)] * 2


def test_samples_300_microseconds_apart_are_two_rows(store):
    rows = store(resource_info(seconds=1), resource_info(seconds=1.0003))

    assert rows.query("timestamp", "resource") == [
        ("2026-01-01 00:00:01.000000",),
        ("2026-01-01 00:00:01.000300",),
    ]


def test_unset_is_null_and_zero_is_zero(store):
    rows = store(
        resource_info(0, psutil_process_disk_read=None),
        resource_info(1, psutil_process_disk_read=0),
        worker_task_info(2, block_id=None),
        task_info(2),
    )

    assert rows.query("psutil_process_disk_read", "resource", "task_id") == [(None,), (0.0,)]
    assert rows.query("block_id", "try") == [(None,)]


def test_what_is_no_message_is_kept_with_its_reason_among_those_that_are(store):
    tag, without_state = task_info(50)
    del without_state["task_status_name"]
    unprintable = task_info(51, task_func_name=Unprintable())
    bad = {
        "expected a tuple of type and body, got NoneType": None,
        "unknown message type 99": (99, {}),
        "expected a tuple of type and body, got a tuple of 3": (MessageType.TASK_INFO, {}, 3),
        "task_status_name": (tag, without_state),
        "BLOCK_INFO: expected a list of blocks, got dict": (MessageType.BLOCK_INFO, block()),
        "BLOCK_INFO: expected a dict, got str": block_info(block("1"), "no block", block("2")),
        "it cannot be unpickled: RuntimeError: no unpickling": Unpicklable(),
        "expected a tuple of type and body, got Unprintable": Unprintable(),
        "TASK_INFO: task_func_name: expected text, got Unprintable": unprintable,
    }

    rows = store(
        *(thing for n, one in enumerate(bad.values()) for thing in (task_info(n), one)), task_info(99)
    )

    reasons = rows.query("reason", "collector_rejected", "sequence")
    assert len(reasons) == len(bad)
    for (reason,), expected in zip(reasons, bad, strict=True):
        assert expected in reason
    assert rows.query("task_id", "task") == [(n,) for n in (*range(len(bad)), 99)]
    assert rows.query("block_id", "block") == [("1",), ("2",)]


def test_case_72_a_file_name_that_is_no_utf_8_costs_no_neighbour(store):
    names = ("before", os.fsdecode(b"log\xff"), "after")

    rows = store(*(task_info(n, task_stdout=name) for n, name in enumerate(names)))

    assert rows.query("task_stdout", "task", "task_id") == [("before",), ("log\\udcff",), ("after",)]


def test_totals_are_the_senders_and_a_memoized_task_never_ran(store):
    done = [task_info(n, "exec_done", tasks_completed_count=n + 1) for n in range(3)]
    memoized = [task_info(n, "memo_done", tasks_completed_count=3, from_memo=True) for n in (3, 4)]

    rows = store(*done, *memoized, workflow_end(tasks_completed_count=3))

    assert rows.query("tasks_completed_count, tasks_failed_count", "workflow") == [(3, 0)]
    assert rows.query("task_try_time_running, hostname", "try") == [(None, None)] * 5


def test_a_join_app_keeps_the_tasks_that_it_joined(store):
    rows = store(
        task_info(0, "pending", 1),
        task_info(0, "launched", 2),
        worker_task_info(0, seconds=3),
        worker_task_info(0, is_last=True, seconds=4),
        task_info(0, "joining", 5, task_joins="1,2"),
        task_info(0, "exec_done", 6, task_joins="1,2"),
    )

    assert rows.query("task_joins", "try") == [("1,2",)]
    states = ["pending", "launched", "running", "running_ended", "joining", "exec_done"]
    assert rows.query("task_status_name", "status", "timestamp") == [(state,) for state in states]


def test_equal_task_numbers_of_two_runs_are_two_tasks(store):
    runs = [store(task_info(0, task_func_name=name)) for name in ("a", "b")]

    assert [rows.query("task_func_name", "task") for rows in runs] == [[("a",)], [("b",)]]
    assert [rows.query("count(*)", "try") for rows in runs] == [[(1,)], [(1,)]]


def test_attempts_keep_what_each_of_them_said(store):
    rows = store(
        task_info(0, "launched", 1),
        worker_task_info(0, hostname="n1", seconds=2),
        task_info(0, "fail_retryable", 3, task_fail_history="boom", task_fail_count=1),
        task_info(0, "launched", 4, try_id=1, task_fail_count=1),
        worker_task_info(0, try_id=1, hostname="n2", seconds=5),
        worker_task_info(0, try_id=1, hostname="n2", is_last=True, seconds=6),
        task_info(0, "exec_done", 7, try_id=1, task_fail_count=1),
    )

    attempts = rows.query("try_id, hostname, task_fail_history", "try")
    assert attempts == [(0, "n1", "boom"), (1, "n2", "")]
    assert rows.query("task_fail_count", "task") == [(1,)]


def test_managers_that_register_in_the_same_moment_have_a_row_each(store):
    rows = store(*(node_info(uid) for uid in "abc"))

    assert rows.query("uid, active", "node") == [("a", 1), ("b", 1), ("c", 1)]


def test_a_large_poll_of_blocks_is_stored_whole(store):
    failed = block("2", job_id=None, status="FAILED")

    rows = store(block_info(failed, *(block(str(n)) for n in range(3, 20_002))))

    assert rows.query("count(*)", "block") == [(20_000,)]
    assert rows.query("job_id, status", "block", "job_id NULLS FIRST LIMIT 1") == [(None, "FAILED")]


def test_five_megabytes_of_inputs_hold_nothing_up(store):
    rows = store(task_info(0, task_inputs="x" * 5_000_000), *(task_info(n) for n in range(1, 11)))

    assert rows.query("count(*), max(length(task_inputs))", "task") == [(11, 5_000_000)]


def test_a_run_without_an_end_has_none(store):
    rows = store(task_info(0, "launched", 1), worker_task_info(0))

    assert rows.query("time_completed", "workflow") == [(None,)]
    times = rows.query("task_try_time_running, task_try_time_returned", "try")
    assert times == [("2026-01-01 00:00:02.000000", None)]
