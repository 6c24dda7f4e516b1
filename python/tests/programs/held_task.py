"""A Parsl program of one task that ends when it may. usage: held_task.py DIRECTORY

Its worker writes its pid to DIRECTORY/pid, and the task ends once DIRECTORY/go is there. One retry. The
worker streams to the collector itself, and so does its monitor. The database is DIRECTORY/monitoring.db.
"""

from __future__ import annotations

import sys

import parsl
from parsl.providers import LocalProvider

from parsl_collector import CollectorHub, CollectorRadio


@parsl.python_app(cache=False)
def held(directory: str) -> None:
    import os
    import pathlib
    import time

    pathlib.Path(directory, "unfinished").write_text(str(os.getpid()))
    os.replace(f"{directory}/unfinished", f"{directory}/pid")
    while not pathlib.Path(directory, "go").exists():
        time.sleep(0.02)


def main(directory: str, agent: bool) -> None:
    config = parsl.Config(
        executors=[
            parsl.HighThroughputExecutor(
                address="127.0.0.1",
                max_workers_per_node=1,
                encrypted=False,
                heartbeat_period=1,  # also how often Parsl looks for a worker that is gone
                provider=LocalProvider(init_blocks=1, max_blocks=1),
                remote_monitoring_radio=CollectorRadio(agent=agent),
            )
        ],
        monitoring=CollectorHub(
            logging_endpoint=f"sqlite:///{directory}/monitoring.db", resource_monitoring_interval=0.2
        ),
        run_dir=f"{directory}/runinfo",
        retries=1,
        strategy="none",
    )
    with parsl.load(config):
        held(directory).result()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:] == ["agent"])
