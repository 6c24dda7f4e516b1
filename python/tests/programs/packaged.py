"""A small workflow of a package that pip installed. Prints what it found and did, as JSON."""

import json
import os

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider

import parsl_collector
from parsl_collector import CollectorHub, CollectorRadio
from parsl_collector._node import find_node, find_server


@parsl.python_app
def square(number):
    return number**2


if __name__ == "__main__":
    executor = HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        max_workers_per_node=1,
        encrypted=False,
        provider=LocalProvider(init_blocks=1, min_blocks=1, max_blocks=1),
        remote_monitoring_radio=CollectorRadio(),
    )
    hub = CollectorHub(resource_monitoring_interval=1)
    with parsl.load(Config(executors=[executor], monitoring=hub, run_dir=os.path.abspath("runinfo"))):
        results = [future.result() for future in [square(number) for number in range(3)]]
    told = {
        "package": parsl_collector.__file__,
        "program": find_server(),
        "node": find_node(None),
        "results": results,
    }
    print(json.dumps(told))
