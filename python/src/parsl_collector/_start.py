"""How a program of ours that was started says that it is ready, or why it is not."""

from __future__ import annotations

import os
import select
import time
from typing import IO


def read_ready_line(stream: IO[bytes], timeout: float) -> bytes:
    """The first line of a pipe; what came of it when it ends or takes longer than `timeout` seconds."""
    deadline = time.monotonic() + timeout
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([stream], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            break
        some = os.read(stream.fileno(), 4096)
        if not some:
            break
        line += some
    return line


def last_words(log_path: str, start: int) -> str:
    """What a program that did not start said for a person, from byte `start` of its log on: the log is JSON
    lines, its last word is not. Of a Node that crashed that is the error, between the lines of its stack and
    Node's own version. Empty when it said nothing."""
    with open(log_path, "rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").splitlines()
    said = [line for line in lines if line.strip() and not line.startswith(("{", " ", "Node.js v"))]
    return said[-1] if said else ""
