"""How a run ends, in good order and in bad: the tests of the table "Shutdown" in docs/DESIGN.md."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
from support import (
    DEADLINE_S,
    HERE,
    children_of_ours,
    collector,
    count,
    has_rows,
    is_tracker,
    path_with_parsl,
    query,
    replay,
    resource_info,
    running_hub,
    task_info,
    wait_until,
    worker_task_info,
    workflow_end,
    workflow_start,
)

from parsl_collector._channel import get_status, open_channel
from parsl_collector._encode import encode
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._road import RoadSpec
from parsl_collector._sender import MessageSender


@contextlib.contextmanager
def program(tmp_path: pathlib.Path, name: str, *words: str):
    """A submit process in a process group of its own, as in a shell. What it leaves running is ended."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "programs" / name), str(tmp_path), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={
            **os.environ,
            "PYTHONPATH": str(HERE),
            "PATH": path_with_parsl(),
        },
    )
    started: list[psutil.Process] = []
    try:
        yield process, started
    finally:
        if process.poll() is None:
            started += psutil.Process(process.pid).children(recursive=True)
            process.kill()
        for left in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()
        process.communicate()


def await_line(process: subprocess.Popen, line: str) -> None:
    assert process.stdout.readline() == f"{line}\n", process.stderr.read()


