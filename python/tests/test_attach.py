"""attach: what an executor without a DataFlowKernel says is in the database when it has ended."""

from __future__ import annotations

import contextlib
import logging
import operator
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import uuid
import venv
from collections.abc import Iterator

import psutil
import pytest
from parsl import HighThroughputExecutor, ThreadPoolExecutor
from parsl.jobs.job_status_poller import JobStatusPoller
from parsl.monitoring.radios.base import RadioConfig
from parsl.monitoring.radios.htex import HTEXRadio
from parsl.monitoring.remote import monitor_wrapper
from parsl.multiprocessing import SpawnQueue
from parsl.providers import LocalProvider
from support import (
    DEADLINE_S,
    children_of_ours,
    count,
    has_rows,
    path_with_parsl,
    query,
    running_hub,
    task_info,
    wait_until,
)

from parsl_collector import CollectorHub, CollectorRadio, CollectorStartError, attach
from parsl_collector._queue import ExecutorQueue

GLOBUS_COMPUTE = "globus-compute-endpoint==4.19.0"

# For what is tested only where Globus Compute is installed already.
WANTS_GLOBUS_COMPUTE = pytest.mark.skipif(
    shutil.which("globus-compute-endpoint", path=os.path.dirname(sys.executable)) is None,
    reason=f"no Globus Compute beside this Python: pip install {GLOBUS_COMPUTE}",
)


@pytest.fixture(autouse=True)
def parsl_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_with_parsl())
    # Blocks are looked at whenever the poller comes by, and not after 5 s.
    monkeypatch.setattr(LocalProvider, "status_polling_interval", 0.05)


