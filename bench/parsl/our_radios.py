"""Our radios as workers use them, from a send to the row that a reader sees.

usage: our_radios.py '{"radio", "address", "key", "database", "pid", "senders", "messages", "paced"}'

`key` is hexadecimal, `pid` the collector's. Prints one line of JSON; radios.py says what is in it.
"""

import contextlib
import json
import pickle
import sqlite3
import sys
import tempfile
import time
from types import SimpleNamespace

import radios

from parsl_collector._roads import RoadSpec
from parsl_collector.radio import WAYS_ATTRIBUTE, CollectorRadio


class Way:
    quiet_s = 3
    is_slow_to_open = True

    def __init__(self, radio, reader, pid):
        self._radio = radio
        self._reader = reader
        self._seen = 0
        self.receiver_pid = pid

    def send(self, message):
        self._radio.create_sender().send(message)

    def finish(self):
        """The end of the process does it."""

    def take(self):
        time.sleep(0.0005)
        rows = self._reader.execute(
            "SELECT rowid, run_id, task_id FROM resource WHERE rowid > ? ORDER BY rowid", (self._seen,)
        ).fetchall()
        if rows:
            self._seen = rows[-1][0]
        return [row[1:] for row in rows]


def main():
    arguments = json.loads(sys.argv[1])
    with (
        tempfile.TemporaryDirectory() as directory,
        contextlib.closing(sqlite3.connect(f"file:{arguments['database']}?mode=ro", uri=True)) as reader,
    ):
        radio = as_a_worker_has_it(directory, arguments)
        radios.measure(Way(radio, reader, arguments["pid"]), arguments)


def as_a_worker_has_it(directory, arguments):
    """A radio that was told by its hub where the collector listens, and then went to a worker."""
    name = arguments["radio"]
    spec = RoadSpec(name, arguments["address"], bytes.fromhex(arguments["key"]))
    radio = CollectorRadio(radios=[name])
    radio.create_receiver(run_dir=directory, resource_msgs=SimpleNamespace(**{WAYS_ATTRIBUTE: {name: spec}}))
    return pickle.loads(pickle.dumps(radio))


if __name__ == "__main__":
    main()