def children_of(pid: int, *names: str) -> list[psutil.Process]:
    """The children whose command line has one of `names`."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):  # it ended while we looked
            if any(name in " ".join(child.cmdline()) for name in names):
                found.append(child)
    return found


def drain_of(pid: int) -> psutil.Process:
    wait_until(lambda: children_of(pid, "spawn_main", "parsl: monitoring drain"), "the drain")
    return children_of(pid, "spawn_main", "parsl: monitoring drain")[0]


def collector_of(pid: int) -> psutil.Process:
    wait_until(lambda: children_of(pid, "--database"), "the collector")
    return children_of(pid, "--database")[0]


def is_gone(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def await_end(processes: list[psutil.Process]) -> None:
    wait_until(lambda: all(is_gone(process) for process in processes), f"{processes} to end")


def is_whole(database: pathlib.Path) -> bool:
    return query(database, "PRAGMA integrity_check") == [("ok",)]


def pass_silence(database: pathlib.Path) -> None:
    """As if nothing had been heard for two minutes: a collector takes 90 s of it for the loss of a run."""
    with contextlib.closing(sqlite3.connect(database, timeout=DEADLINE_S)) as db:
        for (heard,) in db.execute("SELECT DISTINCT last_received_at FROM collector_sender_run").fetchall():
            earlier = datetime.datetime.fromisoformat(heard) - datetime.timedelta(minutes=2)
            db.execute(
                "UPDATE collector_sender_run SET last_received_at = ? WHERE last_received_at = ?",
                (earlier.isoformat(" ", "microseconds"), heard),
            )
        db.commit()


def status_of(database: pathlib.Path, *late: tuple) -> service_pb.GetStatusResponse:
    """What a collector that opens the file afterwards says of it, once `late` messages have come."""
    with collector(database) as running:
        if late:
            sender = MessageSender(running.address)
            for message in late:
                for encoded in encode(message):
                    assert sender.add(encoded, DEADLINE_S)
            assert sender.flush(DEADLINE_S)
            sender.close(0)
        with open_channel(RoadSpec("grpc", running.address)) as channel:
            return get_status(channel, "", timeout=DEADLINE_S)


def state_of(database: pathlib.Path, *late: tuple) -> str:
    [run] = status_of(database, *late).runs
    return service_pb.RunState.Name(run.state)


def end_by_sigterm(process: psutil.Process) -> None:
    process.terminate()


def end_by_sigint(process: psutil.Process) -> None:
    process.send_signal(signal.SIGINT)


def end_by_two_signals(process: psutil.Process) -> None:
    process.terminate()
    process.send_signal(signal.SIGINT)  # another: two of a kind may arrive as one


def end_by_kill(process: psutil.Process) -> None:
    process.kill()


@pytest.mark.parametrize("end", [end_by_sigterm, end_by_sigint, end_by_two_signals, end_by_kill])
def test_an_ended_collector_is_started_again_and_each_message_is_stored_once(tmp_path, caplog, capfd, end):
    caplog.set_level(logging.WARNING, "parsl")
    database = tmp_path / "monitoring.db"
    with running_hub(tmp_path) as hub:
        hub.resource_msgs.put(workflow_start())
        for n in range(10_000):
            hub.resource_msgs.put(resource_info(seconds=n))
        wait_until(lambda: has_rows(database, "resource", 1), "the first rows")
        running = collector_of(os.getpid())
        end(running)
        for n in range(10_000, 20_000):
            hub.resource_msgs.put(resource_info(seconds=n))

    assert query(database, "SELECT count(*), count(DISTINCT timestamp) FROM resource") == [(20_000, 20_000)]
    assert is_whole(database)
    assert "20,001 of 20,001 messages stored" in capfd.readouterr().err
    # Below Parsl's logger, whose handler writes parsl.log.
    assert all(record.name.startswith("parsl.") for record in caplog.records)
    assert [r.message.split("(")[0] for r in caplog.records] == [
        "monitoring: the collector ended ",
        "monitoring: the collector runs again ",
    ]
    assert is_gone(running)
    assert children_of_ours() == []


def test_a_killed_drain_is_replaced_and_the_end_says_so(tmp_path, caplog, capfd):
    database = tmp_path / "monitoring.db"
    with running_hub(tmp_path) as hub:
        hub.resource_msgs.put(workflow_start())
        wait_until(lambda: has_rows(database, "workflow", 1), "the drain to run")
        hub._drain._process.kill()
        wait_until(lambda: "the drain process died" in caplog.text, "its death to be told")
        hub.resource_msgs.put(task_info())

    assert count(database, "task") == 1
    assert is_whole(database)
    assert "2 of 2 messages stored" in (told := capfd.readouterr().err)
    assert "the drain process died on the way" in told
    assert children_of_ours() == []


def test_case_24_ctrl_c_in_the_program_stores_the_end_of_the_workflow(tmp_path):
    with program(tmp_path, "until_ended.py", "parsl") as (process, started):
        await_line(process, "put")
        started += psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_S)
        await_end(started)

    database = tmp_path / "monitoring.db"
    [(messages,)] = query(database, "SELECT sum(last_sequence) FROM collector_sender")
    assert f"{messages} of {messages} messages stored" in errors
    assert query(database, "SELECT time_completed IS NOT NULL FROM workflow") == [(1,)]
    assert query(database, "SELECT count(*) FROM status WHERE task_status_name = 'exec_done'") == [(3,)]
    assert is_whole(database)
    assert state_of(database) == "RUN_STATE_COMPLETED"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_case_24_the_run_of_a_program_that_a_signal_ended_is_lost_with_all_that_it_said_stored(
    tmp_path, number
):
    database = tmp_path / "monitoring.db"
    with program(tmp_path, "until_ended.py", "parsl") as (process, started):
        await_line(process, "put")
        done = "SELECT 1 FROM status WHERE task_status_name = 'exec_done'"
        wait_until(lambda: has_rows(database, "status", 1) and len(query(database, done)) == 3, "the tasks")
        started += psutil.Process(process.pid).children(recursive=True)
        assert state_of(database) == "RUN_STATE_RUNNING"
        process.send_signal(number)
        process.wait()
        await_end(started)

    assert len(started) >= 2
    assert count(database, "task") == len(query(database, done)) == 3
    [(run_id, end)] = query(database, "SELECT run_id, time_completed FROM workflow")
    assert end is None
    assert is_whole(database)
    pass_silence(database)
    [run] = status_of(database).runs
    assert run.state == service_pb.RUN_STATE_LOST
    silence = time.time() - run.last_received_at.ToMicroseconds() / 1e6
    assert 120 <= silence < 120 + DEADLINE_S
    assert state_of(database, task_info(3, run_id=run_id)) == "RUN_STATE_RUNNING"


def test_what_a_killed_program_left_in_its_queue_is_stored_though_its_collector_has_ended(tmp_path):
    with program(tmp_path, "until_ended.py", "hub") as (process, started):
        first_collector, drain = collector_of(process.pid), drain_of(process.pid)
        started += [first_collector, drain]
        drain.suspend()
        await_line(process, "put")
        process.kill()
        process.wait()
        await_end([first_collector])
        drain.resume()
        await_end([drain])

    assert count(tmp_path / "monitoring.db", "task") == 3
    assert is_whole(tmp_path / "monitoring.db")


def test_a_kill_of_driver_drain_and_collector_at_once_leaves_what_was_acknowledged(tmp_path):
    database = tmp_path / "monitoring.db"
    with program(tmp_path, "until_ended.py", "hub", "busy") as (process, started):
        await_line(process, "put")
        wait_until(lambda: has_rows(database, "task", 100), "the first tasks")
        started += psutil.Process(process.pid).children(recursive=True)
        for victim in [psutil.Process(process.pid), drain_of(process.pid), collector_of(process.pid)]:
            victim.kill()
        process.wait()
        await_end(started)

    assert is_whole(database)
    # The ledger and the rows are of one commit: what it says is stored is there, from the first on.
    status = status_of(database)
    [sender] = status.senders
    assert sender.counts.stored == sender.last_sequence == 1 + count(database, "task")
    assert not sender.closed
    assert query(database, "SELECT max(task_id) + 1 = count(*) FROM task") == [(1,)]
    pass_silence(database)
    assert state_of(database) == "RUN_STATE_LOST"


def test_a_program_that_ends_without_cleanup_has_its_messages_stored(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(HERE)!r})
from parsl_collector import CollectorHub
from support import workflow_start
hub = CollectorHub(logging_endpoint="sqlite:///{tmp_path}/monitoring.db")
if __name__ == "__main__":
    hub.start({str(tmp_path)!r}, {str(tmp_path)!r})
    hub.resource_msgs.put(workflow_start())
"""
    (tmp_path / "program.py").write_text(code)

    ended = subprocess.run(
        [sys.executable, tmp_path / "program.py"], capture_output=True, text=True, timeout=DEADLINE_S
    )

    assert ended.returncode == 0
    assert "1 of 1 messages stored" in ended.stderr


