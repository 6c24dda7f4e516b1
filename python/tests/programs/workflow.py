"""A small real workflow, once on each of some executors. usage: workflow.py HUB DIRECTORY NO-OPS WAY...

HUB is parsl or ours. A WAY is how messages of workers travel: threads (a ThreadPoolExecutor), or the radio of
a HighThroughputExecutor: default, filesystem, udp, collector, collector-filesystem, collector-udp, or the
address of a collector. Its executor has it as its label. The first tasks are one for each worker, and NO-OPS
is how many tasks that do nothing run on the first way at the end. The database is DIRECTORY/monitoring.db.
Prints, as JSON, for each way the number of its first task and what its tasks gave.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import Any

import parsl
from parsl.monitoring import MonitoringHub
from parsl.monitoring.radios.base import RadioConfig
from parsl.monitoring.radios.filesystem import FilesystemRadio
from parsl.monitoring.radios.udp import UDPRadio
from parsl.providers import LocalProvider

from parsl_collector import CollectorHub, CollectorRadio

WORKERS = 2
"""Of each executor."""


def add(x: int, y: int) -> int:
    return x + y


def square(x: int, way: str) -> int:
    return x * x


def fail(x: int) -> int:
    raise ValueError(f"failed on purpose with {x}")


def echo(text: str, stdout: tuple[str, str]) -> str:
    return f"echo {text}"


def no_op() -> None:
    return None


def meet(directory: str, way: str, number: int, of: int) -> None:
    """Ends when it runs in `of` workers of an executor at one time."""
    import pathlib
    import time

    met = pathlib.Path(directory, "met")
    met.joinpath(f"{way}-{number}").touch()
    while not all(met.joinpath(f"{way}-{n}").exists() for n in range(of)):
        time.sleep(0.02)


def work(way: str, directory: str) -> list[Any]:
    """One task after the other, so that each way gives them the same order."""
    on_way: dict[str, Any] = {"executors": [way], "cache": False}
    add_app = parsl.python_app(add, **on_way)
    square_app = parsl.python_app(square, executors=[way], cache=True)
    fail_app = parsl.python_app(fail, **on_way)
    echo_app = parsl.bash_app(echo, **on_way)

    @parsl.join_app(cache=False)
    def add_twice(x: int):
        return [add_app(x, 1), add_app(x, 2)]

    return [
        add_app(1, 2).result(),
        add_app(add_app(3, 4), 5).result(),
        echo_app("hello", stdout=(f"{directory}/echo.txt", "w")).result(),
        square_app(7, way).result(),
        square_app(7, way).result(),
        repr(fail_app(8).exception()),
        type(add_app(fail_app(9), 1).exception()).__name__,
        add_twice(10).result(),
    ]


def radio_of(way: str) -> RadioConfig | None:
    match way:
        case "default":
            return None
        case "filesystem":
            return FilesystemRadio()
        case "udp":
            return UDPRadio(address="127.0.0.1")
        case "collector":
            return CollectorRadio()
        case "collector-filesystem" | "collector-udp":
            return CollectorRadio(radios=[way.removeprefix("collector-")])
        case address:
            return CollectorRadio(address=address)


def executor_of(way: str) -> parsl.ThreadPoolExecutor | parsl.HighThroughputExecutor:
    if way == "threads":
        return parsl.ThreadPoolExecutor(label=way, max_threads=WORKERS)
    return parsl.HighThroughputExecutor(
        label=way,
        address="127.0.0.1",
        max_workers_per_node=WORKERS,
        cores_per_worker=0.5,
        encrypted=False,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        remote_monitoring_radio=radio_of(way),
    )


def main(hub: str, directory: str, no_ops: int, ways: list[str]) -> None:
    new_hub = {
        "parsl": MonitoringHub,
        "ours": functools.partial(CollectorHub, radios=["filesystem", "udp"]),
    }[hub]
    config = parsl.Config(
        executors=[executor_of(way) for way in ways],
        monitoring=new_hub(
            logging_endpoint=f"sqlite:///{directory}/monitoring.db", resource_monitoring_interval=1
        ),
        run_dir=f"{directory}/runinfo",
        retries=1,
        strategy="none",
    )
    told = {}
    os.mkdir(f"{directory}/met")
    with parsl.load(config) as dfk:
        met = [
            parsl.python_app(meet, executors=[way], cache=False)(directory, way, number, WORKERS)
            for way in ways
            for number in range(WORKERS)
        ]
        for future in met:
            future.result()
        for way in ways:
            told[way] = {"first": dfk.task_count, "returned": work(way, directory)}
        no_op_app = parsl.python_app(no_op, executors=ways[:1], cache=False)
        for future in [no_op_app() for _ in range(no_ops)]:
            future.result()
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
