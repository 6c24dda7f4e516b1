"""A workflow whose workers lose the collector's port in the middle, and find it again.

usage: firewalled.py DIRECTORY

To be run in a network namespace of its own, in which it may set rules. The database is
DIRECTORY/monitoring.db. Prints, as JSON, how many tasks ran.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time

import parsl
from parsl.providers import LocalProvider

from parsl_collector import CollectorHub, CollectorRadio

TASKS = 10
NFT = "/usr/sbin/nft"
"""By its path: npm has another program of this name, and puts it first."""
DEADLINE_S = 60.0


def no_op() -> None:
    return None


def rules(text: str) -> None:
    subprocess.run([NFT, "-f", "-"], input=text, text=True, check=True)


def wait_until(is_so, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s for {what}"
        time.sleep(0.05)


def main(directory: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    hub = CollectorHub(
        logging_endpoint=f"sqlite:///{directory}/monitoring.db", resource_monitoring_interval=0
    )
    config = parsl.Config(
        executors=[
            parsl.HighThroughputExecutor(
                label="htex",
                address="127.0.0.1",
                max_workers_per_node=1,
                encrypted=False,
                provider=LocalProvider(init_blocks=1, max_blocks=1),
                # Without an agent, which would do the same for them: its log is not in the run's directory.
                remote_monitoring_radio=CollectorRadio(
                    radios=["grpc", "filesystem"], fallback_after=1, agent=False
                ),
            )
        ],
        monitoring=hub,
        run_dir=f"{directory}/runinfo",
        strategy="none",
    )
    app = parsl.python_app(no_op, cache=False)
    with parsl.load(config) as dfk:

        def run_tasks(count: int = TASKS) -> None:
            for future in [app() for _ in range(count)]:
                future.result()

        def worker_log() -> str:
            return "".join(path.read_text() for path in pathlib.Path(dfk.run_dir).rglob("worker_*.log"))

        run_tasks()
        port = hub.resource_msgs.parsl_collector_ways["grpc"].address.rpartition(":")[2]
        rules(f"""
            table inet wall {{
                chain input {{
                    type filter hook input priority 0;
                    tcp dport {port} reject with tcp reset
                }}
            }}
        """)
        run_tasks()
        wait_until(lambda: "messages go by filesystem" in worker_log(), "the way by files")
        run_tasks()
        rules("delete table inet wall")
        wait_until(lambda: "messages go by grpc" in worker_log(), "the way back")
        run_tasks()
    print(json.dumps({"tasks": 4 * TASKS}))


if __name__ == "__main__":
    main(sys.argv[1])
