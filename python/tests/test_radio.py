"""CollectorRadio where Parsl uses it: in processes that fork, are terminated, or find no collector."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from parsl.multiprocessing import SpawnQueue
from support import HERE, collector, count, query, wait_until

from parsl_collector import CollectorRadio
from parsl_collector._roads import RoadSpec

WORKER = """
import datetime, json, os, signal, sys, threading, time
from parsl.monitoring.message_type import MessageType
from parsl_collector import CollectorRadio
from support import DEADLINE_S, resource_info, wait_to_be_ended, workflow_start

def say(word):
    print(json.dumps(word), flush=True)

radio = CollectorRadio(sys.argv[1], agent=sys.argv[2] == "True")
"""


# As a child of multiprocessing ends, which Parsl's workers are: without what Python does at the end of a
# program, where a thread of gRPC may keep it from ending.
END_OF_WORKER = """
import multiprocessing.util
multiprocessing.util._exit_function()
os._exit(0)
"""


def worker(address: str, program: str, agent: bool = False) -> subprocess.Popen:
    """A process that runs `program` as a worker does a task, in its main thread."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER + textwrap.dedent(program) + END_OF_WORKER, address, str(agent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )


def answers_of(process: subprocess.Popen) -> list:
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return [json.loads(line) for line in out.splitlines()]


def test_importing_the_package_loads_no_grpc():
    loaded = "import sys, parsl_collector.radio, parsl_collector.hub; print('grpc' in sys.modules)"

    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).strip() == "False"


def test_a_radio_is_pickled_small_and_knows_where_to_send():
    radio = CollectorRadio()
    queue = SpawnQueue()
    queue.parsl_collector_ways = {"grpc": RoadSpec("grpc", "127.0.0.1:4000")}

    radio.create_receiver(run_dir="/nowhere", resource_msgs=queue)

    pickled = pickle.dumps(radio)
    assert len(pickled) < 300
    assert pickle.loads(pickled)._specs == (RoadSpec("grpc", "127.0.0.1:4000"),)


def test_a_radio_with_another_hub_says_what_to_do():
    with pytest.raises(
        ValueError, match=r"no CollectorHub.*CollectorHub\(\.\.\.\).*CollectorRadio\(address="
    ):
        CollectorRadio().create_receiver(run_dir="/nowhere", resource_msgs=SpawnQueue())


def test_tasks_in_the_submit_process_use_the_hubs_queue():
    radio = CollectorRadio()
    queue = SpawnQueue()
    queue.parsl_collector_ways = {"grpc": RoadSpec("grpc", "127.0.0.1:4000")}
    radio.create_receiver(run_dir="/nowhere", resource_msgs=queue)

    radio.create_sender().send("message")

    assert queue.get(timeout=10) == "message"


@pytest.mark.parametrize("agent", [False, True])
def test_case_49_a_forked_child_sends_through_its_parent(tmp_path, agent):
    program = """
        radio.create_sender().send(workflow_start())
        for fork in range(10):
            child = os.fork()
            if child == 0:
                import psutil  # as Parsl's monitor does, in the child
                sender = radio.create_sender()
                for n in range(10):
                    sender.send(resource_info(fork, n))
                os._exit(0)
            radio.create_sender().send(resource_info(100 + fork))
            say(os.waitpid(child, 0)[1])
        """
    with collector(tmp_path / "m.db") as running:
        assert answers_of(worker(running.address, program, agent)) == [0] * 10

        assert count(running.database, "resource") == 110
        assert query(
            running.database, "SELECT count(*), sum(stored), sum(last_sequence) FROM collector_sender"
        ) == [(1, 111, 111)]


def test_what_a_worker_said_before_goes_before_what_its_child_says(tmp_path):
    program = """
        from parsl_collector import _connection

        _connection.GATHER_S = 2 * DEADLINE_S  # nothing but the child sends it on its way
        sender = radio.create_sender()
        sender.send(workflow_start())
        sys.stdin.readline()
        sender.send(resource_info(0, 0))
        if os.fork() == 0:
            radio.create_sender().send(resource_info(1, 0))
            os._exit(0)
        wait_to_be_ended()
        """
    with collector(tmp_path / "m.db") as running:
        process = worker(running.address, program)
        wait_until(lambda: count(running.database, "workflow") == 1, "the first message")
        process.stdin.write("go\n")
        process.stdin.flush()

        wait_until(lambda: count(running.database, "resource") > 0, "the child's message")
        process.kill()

        assert query(running.database, "SELECT task_id FROM resource ORDER BY task_id") == [(0,), (1,)]


def test_what_a_worker_sent_survives_its_sigterm(tmp_path):
    program = """
        sender = radio.create_sender()
        for n in range(1000):
            sender.send(resource_info(0, n))
        say("sent")
        wait_to_be_ended()
        """
    with collector(tmp_path / "m.db") as running:
        process = worker(running.address, program)
        assert process.stdout.readline() == '"sent"\n'
        process.terminate()

        assert process.wait(30) == -signal.SIGTERM
        assert count(running.database, "resource") == 1000
        assert query(running.database, "SELECT last_sequence FROM collector_sender") == [(1000,)]


