"""How long a hub takes to close, and what is there afterwards.

usage: close.py ours|parsl COUNT

Puts COUNT samples into the hub's queue and closes it at once. Prints one line of JSON: the seconds of the
close (null where it has not returned after LONGEST_S), the rows that a reader finds then, and how many of the
processes that the hub started are left; those are killed.
"""

import contextlib
import json
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time

from dbmanager import sample, wait_for_start, workflow_start
from parsl.monitoring import MonitoringHub

from parsl_collector import CollectorHub

LONGEST_S = 60
"""A close that takes longer hangs, as far as a user can tell: of 20,000 messages the others take 4 s."""


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
    # What a hub leaves running may write in it until the last.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
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
        close = threading.Thread(target=hub.close, daemon=True)
        close.start()
        close.join(LONGEST_S)
        seconds = None if close.is_alive() else time.monotonic() - began
        left = [pid for pid in started if is_there(pid)]
        with contextlib.closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT count(*) FROM resource").fetchone()[0]
        print(json.dumps({"seconds": seconds, "rows": rows, "left": len(left)}), flush=True)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)
    os._exit(0)  # at a usual end Python waits for the queue's thread, whose reader may be gone


def is_tracker(pid):
    with open(f"/proc/{pid}/cmdline") as file:
        return "resource_tracker" in file.read()


if __name__ == "__main__":
    main()