@contextlib.contextmanager
def held_task(tmp_path: pathlib.Path, *agent: str):
    """The program with its one task at work, its worker's process and those of its monitor, if it has one."""
    with program(tmp_path, "held_task.py", *agent) as (process, started):
        pid = tmp_path / "pid"
        wait_until(lambda: pid.exists() or process.poll() is not None, "the task to run")
        assert process.poll() is None, process.stderr.read()
        worker = psutil.Process(int(pid.read_text()))
        monitors = [child for child in worker.children() if not is_tracker(child)]
        wait_until(lambda: has_rows(tmp_path / "monitoring.db", "resource", 1), "a sample")
        started += psutil.Process(process.pid).children(recursive=True)
        yield worker, monitors
        (tmp_path / "go").touch()
        _, errors = process.communicate(timeout=DEADLINE_S)
        (tmp_path / "errors").write_text(errors)
        assert process.returncode == 0
        await_end(started)


def states_of_try(database: pathlib.Path, try_id: int) -> set[str]:
    return {s for (s,) in query(database, "SELECT task_status_name FROM status WHERE try_id = ?", try_id)}


@pytest.mark.slow
def test_a_killed_worker_leaves_its_try_without_an_end_and_the_retry_is_stored_whole(tmp_path):
    with held_task(tmp_path, "agent") as (worker, monitors):
        assert monitors == []  # the agent's sampling needs none, and the agent is no child of the worker's
        worker.kill()

    database = tmp_path / "monitoring.db"
    assert states_of_try(database, 0) == {"pending", "launched", "running", "fail_retryable"}
    assert states_of_try(database, 1) >= {"launched", "running", "running_ended", "exec_done"}
    assert is_whole(database)
    assert [s.closed for s in status_of(database).senders].count(False) == 1  # the worker's
    told = (tmp_path / "errors").read_text().splitlines()[-1]
    assert told.endswith("; 1 sender was cut off, as a killed worker is, and may have had more to send")
    assert state_of(database) == "RUN_STATE_COMPLETED"


