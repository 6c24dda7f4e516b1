"""HTEX's interchange with records that are cheap to tell: the same rows, and who has another keeps it."""

from __future__ import annotations

import pathlib
import sys

import parsl
import pytest
from parsl.executors import HighThroughputExecutor
from parsl.multiprocessing import SpawnQueue
from parsl.providers import LocalProvider
from support import path_with_parsl, query, wait_until

from parsl_collector import CollectorHub, CollectorRadio, _interchange
from parsl_collector._queue import MessageQueue

PARSLS = ["interchange.py"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands by which interchanges would be started."""
    commands: list[list[str]] = []
    monkeypatch.setattr(
        HighThroughputExecutor,
        "_start_local_interchange_process",
        lambda executor: commands.append(executor.interchange_launch_cmd),
    )
    _interchange.install.__wrapped__()
    return commands


@pytest.mark.parametrize(
    ("command", "queue", "expected"),
    [
        (None, MessageQueue, [sys.executable, str(pathlib.Path(_interchange.__file__).parent)]),
        (["mine", "--fast"], MessageQueue, ["mine", "--fast"]),
        (None, SpawnQueue, PARSLS),
    ],
    ids=["of a CollectorHub", "the user's own", "of another hub"],
)
def test_only_parsls_own_interchange_of_a_collector_hub_is_started_otherwise(
    started, command, queue, expected
):
    executor = HighThroughputExecutor(interchange_launch_cmd=command)
    executor.monitoring_messages = queue()

    executor._start_local_interchange_process()

    assert started == [expected]
    assert executor.interchange_launch_cmd == (command or PARSLS)


def test_each_change_of_a_manager_is_a_row_and_no_line_of_the_log(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", path_with_parsl())
    executor = HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=1,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        remote_monitoring_radio=CollectorRadio(agent=False),
    )
    database = tmp_path / "monitoring.db"
    hub = CollectorHub(logging_endpoint=f"sqlite:///{database}", resource_monitoring_enabled=False)
    config = parsl.Config(
        executors=[executor], monitoring=hub, run_dir=str(tmp_path / "runinfo"), strategy="none"
    )
    with parsl.load(config):
        assert parsl.python_app(pow)(2, 5).result() == 32
        wait_until(
            lambda: query(database, "SELECT count(*) FROM node") == [(3,)],
            "one that registered, one with a task, one without again",
        )
    (log,) = (tmp_path / "runinfo").rglob("interchange.log")
    assert "Registered manager" in log.read_text()
    assert "Sending message" not in log.read_text()
