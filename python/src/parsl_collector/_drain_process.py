"""The drain as seen by the submit process: started, listened to, started again when it dies, ended."""

from __future__ import annotations

import signal
import threading
from multiprocessing.queues import Queue
from typing import Any

from parsl.multiprocessing import SpawnContext, SpawnProcess

from parsl_collector._drain import CloseBy, EndOfRun, Progress, Report, Settings, Trouble, drain
from parsl_collector._log import logger_of
from parsl_collector._road import RoadSpec

logger = logger_of(__name__)

MOST_DEATHS = 5
"""Drains that may die before their death is taken for lasting."""

_ANSWER_TIMEOUT_S = 15.0
"""Beyond the drain's own time: to start, and to ask the collector what it has."""

_EXIT_TIMEOUT_S = 2.0


class DrainProcess:
    """Reads `resource_msgs` from now on, and sends it once it is told where to."""

    def __init__(self, resource_msgs: Queue, settings: Settings) -> None:
        self._queue = resource_msgs
        self._settings = settings
        # What a drain must hear, in this order, whichever one it is. Guarded, with _control, by _lock.
        self._lock = threading.Lock()
        self._way: RoadSpec | None = None
        self._close_by: CloseBy | None = None
        self._is_given_up = False
        self._report: Report | None = None
        self._said = threading.Event()
        self._is_over = threading.Event()
        self.deaths = 0
        self._start()
        threading.Thread(target=self._listen, name="parsl-collector-drain", daemon=True).start()

    def tell_way(self, way: RoadSpec) -> None:
        """Where the collector listens."""
        with self._lock:
            self._way = way
            self._say(way)

    def end(self, timeout: float) -> Report | None:
        """Ends the drain when everything is sent, or when the collector takes nothing for `timeout` seconds.
        Returns what it reports; None when it died."""
        with self._lock:
            self._close_by = CloseBy(timeout)
            self._say(self._close_by)
        self._queue.put(EndOfRun())
        while True:
            self._said.clear()  # before the look at _is_over, which is set before _said
            if self._is_over.is_set() or not self._said.wait(timeout + _ANSWER_TIMEOUT_S):
                break
        self.kill_unless_ended()
        return self._report

    def kill_unless_ended(self) -> None:
        """Leaves nothing running."""
        self._is_given_up = True
        self._process.join(_EXIT_TIMEOUT_S if self._report is not None else 0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def _say(self, what: Any) -> None:
        try:
            self._control.send(what)
        except OSError:
            pass  # it died; the listener notices, and a successor is told anew

    def _start(self) -> None:
        control, theirs = SpawnContext.Pipe()
        settings = self._settings._replace(is_successor=self.deaths > 0)
        self._process: Any = SpawnProcess(
            target=drain,
            args=(self._queue, theirs, settings),
            name="Monitoring-Drain-Process",
            daemon=True,
        )
        # Inherited: Ctrl-C goes to the whole process group, and may come before the drain can ignore it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        with self._lock:
            self._control = control
            for known in (self._way, self._close_by):
                if known is not None:
                    self._say(known)

    def _listen(self) -> None:
        while self._report is None:
            try:
                said = self._control.recv()
            except (EOFError, OSError):
                if self._is_given_up or not self._start_again():
                    break
                continue
            if isinstance(said, Report):
                self._report = said
            elif isinstance(said, Trouble):
                _tell(said)
            if isinstance(said, (Report, Progress)):
                self._said.set()
        self._is_over.set()
        self._said.set()

    def _start_again(self) -> bool:
        self._process.join()
        self.deaths += 1
        if self.deaths > MOST_DEATHS:
            logger.error("monitoring: the drain process died %d times; no more is recorded", self.deaths)
            return False
        logger.error(
            "monitoring: the drain process died (exit code %s); starting another. What it had read and not "
            "yet sent is lost",
            self._process.exitcode,
        )
        self._start()
        return True


def _tell(trouble: Trouble) -> None:
    if trouble.reason is None:
        lost = f"{trouble.lost} were given up" if trouble.lost else "none was lost"
        logger.warning("monitoring: messages are stored again; %s", lost)
    else:
        logger.warning("monitoring: messages wait, because they cannot be stored: %s", trouble.reason)
