"""How long a hub takes to close, and what is there afterwards.

usage: close.py ours|parsl COUNT

Puts COUNT samples into the hub's queue and closes it at once. Prints one line of JSON: the seconds of the
close, the rows that a reader finds after it, and how many of the processes that the hub started are left.
"""

import contextlib
import json
import os
import sqlite3
import sys
import tempfile
import time

from dbmanager import sample, wait_for_start, workflow_start
from parsl.monitoring import MonitoringHub

from parsl_collector import CollectorHub


def descendants(pid):
    """Processes that are below one, by /proc."""
    below = []
    with contextlib.suppress(FileNotFoundError):  # it has just ended
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                below += [int(child) for child in file.read().split()]
    return below + [one for child in below for one in descendants(child)]


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def main():
    whose, count = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory() as directory:
        database = f"{directory}/monitoring.db"
        make = {"ours": CollectorHub, "parsl": MonitoringHub}[whose]
        hub = make(logging_endpoint=f"sqlite:///{database}")
        hub.start(f"{directory}/000", directory, None)
        hub.resource_msgs.put(workflow_start())
        wait_for_start(database)
        # Python's own resource tracker stays with the program, whatever hub it has.
        started = [pid for pid in descendants(os.getpid()) if not is_tracker(pid)]
        for number in range(count):
            hub.resource_msgs.put(sample(number % 100, number))
        began = time.monotonic()
        hub.close()
        seconds = time.monotonic() - began
        left = sum(is_there(pid) for pid in started)
        with contextlib.closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT count(*) FROM resource").fetchone()[0]
        print(json.dumps({"seconds": seconds, "rows": rows, "left": left}), flush=True)


def is_tracker(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return "resource_tracker" in file.read()


if __name__ == "__main__":
    main()
