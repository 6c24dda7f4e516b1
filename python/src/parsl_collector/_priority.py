"""The priority of the processes that record: what they do may wait a moment, and the tasks need not."""

from __future__ import annotations

import contextlib
import os

NICENESS = 5
"""As the command `nice` has it. A process of the tasks gets three times as much of a core that it shares with
one of these; where a core is free they are as fast as ever. The collector is none of them: what is on its way
to it is lost with a worker that is killed."""


def step_back(pid: int) -> None:
    """Lets the tasks go before this process, its threads and those to come. It is a service: where the system
    does not grant it nothing is changed. Not beyond NICENESS: what is started by a process that has stepped
    back is no further back."""
    try:
        threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        threads = [pid]  # on systems without /proc it stands for all of its threads
    for thread in threads:
        with contextlib.suppress(OSError):  # that one has ended
            niceness = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, max(niceness, NICENESS))
    with contextlib.suppress(OSError):
        # Where Linux shares out cores among sessions first, the others of which this one has its own.
        if os.getsid(pid) != os.getsid(0):
            with open(f"/proc/{pid}/autogroup", "w") as file:
                file.write(str(NICENESS))
