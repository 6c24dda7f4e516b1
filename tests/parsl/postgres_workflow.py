"""A small real workflow, monitored into a database. usage: postgres_workflow.py ENDPOINT DIRECTORY

Prints the id of its run."""

from __future__ import annotations

import sys

import parsl
from parsl.providers import LocalProvider

from parsl_collector import CollectorHub, CollectorRadio


def square(x: int) -> int:
    return x * x


def fail(x: int) -> int:
    raise ValueError(f"failed on purpose with {x}")


def main(endpoint: str, directory: str) -> None:
    executor = parsl.HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=2,
        cores_per_worker=0.5,
        encrypted=False,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
        remote_monitoring_radio=CollectorRadio(),
    )
    hub = CollectorHub(logging_endpoint=endpoint, resource_monitoring_interval=1)
    config = parsl.Config(executors=[executor], monitoring=hub, run_dir=directory, strategy="none")
    with parsl.load(config) as dfk:
        squares = [parsl.python_app(square)(x) for x in range(10)]
        failed = parsl.python_app(fail)(3)
        assert [future.result() for future in squares] == [x * x for x in range(10)]
        assert failed.exception() is not None
        print(dfk.run_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
