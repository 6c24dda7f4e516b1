"""The collector as a child of the submit process: started, watched, started again when it dies, stopped."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import threading
import time
from typing import IO

from parsl_collector._node import CollectorStartError, find_node, find_server

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 5.0
"""Longest that a start may take, in the program that waits for it."""
STOP_TIMEOUT_S = 5.0
"""Longest that a collector may take to drain before it is killed."""
MOST_BACKOFF_S = 5.0


class CollectorProcess:
    """One collector on one database file. Raises CollectorStartError, with nothing left running, when it
    cannot be started."""

    def __init__(
        self, *, database: str, listen: str, node: str | None, options: list[str], log_path: str
    ) -> None:
        self.database = database
        self._command = [
            find_node(node),
            find_server(),
            "serve",
            "--database",
            database,
            "--exit-with-parent",
            *options,
        ]
        self._log_path = log_path
        self._stopping = threading.Event()
        self._process, self.address = self._start(listen)
        self._watcher = threading.Thread(target=self._watch, name="parsl-collector-watch", daemon=True)
        self._watcher.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Lets it drain, and kills it when it does not come to an end."""
        self._stopping.set()
        process = self._process
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            logger.error("monitoring: the collector does not drain within %s s; killing it", STOP_TIMEOUT_S)
            process.kill()
            process.wait()
        self._watcher.join(STOP_TIMEOUT_S)

    def _start(self, listen: str) -> tuple[subprocess.Popen[bytes], str]:
        with open(self._log_path, "ab") as log:
            log_start = log.tell()
            # In a group of its own: Ctrl-C is for the program, which then ends the collector in good order.
            process = subprocess.Popen(
                [*self._command, "--listen", listen],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert process.stdout is not None
        line = _read_line(process.stdout, START_TIMEOUT_S)
        process.stdout.close()  # the ready line is all that it says there
        try:
            return process, str(json.loads(line)["address"])
        except (ValueError, KeyError):
            process.kill()
            process.wait()
        said = _last_line(self._log_path, log_start)
        raise CollectorStartError(
            said or f"start the collector: it was not ready within {START_TIMEOUT_S} s; see {self._log_path}"
        )

    def _watch(self) -> None:
        attempt = 0
        while True:
            status = self._process.wait()
            if self._stopping.is_set():
                return
            logger.warning(
                "monitoring: the collector died (%s); starting it again on %s, nothing that was acknowledged is lost",
                _describe(status),
                self.address,
            )
            while not self._stopping.is_set():
                began = time.monotonic()
                try:
                    self._process, _ = self._start(self.address)
                except (CollectorStartError, OSError) as e:
                    attempt += 1
                    if attempt == 1:
                        logger.error("monitoring: the collector cannot be started again, still trying: %s", e)
                    self._stopping.wait(min(MOST_BACKOFF_S, 0.1 * 2**attempt))
                    continue
                logger.warning("monitoring: the collector runs again (pid %d)", self._process.pid)
                # One that dies at once must not make this loop spin.
                attempt = 0
                self._stopping.wait(max(0.0, 0.2 - (time.monotonic() - began)))
                break
            if self._stopping.is_set() and self._process.poll() is None:
                self._process.terminate()


def _read_line(stream: IO[bytes], timeout: float) -> bytes:
    """The first line of a pipe; what came of it when it ends or takes longer."""
    deadline = time.monotonic() + timeout
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            break
        byte = os.read(stream.fileno(), 4096)
        if not byte:
            break
        line += byte
    return line


def _last_line(path: str, start: int) -> str:
    """What a collector that did not start said last, for a person: its log is JSON, its last word is not."""
    with open(path, "rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith("{")]
    return said[-1] if said else ""


def _describe(status: int) -> str:
    if status < 0:
        return f"by {signal.Signals(-status).name}"
    return f"exit code {status}"