@pytest.fixture(scope="session")
def environment_with_globus_compute(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A temporary one over this: forty packages that nothing else needs, some in versions of their own."""
    if os.environ.get("PARSL_COLLECTOR_TEST_GLOBUS") is None:
        pytest.skip(f"PARSL_COLLECTOR_TEST_GLOBUS=1 installs {GLOBUS_COMPUTE} for it, in a minute")
    directory = tmp_path_factory.mktemp("globus-compute")
    venv.create(directory)
    below = sysconfig.get_path("purelib")
    (packages_of(directory) / "below.pth").write_text(f"import site; site.addsitedir({below!r})\n")
    pip = [sys.executable, "-m", "pip", "--python", str(directory / "bin" / "python")]
    install = [*pip, "install", "--quiet", "--no-compile", "--retries", "1", GLOBUS_COMPUTE]
    outcome = subprocess.run(install, capture_output=True, text=True)
    if "connection broken" in outcome.stderr and outcome.returncode != 0:
        pytest.skip(f"install {GLOBUS_COMPUTE}: no package registry is reached")
    assert outcome.returncode == 0, outcome.stderr
    return directory


def packages_of(environment: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))


@pytest.fixture
def globus_compute(environment_with_globus_compute: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(packages_of(environment_with_globus_compute)))
    # Its engine starts its workers by name. Parsl's programs are found here first.
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{environment_with_globus_compute / 'bin'}")


def bare_executor(directory: pathlib.Path, radio: RadioConfig | None = None) -> HighThroughputExecutor:
    provider = LocalProvider(init_blocks=1, max_blocks=1)
    provider.script_dir = str(directory)
    executor = HighThroughputExecutor(
        label="bare",
        address="127.0.0.1",
        max_workers_per_node=1,
        encrypted=False,
        provider=provider,
        remote_monitoring_radio=radio,
    )
    executor.run_dir = str(directory)
    return executor


@contextlib.contextmanager
def running(executor: HighThroughputExecutor) -> Iterator[None]:
    """From its start to its shutdown, with a block that is started, watched and ended as the engine of Globus
    Compute does it."""
    executor.start()
    poller = JobStatusPoller(strategy="none", max_idletime=DEADLINE_S, strategy_period=0.1)
    poller.add_executors([executor])
    try:
        yield
    finally:
        poller.close()
        executor.shutdown()


@pytest.mark.slow
def test_an_executor_is_recorded_from_its_start_to_the_end_of_its_shutdown(tmp_path, capfd):
    executor = bare_executor(tmp_path)
    attachment = attach(executor, run_id="a-run", hub=CollectorHub(workflow_name="alone"))
    assert not list(tmp_path.iterdir())
    with running(executor):
        assert executor.submit(operator.add, {}, 1, 2).result() == 3
        with pytest.raises(ZeroDivisionError):
            executor.submit(operator.truediv, {}, 1, 0).result()

    assert attachment.run_id == "a-run"
    database = tmp_path / "monitoring.db"
    run = "workflow_name, tasks_completed_count, tasks_failed_count, time_completed > time_began"
    assert query(database, f"SELECT run_id, {run} FROM workflow") == [("a-run", "alone", 1, 1, 1)]
    assert query(
        database, "SELECT run_id, executor_label, block_id, status FROM block ORDER BY timestamp"
    ) == [("a-run", "bare", "0", state) for state in ("PENDING", "RUNNING", "SCALED_IN")]
    nodes = query(database, "SELECT DISTINCT run_id, block_id, worker_count FROM node")
    assert nodes == [("a-run", "0", 1)]
    assert count(database, "collector_rejected") == 0
    assert capfd.readouterr().err.count("messages stored in") == 1
    assert children_of_ours() == []


@pytest.mark.slow
@pytest.mark.parametrize("radio", [HTEXRadio(), CollectorRadio(agent=False)], ids=["htex", "collector"])
def test_what_the_radio_carries_is_stored(tmp_path, radio):
    executor = bare_executor(tmp_path, radio)
    attachment = attach(executor)
    with running(executor):
        function, args, kwargs = monitor_wrapper(
            f=operator.add,
            args=(1, 2),
            kwargs={},
            x_try_id=0,
            x_task_id=7,
            radio_config=executor.remote_monitoring_radio,
            run_id=attachment.run_id,
            logging_level=logging.INFO,
            sleep_dur=DEADLINE_S,
            monitor_resources=True,
            run_dir=executor.run_dir,
        )
        assert executor.submit(function, {}, *args, **kwargs).result() == 3

    database = tmp_path / "monitoring.db"
    states = query(database, "SELECT task_id, task_status_name FROM status ORDER BY timestamp")
    assert states == [(7, "running"), (7, "running_ended")]
    assert query(database, "SELECT DISTINCT run_id, task_id FROM resource") == [(attachment.run_id, 7)]


@pytest.mark.slow
def test_a_killed_collector_costs_nothing(tmp_path, caplog, capfd):
    executor = bare_executor(tmp_path)
    attach(executor)
    with running(executor):
        executor.submit(operator.add, {}, 1, 2).result()
        wait_until(lambda: has_rows(tmp_path / "monitoring.db", "node", 1), "a row")
        [process] = [p for p in psutil.Process().children() if "--database" in " ".join(p.cmdline())]
        process.kill()
        executor.submit(operator.add, {}, 1, 2).result()

    assert query(tmp_path / "monitoring.db", "SELECT tasks_completed_count FROM workflow") == [(2,)]
    assert "the collector ended" in caplog.text
    [total, of_all] = re.findall(r"([\d,]+) of ([\d,]+) messages stored", capfd.readouterr().err)[0]
    assert total == of_all


@pytest.mark.slow
def test_an_executor_that_is_detached_goes_on_unrecorded(tmp_path, caplog):
    executor = bare_executor(tmp_path)
    attachment = attach(executor)
    database = tmp_path / "monitoring.db"
    with running(executor):
        with attachment:
            executor.submit(operator.add, {}, 1, 2).result()
        assert "detached from executor 'bare' before its shutdown" in caplog.text
        ended = query(database, "SELECT tasks_completed_count, time_completed IS NOT NULL FROM workflow")
        assert ended == [(1, 1)]
        nodes = count(database, "node")
        assert nodes > 0

        attachment.detach()
        assert executor.submit(operator.add, {}, 1, 2).result() == 3

    assert count(database, "node") == nodes
    blocks = query(database, "SELECT status FROM block ORDER BY timestamp")
    assert blocks == [("PENDING",), ("RUNNING",)]
    assert children_of_ours() == []


def test_an_owner_that_reads_the_executors_messages_goes_on_reading_them(tmp_path):
    owners = SpawnQueue()
    with running_hub(tmp_path) as hub:
        messages = ExecutorQueue(hub.resource_msgs, owners)
        messages.put(task_info())
        messages.put(None)
        assert [messages.get(timeout=DEADLINE_S) for _ in range(2)] == [task_info(), None]
        owners.close()

    assert count(tmp_path / "monitoring.db", "task") == 1
    assert count(tmp_path / "monitoring.db", "collector_rejected") == 0


def test_what_cannot_be_attached_is_told(tmp_path):
    class Engine:
        executor = bare_executor(tmp_path)

    with pytest.raises(
        TypeError, match="attach to Engine: it is no HighThroughputExecutor; attach to its .ex"
    ):
        attach(Engine())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="attach to ThreadPoolExecutor: it is no HighThroughputExecutor"):
        attach(ThreadPoolExecutor())  # type: ignore[arg-type]

    executor = bare_executor(tmp_path)
    attachment = attach(executor)
    with pytest.raises(ValueError, match="attach to executor 'bare': it is recorded already"):
        attach(executor)
    attachment.detach()
    again = attach(executor, run_id="a-run")
    executor.run_id = "of-a-kernel"
    with pytest.raises(ValueError, match="a DataFlowKernel has made it part of run of-a-kernel"):
        executor.start()
    again.detach()
    executor.interchange_proc = psutil.Popen(["true"])
    executor.interchange_proc.wait()
    with pytest.raises(ValueError, match="it has been started, .* call attach before start"):
        attach(executor)


def test_a_start_that_fails_leaves_nothing_running(tmp_path):
    without_node = bare_executor(tmp_path)
    attach(without_node, hub=CollectorHub(node=str(tmp_path / "no-node")))
    with pytest.raises(CollectorStartError, match="no-node"):
        without_node.start()
    without_node.shutdown()

    executor = bare_executor(tmp_path)
    attach(executor, run_id="a-run")
    executor.cert_dir = str(tmp_path)  # which Parsl refuses together with encrypted=False
    with pytest.raises(AttributeError, match="cert_dir"):
        executor.start()

    assert query(tmp_path / "monitoring.db", "SELECT run_id FROM workflow") == [("a-run",)]
    assert children_of_ours() == []


def test_a_hub_records_one_executor(tmp_path):
    with running_hub(tmp_path) as hub:
        executor = bare_executor(tmp_path)
        attach(executor, hub=hub)
        with pytest.raises(
            ValueError, match="its hub records another run; give each executor a hub of its own"
        ):
            executor.start()


@pytest.mark.slow
@pytest.mark.usefixtures("globus_compute")
@pytest.mark.parametrize(
    "is_audited", [False, pytest.param(True, marks=WANTS_GLOBUS_COMPUTE)], ids=["plain", "audited"]
)
def test_an_engine_of_globus_compute_is_recorded_though_it_reads_its_messages_too(
    tmp_path, monkeypatch, is_audited
):
    from globus_compute_common.messagepack import pack, unpack
    from globus_compute_common.messagepack.message_types import Task
    from globus_compute_endpoint import engines
    from globus_compute_endpoint.endpoint.config.utils import load_config_yaml
    from globus_compute_endpoint.engines.base import GCFuture
    from globus_compute_sdk.serialize import ComputeSerializer

    class RecordedEngine(engines.GlobusComputeEngine):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.attachment = attach(self.executor)

    monkeypatch.setattr(engines, "RecordedEngine", RecordedEngine, raising=False)
    engine = load_config_yaml("""
        engine:
          type: RecordedEngine
          label: engine
          address: 127.0.0.1
          max_workers_per_node: 1
          encrypted: false
          provider: { type: LocalProvider, init_blocks: 1, min_blocks: 1, max_blocks: 1 }
          job_status_kwargs: { strategy_period: 0.1 }
    """).engine
    engine.start(endpoint_id=uuid.uuid4(), run_dir=str(tmp_path), monitored=is_audited)
    serializer, task_id = ComputeSerializer(), uuid.uuid4()
    held = f"until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo done"
    call = (subprocess.check_output, (["sh", "-c", held],), {})
    buffer = serializer.pack_buffers([serializer.serialize(part) for part in call])
    future = GCFuture(task_id)
    engine.submit(future, pack(Task(task_id=task_id, task_buffer=buffer)), resource_specification={})
    if is_audited:
        wait_until(lambda: future.block_id == "0", "the engine to read where its task is")
    (tmp_path / "go").touch()
    result = unpack(future.result(DEADLINE_S))
    engine.shutdown()

    assert serializer.deserialize(result.data) == b"done\n"
    database = tmp_path / "monitoring.db"
    run_id = engine.attachment.run_id
    run = (run_id, "engine-HighThroughputExecutor")
    assert query(database, "SELECT run_id, workflow_name, tasks_completed_count FROM workflow") == [(*run, 1)]
    states = query(database, "SELECT run_id, executor_label, status FROM block ORDER BY timestamp")
    assert states == [(*run, state) for state in ("PENDING", "RUNNING", "SCALED_IN")]
    assert query(database, "SELECT DISTINCT run_id, block_id FROM node") == [(run_id, "0")]
    assert count(database, "collector_rejected") == 0
    assert children_of_ours() == []