@pytest.mark.parametrize("agent", [False, True])
def test_what_a_worker_sent_survives_several_sigterms_and_a_collector_that_takes_its_time(tmp_path, agent):
    program = """
        sender = radio.create_sender()
        sender.send(workflow_start())
        say("connected")
        sys.stdin.readline()
        for n in range(1000):
            sender.send(resource_info(0, n))
        say("sent")
        wait_to_be_ended()
        """
    with collector(tmp_path / "m.db") as running:
        process = worker(running.address, program, agent)
        assert process.stdout.readline() == '"connected"\n'
        wait_until(lambda: count(running.database, "workflow") == 1, "the first message")
        running.process.send_signal(signal.SIGSTOP)
        try:
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == '"sent"\n'
            for n in range(18):  # by the manager and by the block's end, say
                process.terminate()
                time.sleep(0.01 * n)  # the worker's patience is what is tested
        finally:
            running.process.send_signal(signal.SIGCONT)

        assert process.wait(30) == -signal.SIGTERM
        stored = "SELECT sum(stored), sum(last_sequence) FROM collector_sender"
        wait_until(lambda: query(running.database, stored) == [(1001, 1001)], "what the agent was given")


def test_a_forked_child_is_ended_by_sigterm_at_once(tmp_path):
    program = """
        radio.create_sender().send(workflow_start())
        child = os.fork()
        if child == 0:
            radio.create_sender().send(resource_info())
            threading.Event().wait(DEADLINE_S)
            os._exit(1)
        os.kill(child, signal.SIGTERM)
        say(os.waitpid(child, 0)[1])
        radio.create_sender().send(resource_info(1))
        """
    with collector(tmp_path / "m.db") as running:
        assert answers_of(worker(running.address, program)) == [signal.SIGTERM]

        assert count(running.database, "workflow") == 1
        assert query(running.database, "SELECT count(*) FROM resource WHERE task_id = 1") == [(1,)]


def test_a_child_that_is_terminated_in_the_moment_of_its_fork_ends(tmp_path):
    program = """
        radio.create_sender().send(workflow_start())
        ended = set()
        for fork in range(200):
            child = os.fork()
            if child == 0:
                threading.Event().wait(DEADLINE_S)
                os._exit(1)
            os.kill(child, signal.SIGTERM)
            ended.add(os.waitpid(child, 0)[1])
        say(list(ended))
        """
    with collector(tmp_path / "m.db") as running:
        assert answers_of(worker(running.address, program)) == [[signal.SIGTERM]]


def test_a_programs_own_sigterm_handler_is_left_alone(tmp_path):
    program = """
        def handler(signum, frame):
            say("mine")
        signal.signal(signal.SIGTERM, handler)
        radio.create_sender().send(workflow_start())
        os.kill(os.getpid(), signal.SIGTERM)
        """
    with collector(tmp_path / "m.db") as running:
        assert answers_of(worker(running.address, program)) == ["mine"]

        assert count(running.database, "workflow") == 1


def test_case_50_without_a_collector_a_task_is_held_up_less_than_a_second(monkeypatch):
    program = """
        import parsl_collector._connection as connection
        connection.MOST_QUEUED = 100
        connection.DEFAULT_BUFFER_BYTES = 1000
        connection.CLOSE_TIMEOUT_S = 0.1
        radio.create_sender()
        began = time.monotonic()
        for n in range(500):
            radio.create_sender().send(resource_info(0, n, psutil_process_cwd="x" * 100_000))
        say(time.monotonic() - began)
        """
    (seconds,) = answers_of(worker("127.0.0.1:1", program))

    assert seconds < 1


def test_case_50_a_task_goes_on_when_the_collector_is_killed_and_its_messages_wait(tmp_path):
    program = """
        sender = radio.create_sender()
        sender.send(resource_info(0))
        say("sent")
        sys.stdin.readline()
        for n in range(100):
            sender.send(resource_info(1, n))
        say("sent more")
        sys.stdin.readline()
        """
    program = program.replace("sys.stdin", "open('/dev/stdin')")
    with collector(tmp_path / "m.db") as first:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER + textwrap.dedent(program), first.address, "False"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(HERE)},
        )
        assert process.stdout.readline() == '"sent"\n'
        wait_until(lambda: count(first.database, "resource") == 1, "the first row")
        first.kill()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == '"sent more"\n'
    with collector(pathlib.Path(first.database), first.address) as second:
        wait_until(lambda: count(second.database, "resource") == 101, "the other rows")
        process.communicate("\n", timeout=30)
    assert process.returncode == 0


def test_case_49_parent_and_child_take_turns(tmp_path):
    program = """
        radio.create_sender().send(resource_info(0))
        child = os.fork()
        if child == 0:
            for n in range(10):
                radio.create_sender().send(resource_info(1, n))
            os._exit(0)
        say(os.waitpid(child, 0)[1])
        radio.create_sender().send(resource_info(2))
        """
    with collector(tmp_path / "m.db") as running:
        assert answers_of(worker(running.address, program)) == [0]

        assert count(running.database, "resource") == 12


def test_children_of_several_threads_and_the_threads_themselves_lose_nothing(tmp_path):
    program = """
        radio.create_sender()
        ended = []
        def work(number):
            for fork in range(5):
                child = os.fork()
                if child == 0:
                    for n in range(10):
                        radio.create_sender().send(resource_info(100 * number + fork, n))
                    os._exit(0)
                for n in range(100):
                    radio.create_sender().send(resource_info(10_000 + 100 * number + fork, n))
                ended.append(os.waitpid(child, 0)[1])
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        say(ended)
        """
    with collector(tmp_path / "m.db") as running:
        assert answers_of(worker(running.address, program)) == [[0] * 20]

        assert query(running.database, "SELECT task_id < 10000, count(*) FROM resource GROUP BY 1") == [
            (0, 2000),
            (1, 200),
        ]
