"""The hub's queue: in batches, with each message's fate its own."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection

import parsl
import pytest
from parsl.monitoring import MonitoringHub
from parsl.monitoring.message_type import MessageType
from support import Unpicklable, at, node_info, task_info, wait_until, workflow_start

from parsl_collector._queue import MessageQueue, Unreadable, messages_in


def take(queue: MessageQueue, count: int) -> list:
    taken: list = []
    while len(taken) < count:
        taken += messages_in(queue.get(timeout=30))
    return taken


def test_messages_come_out_as_they_were_put_and_in_order():
    queue = MessageQueue()
    messages = [workflow_start(), *(task_info(n) for n in range(5000)), "no message", None]

    for message in messages:
        queue.put(message)

    assert take(queue, len(messages)) == messages


def test_what_the_interchange_has_gathered_comes_out_as_it_was_told():
    queue = MessageQueue()
    told = [node_info(timestamp=at(n)) for n in range(3)]

    queue.put((MessageType.NODE_INFO, [body for _, body in told]))
    queue.put((MessageType.NODE_INFO,))

    assert take(queue, 4) == [*told, (MessageType.NODE_INFO,)]


def test_what_comes_in_a_moment_comes_out_together():
    queue = MessageQueue()
    for n in range(100):
        queue.put(task_info(n))

    assert len(queue.get(timeout=30)) > 10


def test_what_parsl_itself_says_needs_no_pickle_of_its_own(tmp_path):
    class Hub(MonitoringHub):
        def start(self, dfk_run_dir, config_run_dir, log_config=None):
            self.resource_msgs = MessageQueue()

        def close(self):
            pass

    hub = Hub(resource_monitoring_enabled=False)
    with parsl.load(parsl.Config(monitoring=hub, run_dir=str(tmp_path))):
        assert parsl.python_app(pow)(2, 3).result() == 8

    said: list = []
    while not said or "time_completed" not in said[-1][1]:
        said += hub.resource_msgs.get(timeout=30)
        assert {type(item) for item in said} == {tuple}
    assert [kind for kind, _ in said] == [
        MessageType.WORKFLOW_INFO,
        *[MessageType.TASK_INFO] * 3,
        MessageType.WORKFLOW_INFO,
    ]


def test_a_program_that_never_stops_putting_is_heard_meanwhile(monkeypatch):
    queue = MessageQueue()
    prepared = queue._prepared

    def put_one_more(message):
        if message[1]["task_id"] < 20_000:  # an end, should the first batch wait for it
            queue.put(task_info(message[1]["task_id"] + 1))
        return prepared(message)

    monkeypatch.setattr(queue, "_prepared", put_one_more)
    queue.put(task_info(0))

    assert take(queue, 1) == [task_info(0)]


class Unreachable:
    """Something that cannot be put into any queue."""

    def __reduce__(self):
        raise RuntimeError("no pickling")


class Zone(datetime.tzinfo):
    """A zone of the user's, whose unpickling may raise."""

    def __reduce__(self):
        return Unpicklable().__reduce__()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Unreachable(), "it cannot be pickled: RuntimeError: no pickling"),
        (Unpicklable(), "it cannot be unpickled: RuntimeError: no unpickling"),
        (threading.Lock(), "it cannot be pickled: TypeError"),
        (datetime.datetime(2026, 1, 1, tzinfo=Zone()), "it cannot be unpickled"),
    ],
)
@pytest.mark.parametrize(
    "holding",
    [
        lambda bad: bad,
        lambda bad: (MessageType.TASK_INFO, bad),
        lambda bad: (MessageType.TASK_INFO, {"a": bad}),
        lambda bad: (MessageType.TASK_INFO, {"a": {"b": [bad]}}),
        lambda bad: (MessageType.BLOCK_INFO, [{"a": bad}]),
    ],
)
def test_a_message_that_cannot_be_carried_costs_no_other(bad, reason, holding):
    queue = MessageQueue()
    for message in (task_info(1), holding(bad), task_info(2)):
        queue.put(message)

    first, between, second = take(queue, 3)
    assert (first, second) == (task_info(1), task_info(2))
    assert isinstance(between, Unreadable)
    assert between.reason.startswith(reason)


def put_one(queue: MessageQueue, number: int) -> None:
    queue.put(task_info(number))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_process_that_ends_right_after_it_put_a_message_loses_nothing(start):
    queue = MessageQueue()
    queue.put(task_info(0))  # the thread of this process is running when it forks
    assert take(queue, 1) == [task_info(0)]
    context = multiprocessing.get_context(start)
    processes = [context.Process(target=put_one, args=(queue, n)) for n in range(1, 4)]
    for process in processes:
        process.start()

    taken = take(queue, 3)

    assert sorted(body["task_id"] for _, body in taken) == [1, 2, 3]
    for process in processes:
        process.join()
        assert process.exitcode == 0


def test_a_managers_list_of_packages_goes_once_and_again_when_it_changes():
    queue = MessageQueue()
    one, other = {"parsl": "1", "numpy": "2"}, {"parsl": "1", "numpy": "3"}
    sent = [
        ("a", one),
        ("a", dict(one)),
        ("b", dict(one)),
        ("a", other),
        ("a", dict(other)),
        ("b", dict(one)),
    ]
    for manager, packages in sent:
        queue.put(node_info(manager, packages=packages))

    came = [(body["uid"], body.get("packages")) for _, body in take(queue, len(sent))]
    assert came == [("a", one), ("a", None), ("b", one), ("a", other), ("a", None), ("b", None)]


def test_a_closed_queue_hands_on_what_was_put_and_takes_no_more():
    queue = MessageQueue()
    reader = Connection(os.dup(queue._reader.fileno()), writable=False)  # as another process has it
    queue.put(task_info())
    queue.close()

    with pytest.raises(ValueError, match="the queue is closed"):
        queue.put(task_info(1))
    assert list(messages_in(reader.recv())) == [task_info()]


def test_threads_put_each_in_their_order():
    queue = MessageQueue()

    def put(thread: int) -> None:
        for n in range(1000):
            queue.put(task_info(n, task_func_name=str(thread)))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    taken = take(queue, 4000)

    for number in range(4):
        ids = [body["task_id"] for _, body in taken if body["task_func_name"] == str(number)]
        assert ids == list(range(1000))


def test_nothing_is_put_into_the_parents_queue_by_a_fork():
    queue = MessageQueue()
    for n in range(100):
        queue.put(task_info(n))
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

    taken: list = []
    wait_until(lambda: taken.extend(messages_in(queue.get(timeout=30))) or len(taken) >= 100, "all")
    assert [body["task_id"] for _, body in taken] == list(range(100))
