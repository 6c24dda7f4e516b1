"""`parsl-collector why` on a workflow that fails in eight ways, with our hub and with Parsl's own."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from parsl_collector._node import find_node, find_server

DEADLINE_S = 500
"""Only a failure takes so long, on a busy machine too."""

HUBS = ("ours", "parsl")

FINDINGS = {
    # What happened: how it is named, whether its tasks failed for good, and a part of its title or detail.
    "exception": ("exception", "failure", "failed with ValueError."),
    "exit-code": ("exit-code", "failure", "ended with exit code 3."),
    "out-of-memory": ("out-of-memory", "failure", "was killed while the memory of the node was nearly full."),
    "wall-time": ("wall-time", "failure", "ran longer than `walltime` allows"),
    "lost-node": ("lost-node", "warning", "was on a node that was lost"),
    "dependency": ("dependency", "failure", "3 tasks could not run, for a task before them failed."),
    "environment": ("environment", "failure", "No module named 'no_such_package'"),
    "never-ended": ("never-ended", "failure", "began and never ended."),
}


class Run(NamedTuple):
    database: pathlib.Path
    tasks: dict[str, list[int]]
    why: dict[str, Any]

    def findings(self, kind: str) -> list[dict[str, Any]]:
        return [finding for finding in self.why["findings"] if finding["kind"] == kind]


def run(hub: str, directory: pathlib.Path) -> Run:
    directory.mkdir()
    program = pathlib.Path(__file__).with_name("failing_workflow.py")
    # Parsl starts its interchange and its workers by name.
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    ended = subprocess.run(
        [sys.executable, str(program), hub, str(directory)],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    database = directory / "monitoring.db"
    return Run(database, told["tasks"], json.loads(why(database, "--run", told["run"], "--json")))


def why(database: pathlib.Path, *options: str) -> str:
    command = [find_node(None), find_server(), "why", "--database", str(database), *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    directory = tmp_path_factory.mktemp("why")
    with ThreadPoolExecutor() as pool:
        running = {hub: pool.submit(run, hub, directory / hub) for hub in HUBS}
        return {hub: ended.result() for hub, ended in running.items()}


@pytest.fixture(params=HUBS)
def failed_run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    return runs[request.param]


@pytest.mark.parametrize("way", FINDINGS)
def test_each_way_to_fail_is_named_once_with_its_tasks(failed_run: Run, way: str) -> None:
    kind, severity, words = FINDINGS[way]

    (finding,) = failed_run.findings(kind)

    tasks = failed_run.tasks[way]
    assert (finding["severity"], finding["count"], finding["tasks"]) == (severity, len(tasks), tasks)
    assert words in "\n".join([finding["title"], *finding["detail"]])


def test_what_another_try_saved_is_told_apart_from_what_it_did_not(failed_run: Run) -> None:
    (helped,) = failed_run.findings("retry-helped")
    (in_vain,) = failed_run.findings("retry-did-not-help")

    tasks = failed_run.tasks
    assert helped["tasks"] == sorted(tasks["lost-node"] + tasks["flaky"])
    ways = ("exception", "exit-code", "environment", "wall-time", "out-of-memory")
    assert in_vain["tasks"] == sorted(task for way in ways for task in tasks[way])


def test_nothing_else_is_found(failed_run: Run) -> None:
    kinds = {kind for kind, _, _ in FINDINGS.values()} | {"retry-helped", "retry-did-not-help", "block"}

    assert {finding["kind"] for finding in failed_run.why["findings"]} <= kinds


def test_a_memory_kill_is_told_with_what_the_task_had_of_the_node(failed_run: Run) -> None:
    (finding,) = failed_run.findings("out-of-memory")

    assert "of its node's 1.0 GiB" in finding["detail"][0]


def test_a_lost_node_is_told_with_its_last_heartbeat_and_its_block(failed_run: Run) -> None:
    (finding,) = failed_run.findings("lost-node")

    assert "its last heartbeat came at" in finding["detail"][0]
    assert "and it was gone at" in finding["detail"][0]
    assert "(job " in finding["detail"][0]


def test_each_query_returns_the_tasks_that_are_counted(failed_run: Run) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{failed_run.database}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        for finding in failed_run.why["findings"]:
            rows = database.execute(finding["query"]).fetchall()
            shown = sorted({row["task_id"] for row in rows} - {None})
            assert shown == finding["tasks"], finding["title"]
            assert len(shown) == finding["count"], finding["title"]


def test_the_command_prints_each_finding_with_its_query(failed_run: Run) -> None:
    text = why(failed_run.database)

    for finding in failed_run.why["findings"]:
        assert finding["title"].split()[0] in text
        assert "\n".join(f"      {line}" for line in finding["query"].split("\n")) in text
