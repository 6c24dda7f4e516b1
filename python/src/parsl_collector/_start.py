"""How a program of ours that was started says that it is ready, or why it is not."""

from __future__ import annotations

import os
import re
import select
import time
from typing import IO


def environment() -> dict[str, str]:
    """What a program of ours is started with: what it is told comes on its command line, and not from the
    variables by which users tell their own commands something else."""
    return {name: value for name, value in os.environ.items() if not _OPTION.match(name)}


_OPTION = re.compile(r"PARSL_COLLECTOR_(?!(NODE|SERVER|(TEST|CHAOS|MODEL|FUZZ)_\w+)$)")


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
