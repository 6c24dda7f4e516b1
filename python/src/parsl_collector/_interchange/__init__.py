"""HTEX's interchange, Parsl's own, with records of managers that are cheap to tell, and told in batches.

Parsl's tells the hub of a manager twice for each task, each time by itself, and writes the same into its log:
each time with the list of all that is installed there. That is more than all else that monitoring costs this
process.
"""

from __future__ import annotations

import functools
import os
import sys

from parsl.executors import HighThroughputExecutor

from parsl_collector._queue import MessageQueue

_PARSLS = ["interchange.py"]
"""How Parsl starts it where nobody says something else."""

_OURS = [sys.executable, os.path.dirname(os.path.abspath(__file__))]
"""By the path, which needs none of the ways by which this process found this package."""


@functools.cache
def install() -> None:
    """From now on executors that tell a CollectorHub have it so. One whose interchange_launch_cmd= is the
    user's own, or whose Parsl starts it in another way, is left as it is."""
    start = getattr(HighThroughputExecutor, "_start_local_interchange_process", None)
    if start is None:
        return

    @functools.wraps(start)
    def start_ours(executor: HighThroughputExecutor) -> None:
        command = executor.interchange_launch_cmd
        if command == _PARSLS and isinstance(executor.monitoring_messages, MessageQueue):
            executor.interchange_launch_cmd = _OURS
        try:
            start(executor)
        finally:
            executor.interchange_launch_cmd = command

    HighThroughputExecutor._start_local_interchange_process = start_ours
