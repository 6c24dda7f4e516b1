"""The collector as a child process: started, watched, started again when it dies, stopped."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from typing import NamedTuple

from parsl_collector._log import logger_of
from parsl_collector._node import CollectorStartError
from parsl_collector._start import environment, last_words, read_ready_line

logger = logger_of(__name__)

START_TIMEOUT_S = 30.0
"""Longest that a start may take. A start that fails says so at once; this is for one that hangs, and long
enough for a cold shared filesystem."""
STOP_TIMEOUT_S = 10.0
"""Longest that a collector may take to drain before it is killed."""
FIRST_BACKOFF_S = 0.1
MOST_BACKOFF_S = 5.0
_STEADY_S = 10.0
"""A collector that lived so long is started again without waiting."""


def is_postgres_url(database: str) -> bool:
    """Whether a database is a URL of PostgreSQL, with or without SQLAlchemy's driver, and not a file."""
    return re.match(r"postgres(ql)?(\+\w+)?://", database) is not None


class CollectorCommand(NamedTuple):
    """How a collector is started."""

    node: str
    server: str
    database: str
    options: tuple[str, ...]
    log_path: str
    radios: tuple[tuple[str, str], ...] = ()
    """Name and address of each at which it listens, beside gRPC."""


class CollectorProcess:
    """A collector on one database file. Raises CollectorStartError, with nothing left running, when it cannot
    be started."""

    def __init__(self, command: CollectorCommand, listen: str) -> None:
        self._is_stopping = threading.Event()
        self._process, self.address, self.radios, self.web = _start(command, listen)
        self._tell_web()
        # Senders find it again where it was.
        self._command = command._replace(radios=tuple(self.radios.items()))
        self._watcher = threading.Thread(target=self._watch, name="parsl-collector-watch", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _tell_web(self) -> None:
        if self.web is not None:
            logger.info("monitoring: watch the run at %s", self.web)

    def stop(self, timeout: float = STOP_TIMEOUT_S) -> None:
        """Lets it drain, and kills it when it does not come to an end in `timeout` seconds."""
        self._is_stopping.set()
        self._process.terminate()
        self._watcher.join(timeout)
        if self._watcher.is_alive():
            logger.error("monitoring: the collector does not drain within %g s; killing it", timeout)
            self._process.kill()
            self._watcher.join()

    def _watch(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            status = self._process.wait()
            if self._is_stopping.is_set():
                return
            logger.warning(
                "monitoring: the collector ended (%s); starting it again at %s, messages are kept until then",
                _describe(status),
                self.address,
            )
            failures = 0 if time.monotonic() - began > _STEADY_S else failures + 1
            while not self._is_stopping.wait(_backoff(failures)):
                try:
                    self._process, _, _, self.web = _start(self._command, self.address)
                except (CollectorStartError, OSError) as e:
                    failures += 1
                    if failures <= 2:
                        logger.error("monitoring: the collector cannot be started again, still trying: %s", e)
                    continue
                logger.warning("monitoring: the collector runs again (pid %d)", self._process.pid)
                self._tell_web()
                break
            if self._is_stopping.is_set():
                # The one that was started while stop() told its predecessor.
                self._process.terminate()


def _start(
    command: CollectorCommand, listen: str
) -> tuple[subprocess.Popen[bytes], str, dict[str, str], str | None]:
    """Starts a collector and waits until it is ready. Returns it, its address, those of its radios, and that
    of its page."""
    is_url = is_postgres_url(command.database)
    with open(command.log_path, "ab") as log:
        log_start = log.tell()
        # stderr goes into the file, not through a pipe that somebody would have to empty. In a session of its
        # own: Ctrl-C is for the program, which then ends the collector in good order.
        process = subprocess.Popen(
            [
                command.node,
                command.server,
                "serve",
                *([] if is_url else ["--database", command.database]),
                "--listen",
                listen,
                "--exit-with-parent",
                *(text for name, where in command.radios for text in ("--radio", f"{name}={where}")),
                *command.options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            # Every user of this host can read the arguments, and a URL may have a password.
            env={**environment(), **({"PARSL_COLLECTOR_SERVE_DATABASE": command.database} if is_url else {})},
            start_new_session=True,
        )
    assert process.stdout is not None
    line = read_ready_line(process.stdout, START_TIMEOUT_S)
    process.stdout.close()  # the ready line is all that it says there
    try:
        ready = json.loads(line)
        return process, str(ready["address"]), dict(ready["radios"]), ready.get("web")
    except (ValueError, KeyError):
        process.kill()
        process.wait()
    said = last_words(command.log_path, log_start)
    raise CollectorStartError(
        said or f"start the collector: it was not ready within {START_TIMEOUT_S} s; see {command.log_path}"
    )


def _backoff(failures: int) -> float:
    return 0.0 if failures == 0 else min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (failures - 1))


def _describe(status: int) -> str:
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit code {status}"
