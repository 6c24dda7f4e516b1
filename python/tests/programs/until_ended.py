"""A program that only a signal ends. usage: until_ended.py DIRECTORY hub|parsl [busy]

hub: a CollectorHub alone, as a DataFlowKernel starts it, and the start of a workflow with three tasks; with
busy more tasks follow for as long as it lives. parsl: a DataFlowKernel, and three tasks in threads. The
database is DIRECTORY/monitoring.db. Prints "put" when the three tasks are said.
"""

from __future__ import annotations

import itertools
import sys

import parsl
from support import task_info, wait_to_be_ended, workflow_start

from parsl_collector import CollectorHub


def no_op() -> None:
    return None


def with_a_hub(hub: CollectorHub, directory: str, *, is_busy: bool) -> None:
    hub.start(directory, directory)
    hub.resource_msgs.put(workflow_start())
    for n in range(3):
        hub.resource_msgs.put(task_info(n))
    if is_busy:
        print("put", flush=True)
        for n in itertools.count(3):
            hub.resource_msgs.put(task_info(n))
    # Waits until its feeder has written everything.
    hub.resource_msgs.close()
    hub.resource_msgs.join_thread()
    print("put", flush=True)
    wait_to_be_ended()


def with_parsl(hub: CollectorHub, directory: str) -> None:
    config = parsl.Config(
        executors=[parsl.ThreadPoolExecutor()],
        monitoring=hub,
        run_dir=f"{directory}/runinfo",
        strategy="none",
    )
    with parsl.load(config):
        app = parsl.python_app(no_op, cache=False)
        for future in [app() for _ in range(3)]:
            future.result()
        print("put", flush=True)
        wait_to_be_ended()


def main(directory: str, what: str, *words: str) -> None:
    hub = CollectorHub(logging_endpoint=f"sqlite:///{directory}/monitoring.db")
    if what == "hub":
        with_a_hub(hub, directory, is_busy="busy" in words)
    else:
        with_parsl(hub, directory)


if __name__ == "__main__":
    main(*sys.argv[1:])
