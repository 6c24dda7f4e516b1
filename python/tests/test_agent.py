"""The node's agent as workers find, start, lose and leave it; and what runs around their tasks."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import dill
import psutil
import pytest
from parsl.monitoring import remote
from support import HERE, Collector, agents, collector, count, query, wait_until

from parsl_collector import CollectorRadio, _wrapper
from parsl_collector._priority import NICENESS

WORKER = """
import json, os, sys, time
from parsl.monitoring.message_type import MessageType
from parsl_collector import CollectorRadio
from support import resource_info, worker_task_info, workflow_start

def say(word):
    print(json.dumps(word), flush=True)

def heard():
    return open("/dev/stdin").readline()

radio = CollectorRadio(sys.argv[1])
"""


@contextlib.contextmanager
def worker(address: str, program: str, **env: str) -> Iterator[subprocess.Popen]:
    """A process that runs `program` as a worker does a task, and its words; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER + textwrap.dedent(program), address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE), **env},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def words(process: subprocess.Popen, said: str = "") -> list:
    """What a worker says until its end, when it has heard `said`."""
    out, errors = process.communicate(said, timeout=60)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()]


def is_complete(running: Collector) -> bool:
    """Whether every sender has said its last word, and nothing of it is missing."""
    return query(
        running.database,
        "SELECT count(*) FROM collector_sender WHERE last_sequence IS NULL OR stored < last_sequence",
    ) == [(0,)]


def test_workers_of_a_node_start_one_agent_which_ends_when_they_are_gone(tmp_path, homes):
    program = """
        sender = radio.create_sender()
        sender.send(resource_info(os.getpid()))
        say([sender.is_sampled(), "grpc" in sys.modules])
        heard()
        """
    with collector(tmp_path / "m.db") as running, contextlib.ExitStack() as stack:
        workers = [stack.enter_context(worker(running.address, program)) for _ in range(6)]
        for process in workers:
            assert json.loads(process.stdout.readline()) == [True, False]
        wait_until(lambda: count(running.database, "resource") == 6, "a row of each")
        (agent,) = agents(running)
        assert psutil.Process(workers[0].pid).children() == [], "it is no child of the worker's"
        assert agent.nice() == max(psutil.Process(workers[0].pid).nice(), NICENESS)
        for process in workers:
            words(process, "\n")

        agent.wait(60)
        assert is_complete(running)
        assert list(homes.iterdir()) == []


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_that_are_forked_or_spawned_by_a_manager_have_one_agent(tmp_path, homes, start):
    (tmp_path / "manager.py").write_text(
        WORKER
        + textwrap.dedent(
            """
            import multiprocessing

            def work(number):
                radio.create_sender().send(resource_info(number))

            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[2])
                processes = [context.Process(target=work, args=(number,)) for number in range(4)]
                for process in processes:
                    process.start()
                for process in processes:
                    process.join()
                    assert process.exitcode == 0
            """
        )
    )
    with collector(tmp_path / "m.db") as running:
        command = [sys.executable, str(tmp_path / "manager.py"), running.address, start]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(HERE)}, timeout=60)

        assert count(running.database, "resource") == 4
        wait_until(lambda: not agents(running), "the agent's end")
        assert list(homes.iterdir()) == []


def test_two_workflows_on_a_node_have_an_agent_each(tmp_path, homes):
    program = 'radio.create_sender().send(resource_info()); say("sent"); heard()'
    with collector(tmp_path / "1.db") as one, collector(tmp_path / "2.db") as other:
        with worker(one.address, program) as first, worker(other.address, program) as second:
            for process in (first, second):
                assert process.stdout.readline() == '"sent"\n'
            for running in (one, other):
                wait_until(lambda running=running: count(running.database, "resource") == 1, "the row")
                assert len(agents(running)) == 1


def test_a_worker_that_is_killed_loses_nothing_that_it_handed_over(tmp_path, homes):
    program = """
        sender = radio.create_sender()
        sender.is_sampled()
        for n in range(5000):
            sender.send(resource_info(n))
        sender._connection.flush(60)
        say("sent")
        heard()
        """
    with collector(tmp_path / "m.db") as running, worker(running.address, program) as process:
        assert process.stdout.readline() == '"sent"\n'
        (agent,) = agents(running)
        process.kill()

        agent.wait(60)
        assert count(running.database, "resource") == 5000


ONE_AND_THEN_MORE = """
sender = radio.create_sender()
sender.send(resource_info(0))
say("sent")
heard()
for n in range(1, 1000):
    sender.send(resource_info(n))
"""


