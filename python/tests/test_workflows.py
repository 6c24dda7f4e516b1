"""One real workflow by each way that Parsl carries its messages, beside the same one with Parsl's own hub."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import platform
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from support import HERE, collector, in_order, path_with_parsl, query

pytestmark = pytest.mark.slow

DEADLINE_S = 400.0
"""Only a failure takes so long, on a busy machine too."""

WAYS = ("collector", "collector-filesystem", "collector-udp", "default", "filesystem", "udp", "threads")
"""Radios and executors as workflow.py names them. No-ops run on the first."""

NO_OPS = 500

TASKS = 12
"""Of one workflow."""

RETURNED = [3, 12, 0, 49, 49, "ValueError('failed on purpose with 8')", "DependencyError", [11, 12]]


class Run(NamedTuple):
    """A program that has ended in good order."""

    database: pathlib.Path
    told: dict[str, dict[str, Any]]
    errors: str

    def query(self, sql: str) -> list[tuple]:
        return query(self.database, sql)

    def of_way(self, way: str, table: str) -> list[dict[str, Any]]:
        """The rows of one way's tasks, without what differs each time that the workflow runs."""
        first = self.told[way]["first"]
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute(
                f'SELECT * FROM "{table}" WHERE task_id >= ? AND task_id < ?', (first, first + TASKS)
            ).fetchall()
        return in_order(
            {column: _comparable(column, row[column], first, way) for column in row.keys()} for row in rows
        )


def _comparable(column: str, value: Any, first: int, way: str) -> Any:
    if value in (None, ""):
        return value
    if column == "task_id":
        return value - first
    if column in ("task_depends", "task_joins"):
        return [int(number) - first for number in value.split(",")]
    if column == "run_id" or column == "task_hashsum" or "time" in column:
        return "differs"
    if column == "task_fail_history":  # of a task whose input failed, it names both tasks
        return re.sub(r"(task |], )\d+", r"\1...", value)
    if column == "task_executor":
        return value.replace(way, "the way")
    return os.path.basename(value) if column == "task_stdout" else value


