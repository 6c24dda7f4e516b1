"""subscribe() against a real collector."""

from __future__ import annotations

import threading

import pytest
from support import collector

from parsl_collector import Client, SubscriptionError, subscribe
from parsl_collector.messages import ResourceInfo, TaskInfo, Timestamp


def sample(n: int) -> ResourceInfo:
    return ResourceInfo(task_id=n, try_id=0, timestamp=Timestamp(seconds=n + 1))


def state(n: int) -> TaskInfo:
    return TaskInfo(
        task_id=n,
        try_id=0,
        timestamp=Timestamp(seconds=1),
        task_status_name="pending",
        task_func_name="f",
        task_memoize=False,
        task_fail_count=0,
        task_fail_cost=0,
        task_executor="threads",
    )


def test_committed_messages_are_told_once_over_restarts_of_both_sides(tmp_path):
    heard: list[int] = []
    position = ""
    database = tmp_path / "m.db"
    with collector(database) as running:
        address = running.address
        first = subscribe(address, kinds=["RESOURCE_INFO"])
        position = next(first).position
        with Client(address, run_id="run") as client:
            for n in range(100):
                client.send(sample(n))
                client.send(state(n))
        while len(heard) < 50:
            response = next(first)
            heard += [committed.message.resource_info.task_id for committed in response.messages]
            position = response.position
        first.close()

    with collector(database, listen=address) as running:
        with Client(address, run_id="run") as client:
            client.send(sample(100))
        for response in subscribe(address, kinds=["RESOURCE_INFO"], position=position):
            heard += [committed.message.resource_info.task_id for committed in response.messages]
            assert all(committed.run_id == "run" for committed in response.messages)
            if len(heard) >= 101:
                break

    assert heard == list(range(101))


def test_a_collector_that_goes_and_comes_back_is_followed_on(tmp_path):
    database = tmp_path / "m.db"
    heard: list[int] = []
    begun, done = threading.Event(), threading.Event()

    def follow(address: str) -> None:
        for response in subscribe(address):
            begun.set()
            heard.extend(committed.message.resource_info.task_id for committed in response.messages)
            if len(heard) == 2:
                done.set()
                return

    with collector(database) as running:
        address = running.address
        threading.Thread(target=follow, args=(address,), daemon=True).start()
        assert begun.wait(30)
        with Client(address, run_id="run") as client:
            client.send(sample(0))
    with collector(database, listen=address), Client(address, run_id="run") as client:
        client.send(sample(1))
        assert done.wait(30)

    assert heard == [0, 1]


def test_what_will_never_do_says_why(tmp_path):
    with collector(tmp_path / "m.db") as running:
        with pytest.raises(SubscriptionError, match="OUT_OF_RANGE.*no longer kept"):
            next(subscribe(running.address, position="0123456789abcdef-5"))
        with pytest.raises(SubscriptionError, match='kind "TASK": there is none'):
            next(subscribe(running.address, kinds=["TASK"]))