def test_an_agent_that_is_killed_is_started_again_and_nothing_is_lost(tmp_path, homes):
    with collector(tmp_path / "m.db") as running, worker(running.address, ONE_AND_THEN_MORE) as process:
        assert process.stdout.readline() == '"sent"\n'
        wait_until(lambda: count(running.database, "resource") == 1, "the first row")
        (agent,) = agents(running)
        agent.kill()
        words(process, "\n")

        assert count(running.database, "resource") == 1000
        assert is_complete(running)
        wait_until(lambda: not agents(running), "the end of the second agent")
        assert list(homes.iterdir()) == []


def test_when_the_collector_is_killed_the_agent_keeps_what_its_workers_leave(tmp_path, homes):
    with collector(tmp_path / "m.db") as first, worker(first.address, ONE_AND_THEN_MORE) as process:
        assert process.stdout.readline() == '"sent"\n'
        wait_until(lambda: count(first.database, "resource") == 1, "the first row")
        first.kill()
        words(process, "\n")  # it waits for its acknowledgements for some seconds, and is gone
        assert len(agents(first)) == 1

        with collector(first.database, first.address) as second:
            wait_until(lambda: count(second.database, "resource") == 1000, "the other rows")
            wait_until(lambda: not agents(second), "the agent's end")
            assert is_complete(second)


def test_without_a_node_a_worker_sends_itself_and_says_so_once(tmp_path, homes):
    program = """
        import logging
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        sender = radio.create_sender()
        for n in range(10):
            radio.create_sender().send(resource_info(n))
        print(sender.is_sampled(), flush=True)
        """
    with (
        collector(tmp_path / "m.db") as running,
        worker(running.address, program, PARSL_COLLECTOR_NODE="/no/node") as process,
    ):
        out, _ = process.communicate(timeout=60)

        said = [line for line in out.splitlines() if "no agent" in line]
        assert len(said) == 1
        assert "PARSL_COLLECTOR_NODE=/no/node: there is no such program" in said[0]
        assert "False" in out.splitlines()
        assert count(running.database, "resource") == 10


def test_while_the_start_of_an_agent_hangs_one_task_waits_for_it_and_only_once(tmp_path, homes):
    node, way_out = tmp_path / "node", tmp_path / "way-out"
    node.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo v24.0.0 || read end < {way_out}\n')
    node.chmod(0o700)
    os.mkfifo(way_out)
    program = """
        def waited():
            began = time.monotonic()
            radio.create_sender().is_sampled()
            return time.monotonic() - began

        radio.create_sender().send(resource_info())
        say([waited() for _ in range(4)])
        heard()
        radio.create_sender()._connection.flush(60)
        say(radio.create_sender().is_sampled())
        """
    with (
        collector(tmp_path / "m.db") as running,
        worker(running.address, program, PARSL_COLLECTOR_NODE=str(node)) as process,
    ):
        first, *others = json.loads(process.stdout.readline())
        way_out.write_text("")  # it ends without a word

        assert sum(others) < first
        assert words(process, "\n") == [False]
        assert count(running.database, "resource") == 1


def test_a_directory_that_is_not_the_users_alone_is_not_used(tmp_path, homes):
    homes.mkdir(mode=0o777)
    homes.chmod(0o777)
    program = "say(radio.create_sender().is_sampled())"
    with collector(tmp_path / "m.db") as running, worker(running.address, program) as process:
        assert words(process) == [False]
    assert list(homes.iterdir()) == []


def test_an_agent_lives_no_longer_for_the_child_of_a_task(tmp_path, homes):
    program = """
        radio.create_sender().send(resource_info())
        radio.create_sender()._connection.flush(60)
        child = os.fork()
        if child == 0:
            os.close(1)
            os.close(2)
            heard()
            os._exit(0)
        say(child)
        """
    with collector(tmp_path / "m.db") as running, worker(running.address, program) as process:
        child = json.loads(process.stdout.readline())
        assert process.wait(60) == 0
        wait_until(lambda: not agents(running), "the agent's end")
        assert psutil.pid_exists(child)


def double(x: int) -> int:
    return 2 * x


CONSTANT = {
    "run_id": "run",
    "logging_level": 20,
    "sleep_dur": 30,
    "monitor_resources": False,
    "run_dir": "/nowhere",
}


