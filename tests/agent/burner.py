"""A process to measure, and psutil's figures of it.

The measured process burns CPU, holds memory, writes and reads a file and forks two children that do so too.
Then all three sleep, so that whoever measures them sees the same. A line of figures comes then, and another
when, told by a line of input, one of the children has ended.
"""

import json
import os
import signal
import sys
import tempfile
import time

import psutil


def use(seconds: float, mebibytes: int) -> bytes:
    """Uses user and system time, memory and a file."""
    memory = os.urandom(1024) * (mebibytes * 1024)
    with tempfile.TemporaryFile() as file:
        file.write(memory)
        file.seek(0)
        file.read()
    end = time.process_time() + seconds
    while time.process_time() < end:
        os.stat("/")
    return memory


def fork_child(seconds: float) -> int:
    """The pid of a new child, which has used its time and sleeps."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        memory = use(seconds, 20)
        os.write(tell, b"r")
        signal.pause()
        sys.exit(len(memory))
    os.read(ready, 1)
    return pid


def fork_measured(tell: int, go: int) -> int:
    """The pid of the process to measure: it writes to `tell` when it is ready, and goes on by `go`."""
    pid = os.fork()
    if pid == 0:
        memory = use(0.4, 40)
        first, second = fork_child(0.3), fork_child(0.2)
        for child in (first, second):
            os.write(tell, b"r")
            os.read(go, 1)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        sys.exit(len(memory) == 0)
    return pid


def until_asleep(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    every = [root, *root.children(recursive=True)]
    while any(one.status() != psutil.STATUS_SLEEPING for one in every):
        time.sleep(0.001)
    return every


def figures(every: list[psutil.Process], seen: dict[int, dict]) -> dict:
    """As Parsl's monitor has them: `seen` keeps by pid what only grows, also for those that have ended."""
    root = every[0]
    for one in every:
        times, switches = one.cpu_times(), one.num_ctx_switches()
        seen[one.pid] = {
            "psutilProcessTimeUser": times.user,
            "psutilProcessTimeSystem": times.system,
            "psutilProcessNumCtxSwitchesVoluntary": switches.voluntary,
            "psutilProcessNumCtxSwitchesInvoluntary": switches.involuntary,
        }
    return {
        **{name: sum(one[name] for one in seen.values()) for name in seen[root.pid]},
        "psutilProcessPid": root.pid,
        "psutilProcessMemoryPercent": sum(one.memory_percent() for one in every),
        "psutilProcessChildrenCount": len(every) - 1,
        "psutilProcessMemoryVirtual": sum(one.memory_info().vms for one in every),
        "psutilProcessMemoryResident": sum(one.memory_info().rss for one in every),
        "psutilProcessDiskRead": sum(one.io_counters().read_chars for one in every),
        "psutilProcessDiskWrite": sum(one.io_counters().write_chars for one in every),
        "psutilProcessStatus": root.status(),
        "psutilCpuNum": root.cpu_num(),
        "psutilCpuCount": psutil.cpu_count(),
        "psutilProcessCpuNum": root.cpu_num(),
        "psutilProcessCreateTime": root.create_time(),
        "psutilProcessNice": root.nice(),
        "psutilProcessName": root.name(),
        "psutilProcessNumThreads": sum(one.num_threads() for one in every),
        "psutilProcessPpid": root.ppid(),
    }


def main() -> None:
    ready, tell = os.pipe()
    wait, go = os.pipe()
    measured = fork_measured(tell, wait)
    seen: dict[int, dict] = {}
    for _ in range(2):
        os.read(ready, 1)
        print(json.dumps(figures(until_asleep(measured), seen)), flush=True)
        sys.stdin.readline()
        os.write(go, b"g")
    os.waitpid(measured, 0)


if __name__ == "__main__":
    main()