def run(directory: pathlib.Path, hub: str, no_ops: int, *ways: str) -> Run:
    directory.mkdir()
    program = str(HERE / "programs" / "workflow.py")
    path = path_with_parsl()
    ended = subprocess.run(
        [sys.executable, program, hub, str(directory), str(no_ops), *ways],
        cwd=directory,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert ended.returncode == 0, ended.stderr
    return Run(directory / "monitoring.db", json.loads(ended.stdout.splitlines()[-1]), ended.stderr)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """The program with our hub, by all ways and by one whose collector is gone, and with Parsl's hub."""
    directory = tmp_path_factory.mktemp("runs")
    with collector(directory / "gone.db") as gone:
        pass
    with ThreadPoolExecutor() as pool:
        ours = pool.submit(run, directory / "ours", "ours", NO_OPS, *WAYS, gone.address)
        parsls = pool.submit(run, directory / "parsls", "parsl", 0, "default", "threads")
        return ours.result(), parsls.result()


@pytest.fixture
def ours(runs: tuple[Run, Run]) -> Run:
    return runs[0]


def of_parsl(way: str) -> str:
    """The way of Parsl's run to compare with: all radios say the same."""
    return "threads" if way == "threads" else "default"


@pytest.mark.parametrize("way", WAYS)
def test_the_workflow_does_what_it_does_with_parsls_hub(runs, way):
    ours, parsls = runs

    assert ours.told[way]["returned"] == parsls.told[of_parsl(way)]["returned"] == RETURNED


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("table", ["task", "try", "status"])
def test_the_tables_say_what_parsls_hub_makes_of_the_same_program(runs, way, table):
    ours, parsls = runs

    rows = ours.of_way(way, table)

    assert rows == parsls.of_way(of_parsl(way), table)
    assert len(rows) >= TASKS


@pytest.mark.parametrize("way", WAYS)
def test_the_same_tries_have_samples(runs, way):
    # How many depends on how long a try takes. Parsl samples nothing that runs in a thread.
    sampled = [
        {(row["task_id"], row["try_id"]) for row in run.of_way(of_run, "resource")}
        for run, of_run in zip(runs, (way, of_parsl(way)), strict=True)
    ]

    assert sampled[0] == sampled[1]
    assert len(sampled[0]) == (0 if way == "threads" else 11)


@pytest.mark.parametrize("way", WAYS)
def test_every_try_that_ran_has_its_host_and_all_its_states(ours, way):
    states: dict[tuple[int, int], set[str]] = {}
    for row in ours.of_way(way, "status"):
        states.setdefault((row["task_id"], row["try_id"]), set()).add(row["task_status_name"])
    hosts = {(row["task_id"], row["try_id"]): row["hostname"] for row in ours.of_way(way, "try")}

    ran = {of_try for of_try, names in states.items() if "launched" in names}
    assert len(ran) == 12  # two tries of each that fails; not the memoized one, nor the one without its input
    assert {hosts[of_try] for of_try in ran} == {platform.node()}
    for of_try in ran:
        assert states[of_try] >= {"pending", "launched", "running", "running_ended"}


def test_the_totals_are_those_of_parsls_hub(runs):
    totals = "SELECT tasks_completed_count, tasks_failed_count, time_completed > time_began FROM workflow"
    [(completed, failed, ended)], [(parsls_completed, parsls_failed, _)] = (run.query(totals) for run in runs)

    assert (completed - NO_OPS) / len(runs[0].told) == parsls_completed / len(runs[1].told)
    assert failed / len(runs[0].told) == parsls_failed / len(runs[1].told)
    assert ended == 1


def test_nodes_and_blocks_are_those_of_the_executors(runs):
    # Of each of them how many rows there are depends on how many polls fall into the run.
    columns = "hostname, block_id, active, cpu_count, total_memory, worker_count, python_v"
    nodes = f"SELECT DISTINCT {columns} FROM node"
    ours, parsls = (sorted(run.query(nodes)) for run in runs)
    assert ours == parsls != []

    blocks = runs[0].query("SELECT DISTINCT executor_label, block_id FROM block")
    assert set(blocks) == {(way, "0") for way in runs[0].told if way != "threads"}


def test_every_message_is_stored_and_the_last_line_says_so(ours):
    [(stored, last)] = ours.query("SELECT sum(stored), sum(last_sequence) FROM collector_sender")

    assert stored == last
    assert ours.query("SELECT count(*) FROM collector_rejected") == [(0,)]
    line = f"parsl-collector: {stored:,} of {stored:,} messages stored in {ours.database}"
    assert ours.errors.splitlines()[-1] == line


def test_workers_reach_the_collector_themselves_each_by_its_radio(ours):
    radios = "SELECT radio, hostname FROM collector_sender JOIN collector_sender_radio ON id = sender"

    # Two workers of each executor, all of which were busy, and their agent, which sampled them; beside the
    # queue of the submit process.
    workers = [(radio, platform.node()) for radio in ("filesystem", "grpc", "udp") for _ in range(3)]
    assert sorted(ours.query(radios), key=str) == sorted([("grpc", None), *workers], key=str)


def test_tasks_that_take_no_time_have_their_host_and_their_running_time(ours):
    last_first = max(told["first"] for told in ours.told.values())
    tasks = f"task_id >= {last_first + TASKS}"

    states = f"SELECT task_status_name, count(*) FROM status WHERE {tasks} GROUP BY 1 ORDER BY 1"
    assert ours.query(states) == [
        (state, NO_OPS) for state in ("exec_done", "launched", "pending", "running", "running_ended")
    ]
    complete = "hostname IS NOT NULL AND task_try_time_running IS NOT NULL"
    assert ours.query(f"SELECT count(*) FROM try WHERE {tasks} AND {complete}") == [(NO_OPS,)]


def test_tasks_end_when_their_radio_finds_no_collector(ours):
    [gone] = set(ours.told) - set(WAYS)

    assert ours.told[gone]["returned"] == RETURNED
    # What is said on the submit host goes by the hub's queue: the tasks, and the only one that runs there.
    names = {row["task_id"]: row["task_func_name"] for row in ours.of_way(gone, "task")}
    assert len(names) == TASKS
    ran = {row["task_id"] for row in ours.of_way(gone, "status") if row["task_status_name"] == "running"}
    assert {names[task_id] for task_id in ran} == {"add_twice"}