class Recorder(CollectorRadio):
    """A radio that remembers."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.messages: list = []

    def create_sender(self):
        return self

    def send(self, message: object) -> None:
        self.messages.append(message)

    def is_sampled(self) -> bool:
        return True


def wrap(f, radio, task_id=7, **over):
    return _wrapper.monitor_wrapper(
        f=f,
        args=(4,),
        kwargs={},
        x_try_id=1,
        x_task_id=task_id,
        radio_config=radio,
        **{**CONSTANT, **over},
    )


def test_one_callable_stands_for_an_app_on_an_executor_and_is_small_on_its_way():
    one, other = CollectorRadio("127.0.0.1:1"), CollectorRadio("127.0.0.1:2")
    wrapped, args, kwargs = wrap(double, one, 7)

    assert wrap(double, one, 8)[0] is wrapped
    assert wrap(double, other, 7)[0] is not wrapped
    assert wrap(pow, one, 7)[0] is not wrapped
    assert wrapped.__name__ == "double"
    assert len(dill.dumps(wrapped)) < 1500
    assert kwargs == {"_parsl_monitoring_task_id": 7, "_parsl_monitoring_try_id": 1}
    assert args == (4,)


@pytest.mark.parametrize("interval", [0, 30])
def test_a_task_says_when_it_starts_and_ends_and_which_process_it_is(interval):
    radio = Recorder()
    wrapped, args, kwargs = wrap(double, radio, monitor_resources=True, sleep_dur=interval)

    if interval == 0:
        radio.is_sampled = None  # nobody asks: there is nothing to sample
    assert wrapped(*args, **kwargs) == 8
    bodies = [body for _, body in radio.messages]
    assert [(b["task_id"], b["try_id"], b["first_msg"], b["last_msg"]) for b in bodies] == [
        (7, 1, True, False),
        (7, 1, False, True),
    ]
    process = [(b.get("process_pid"), b.get("resource_monitoring_interval")) for b in bodies]
    assert process == [(os.getpid(), 30) if interval else (None, None), (None, None)]


def test_a_task_that_fails_fails_as_it_is_and_says_that_it_ended():
    def fail(x: int) -> None:
        raise ValueError(f"failed on purpose with {x}")

    radio = Recorder()
    wrapped, args, kwargs = wrap(fail, radio)

    with pytest.raises(ValueError, match="failed on purpose with 4"):
        wrapped(*args, **kwargs)
    assert [body["last_msg"] for _, body in radio.messages] == [False, True]


def test_what_no_cache_takes_is_wrapped_all_the_same():
    class Unhashable:
        __hash__ = None

        def __call__(self, x: int) -> int:
            return x + 1

    wrapped, args, kwargs = wrap(Unhashable(), Recorder())

    assert wrapped(*args, **kwargs) == 5


def test_with_another_radio_parsls_own_wrapper_is_used_once_for_all_tasks():
    class Silent:
        def create_sender(self):
            return self

        def send(self, message):
            sent.append(message[1]["task_id"])

    sent: list = []
    radio = Silent()
    wrapped, args, kwargs = wrap(double, radio, 7)
    again, _, more = wrap(double, radio, 8)

    assert again is wrapped
    assert "parsl_collector" not in wrapped.__module__
    assert (wrapped(*args, **kwargs), wrapped(*args, **more)) == (8, 8)
    assert sent == [7, 7, 8, 8]


def test_the_wrapper_is_in_place_while_a_hub_needs_it():
    assert _wrapper.install()
    assert _wrapper.install()
    assert _wrapper.dflow.monitor_wrapper is _wrapper.monitor_wrapper
    _wrapper.uninstall()
    assert _wrapper.dflow.monitor_wrapper is _wrapper.monitor_wrapper
    _wrapper.uninstall()
    assert _wrapper.dflow.monitor_wrapper is remote.monitor_wrapper


def test_a_wrapper_of_another_parsl_is_left_alone_with_a_word(monkeypatch, caplog):
    def newer(*, f, args, kwargs, something_new):
        raise NotImplementedError

    monkeypatch.setattr(_wrapper, "parsls_wrapper", newer)
    monkeypatch.setattr(_wrapper.dflow, "monitor_wrapper", newer)

    assert not _wrapper.install()
    assert _wrapper.dflow.monitor_wrapper is newer
    assert "not the one that parsl-collector knows" in caplog.text


def test_a_radio_comes_to_the_worker_without_what_is_this_processs():
    radio = CollectorRadio("127.0.0.1:1")
    radio._sender = lambda: None  # cannot be pickled, as a sender cannot

    assert pickle.loads(pickle.dumps(radio))._sender is None


def test_a_signal_to_the_workers_group_is_not_for_the_agent(tmp_path, homes):
    program = 'os.setsid(); radio.create_sender().send(resource_info()); say("sent"); heard()'
    with collector(tmp_path / "m.db") as running, worker(running.address, program) as process:
        assert process.stdout.readline() == '"sent"\n'
        wait_until(lambda: count(running.database, "resource") == 1, "the row")
        (agent,) = agents(running)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

        agent.wait(60)
        assert list(homes.iterdir()) == []
