"""The agent of the submit host, which is there before the first task where blocks run there."""

from __future__ import annotations

import os
import threading

import parsl
import pytest
from parsl.executors import HighThroughputExecutor
from parsl.launchers import SrunLauncher
from parsl.multiprocessing import SpawnQueue
from parsl.providers import LocalProvider
from support import HERE, agents, children_of_ours, collector, count, path_with_parsl, wait_until

from parsl_collector import CollectorHub, CollectorRadio, _local_agent
from parsl_collector._agent import AgentError, NodeAgent


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[HighThroughputExecutor]:
    """The executors whose blocks would be started."""
    started: list[HighThroughputExecutor] = []
    monkeypatch.setattr(HighThroughputExecutor, "initialize_scaling", started.append)
    _local_agent.install.__wrapped__()
    return started


def executor(radio: CollectorRadio, provider: LocalProvider | None = None) -> HighThroughputExecutor:
    made = HighThroughputExecutor(provider=provider or LocalProvider(), remote_monitoring_radio=radio)
    made.monitoring_receiver = radio.create_receiver(run_dir="/nowhere", resource_msgs=SpawnQueue())
    return made


def test_it_is_started_beside_the_block_and_ends_with_the_executor(tmp_path, homes, blocks):
    with collector(tmp_path / "m.db") as running:
        radio = CollectorRadio(running.address)
        made = executor(radio)
        made.initialize_scaling()
        assert blocks == [made]
        wait_until(lambda: len(agents(running)) == 1, "an agent")
        (agent,) = agents(running)
        # Workers' radios come out of a pickle; it is the same agent that they look for.
        NodeAgent(radio._specs, radio.agent_options()).reach().close()
        assert agents(running) == [agent]
        assert agent not in children_of_ours()
        made.monitoring_receiver.shutdown()
        wait_until(lambda: not agents(running), "its end")


def test_it_is_kept_for_workers_for_a_while_only(tmp_path, homes, blocks, monkeypatch):
    monkeypatch.setattr(_local_agent, "HOLD_S", 0.1)
    with collector(tmp_path / "m.db") as running:
        executor(CollectorRadio(running.address)).initialize_scaling()
        wait_until(lambda: agents(running), "an agent")
        wait_until(lambda: not agents(running), "its end")


@pytest.mark.parametrize(
    ("radio", "provider"),
    [
        ({}, {"init_blocks": 0}),
        ({}, {"launcher": SrunLauncher()}),
        ({"agent": False}, {}),
        ({"spool": "relative"}, {}),
    ],
    ids=["no block", "a block elsewhere", "without agents", "a spool that is elsewhere for workers"],
)
def test_none_is_started_where_no_worker_would_use_it(blocks, monkeypatch, radio, provider):
    asked = threading.Event()
    monkeypatch.setattr(NodeAgent, "reach", lambda _agent: asked.wait())
    made = executor(CollectorRadio("127.0.0.1:1", **radio), LocalProvider(**provider))
    made.initialize_scaling()
    assert blocks == [made]
    assert "parsl-collector-agent" not in [thread.name for thread in threading.enumerate()]


def test_where_none_can_be_started_the_block_is_all_the_same(blocks, monkeypatch, caplog):
    asked = threading.Event()

    def fail(_agent: NodeAgent) -> None:
        asked.set()
        raise AgentError("no Node.js")

    monkeypatch.setattr(NodeAgent, "reach", fail)
    made = executor(CollectorRadio("127.0.0.1:1"))
    with caplog.at_level("INFO"):
        made.initialize_scaling()
        assert asked.wait(60)
    assert blocks == [made]
    # A worker says so, whose tasks it is about.
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


def test_a_real_program_has_it_before_its_first_task_and_leaves_none(tmp_path, homes, monkeypatch):
    monkeypatch.setenv("PATH", path_with_parsl())
    monkeypatch.setenv("PYTHONPATH", str(HERE))  # where they find this app
    with collector(tmp_path / "m.db") as running:
        htex = HighThroughputExecutor(
            address="127.0.0.1",
            max_workers_per_node=2,
            cores_per_worker=0.1,
            encrypted=False,
            provider=LocalProvider(init_blocks=1, max_blocks=1),
            remote_monitoring_radio=CollectorRadio(),
        )

        @parsl.python_app
        def who():
            return os.getpid()

        config = parsl.Config(
            executors=[htex],
            monitoring=CollectorHub(address=running.address, resource_monitoring_interval=0.2),
            run_dir=str(tmp_path / "runinfo"),
            strategy="none",
        )
        with parsl.load(config):
            wait_until(lambda: len(agents(running)) == 1, "an agent before the first task")
            before = agents(running)
            assert all(future.result() for future in [who() for _ in range(20)])
            assert agents(running) == before
        wait_until(lambda: not agents(running), "its end")
        assert count(running.database, "try") == 20
