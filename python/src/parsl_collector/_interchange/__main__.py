"""The program: all of it is Parsl's, but for the class of its records and that of the radio by which it tells
them. It is run by the path of this folder, so it can import Parsl, and not this package."""

from __future__ import annotations

import atexit
import logging
import os
import runpy
import signal
import threading
import time
from collections import deque
from types import FrameType
from typing import Any

from parsl.executors.high_throughput import manager_record
from parsl.monitoring.message_type import MessageType
from parsl.monitoring.radios import zmq

logger = logging.getLogger("parsl.executors.high_throughput.interchange")

GATHER_S = 0.1
"""Least time between two messages to the hub's router about managers, in seconds. One costs 0.1 ms of CPU
here, and as much there."""

_LINGER_MS = 1000
"""Longest that the end waits for what is told last to be on its way."""


class Record(dict):
    """Of a manager. Its copies are what is told: the first with the list of packages, the others without."""

    has_told_packages = False

    def copy(self) -> dict[str, Any]:
        told = dict(self)
        if self.has_told_packages:
            told.pop("packages", None)
        self.has_told_packages = "packages" in self
        return told

    def __format__(self, spec: str) -> str:  # for the line that is left out
        return "a manager's record"


class GatheringRadio(zmq.ZMQRadioSender):
    """What is told of managers within a moment goes as one message, with a list for its body, which the hub's
    queue takes apart again. All else goes at once. What is gathered goes at the latest with this process,
    unless that is killed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._gathered: deque[Any] = deque()
        self._has_gathered = threading.Event()
        self._sending = threading.RLock()  # SIGTERM may come while it is held
        self._is_closed = False
        threading.Thread(target=self._gather, name="parsl-collector-gather", daemon=True).start()
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, self._end)  # by which an executor ends its interchange

    def send(self, message: object) -> None:
        if isinstance(message, tuple) and len(message) == 2 and message[0] is MessageType.NODE_INFO:
            self._gathered.append(message[1])
            if not self._has_gathered.is_set():
                self._has_gathered.set()
        else:
            self._send(message)

    def close(self) -> None:
        """Sends what is gathered, and waits until it is out of this process."""
        with self._sending:
            if self._is_closed:
                return
            self._send_gathered()
            self._is_closed = True
            context = self._hub_channel.context
            self._hub_channel.close(linger=_LINGER_MS)
            context.term()

    def _gather(self) -> None:
        while not self._is_closed:
            self._has_gathered.wait()
            self._has_gathered.clear()
            try:
                self._send_gathered()
            except Exception:  # what a manager said of itself may be anything
                logger.exception("monitoring: what managers told is lost")
            time.sleep(GATHER_S)

    def _send_gathered(self) -> None:
        with self._sending:
            told = [self._gathered.popleft() for _ in range(len(self._gathered))]
            if told:
                self._send((MessageType.NODE_INFO, told))

    def _send(self, message: object) -> None:
        with self._sending:
            if not self._is_closed:
                super().send(message)

    def _end(self, number: int, frame: FrameType | None) -> None:
        self.close()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def is_of_use(line: logging.LogRecord) -> bool:
    """Not that a record is told, which the interchange says with all of it."""
    return not str(line.msg).startswith("Sending message a manager's record")


if __name__ == "__main__":
    manager_record.ManagerRecord = Record
    zmq.ZMQRadioSender = GatheringRadio
    logger.addFilter(is_of_use)
    runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")
