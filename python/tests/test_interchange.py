"""HTEX's interchange with records that are cheap to tell: the same rows, and who has another keeps it."""

from __future__ import annotations

import pathlib
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import parsl
import pytest
import zmq
from parsl.executors import HighThroughputExecutor
from parsl.monitoring.message_type import MessageType
from parsl.multiprocessing import SpawnQueue
from parsl.providers import LocalProvider
from support import node_info, path_with_parsl, query, task_info, wait_until

from parsl_collector import CollectorHub, CollectorRadio, _interchange
from parsl_collector._interchange.__main__ import GatheringRadio
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


def test_what_is_told_of_managers_in_a_moment_goes_together_and_all_else_at_once(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # this process is no interchange
    with zmq.Context() as context, context.socket(zmq.DEALER) as router:
        router.RCVTIMEO = 30_000
        radio = GatheringRadio("127.0.0.1", router.bind_to_random_port("tcp://127.0.0.1"), None)
        told = [node_info(str(n)) for n in range(1000)]

        for message in told:
            radio.send(message)
        radio.send(task_info(1))
        radio.close()

        came = []
        while sum(len(body) for kind, body in came if kind is MessageType.NODE_INFO) < len(told):
            came.append(router.recv_pyobj())
    assert task_info(1) in came
    bodies = [body for kind, body in came if kind is MessageType.NODE_INFO]
    assert [body for gathered in bodies for body in gathered] == [body for _, body in told]
    assert len(bodies) < 10


@pytest.fixture
def run(tmp_path, monkeypatch) -> Callable[[int], AbstractContextManager[pathlib.Path]]:
    """Runs tasks one after the other; meanwhile and afterwards their database is there."""
    monkeypatch.setenv("PATH", path_with_parsl())

    @contextmanager
    def run(tasks: int) -> Iterator[pathlib.Path]:
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
            for exponent in range(tasks):
                assert parsl.python_app(pow)(2, exponent).result() == 2**exponent
            yield database

    return run


def test_each_change_of_a_manager_is_a_row_and_no_line_of_the_log(tmp_path, run):
    with run(1) as database:
        wait_until(
            lambda: query(database, "SELECT count(*) FROM node") == [(3,)],
            "one that registered, one with a task, one without again",
        )
    (log,) = (tmp_path / "runinfo").rglob("interchange.log")
    assert "Registered manager" in log.read_text()
    assert "Sending message" not in log.read_text()


def test_what_is_gathered_when_the_interchange_is_ended_is_a_row_too(run):
    with run(20) as database:
        pass

    # It registers, changes twice a task, and is held when its block is to end, just before the interchange.
    assert query(database, "SELECT count(*), sum(NOT active) FROM node") == [(1 + 2 * 20 + 1, 1)]