@pytest.mark.slow
def test_a_killed_monitor_costs_the_rest_of_its_samples_and_a_retry_is_sampled_anew(tmp_path):
    database = tmp_path / "monitoring.db"
    with held_task(tmp_path) as (worker, [monitor]):
        monitor.kill()
        await_end([monitor])
        # Parsl's worker would wait for ever: Event.set waits for the killed process that waited for it.
        worker.kill()
        wait_until(
            lambda: query(database, "SELECT 1 FROM resource WHERE try_id = 1"), "a sample of the retry"
        )

    assert query(database, "SELECT count(*) > 0 FROM resource WHERE try_id = 0") == [(1,)]
    assert states_of_try(database, 0) == {"pending", "launched", "running", "fail_retryable"}
    assert states_of_try(database, 1) >= {"launched", "running", "running_ended", "exec_done"}
    assert is_whole(database)
    assert state_of(database) == "RUN_STATE_COMPLETED"


def test_case_25_messages_put_just_before_the_close_are_all_stored(tmp_path):
    with running_hub(tmp_path) as hub:
        hub.resource_msgs.put(workflow_start())
        for n in range(1000):
            hub.resource_msgs.put(worker_task_info(n, is_last=True))
            hub.resource_msgs.put(task_info(n, "exec_done"))

    states = query(tmp_path / "monitoring.db", "SELECT task_status_name, count(*) FROM status GROUP BY 1")
    assert states == [("exec_done", 1000), ("running_ended", 1000)]


def test_case_26_an_idle_hub_closes_in_less_than_two_seconds_with_everything_stored(tmp_path):
    life = [
        workflow_start(),
        task_info(),
        worker_task_info(),
        worker_task_info(is_last=True),
        task_info(0, "exec_done", 4),
        workflow_end(),
    ]
    closings_s: list[float] = []
    # One of three: waiting for what does not come would make each of them slow, a busy machine one or two.
    while len(closings_s) < 3 and min(closings_s, default=2) >= 2:
        directory = tmp_path / str(len(closings_s))
        directory.mkdir()
        database = directory / "monitoring.db"
        with running_hub(directory) as hub:
            for message in life:
                hub.resource_msgs.put(message)
            wait_until(lambda file=database: has_rows(file, "workflow", 1), "the hub to be up")
            began = time.monotonic()
            hub.close()
            closings_s.append(time.monotonic() - began)

        assert count(database, "status") == 4
        assert query(database, "SELECT time_completed IS NOT NULL FROM workflow") == [(1,)]
        assert children_of_ours() == []
    assert min(closings_s) < 2


def test_case_79_10_000_tasks_of_no_duration_all_have_their_host_and_running_time(tmp_path):
    messages = [workflow_start()]
    for n in range(10_000):
        messages += [worker_task_info(n), worker_task_info(n, is_last=True), task_info(n, "exec_done", 2)]

    database = replay(tmp_path, messages)

    states = query(database, "SELECT task_status_name, count(*) FROM status GROUP BY 1 ORDER BY 1")
    assert states == [("exec_done", 10_000), ("running", 10_000), ("running_ended", 10_000)]
    complete = "hostname = 'node1' AND task_try_time_running IS NOT NULL"
    assert query(database, f"SELECT count(*) FROM try WHERE {complete}") == [(10_000,)]
