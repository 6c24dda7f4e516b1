"""A real Parsl program of no-op apps, without monitoring and with it, in turn.

usage: workflow.py [TASKS] [--executor htex|threads] [--interval SECONDS] [--rounds N] [--with-parsl ROUNDS]
                   [--bursts N] [--with-bursts ROUNDS]

Two workers in one local block. off: no monitoring. floor: a hub that discards and a radio that sends nothing,
which is what Parsl's own part costs (states, NODE_INFO of the interchange). ours: CollectorHub and
CollectorRadio. parsl: its own, which takes minutes, in the first ROUNDS. Prints for each the median of the
seconds, as a multiple of off's in the same round: absolute figures of a shared machine mean little. With it
the CPU time that a task costs in each process of the program, in ms, which tells on a busy machine too where
the rest goes. Both are of a program's first TASKS. In the first ROUNDS (default: all) the same program runs
as many again, a second after the ones before are done, until it has had N bursts of them (default 1):
"later", without parsl's, is what a program costs that goes on.
"""

import argparse
import collections
import contextlib
import ctypes
import json
import multiprocessing.queues
import os
import statistics
import subprocess
import sys
import tempfile
import time

import parsl
import psutil
from parsl.monitoring import MonitoringHub
from parsl.monitoring.radios.base import MonitoringRadioReceiver, MonitoringRadioSender
from parsl.multiprocessing import SpawnContext
from parsl.providers import LocalProvider

from parsl_collector import CollectorHub, CollectorRadio, _wrapper


class Nowhere(multiprocessing.queues.Queue):
    """A queue for those who check that it is one."""

    def __init__(self):
        super().__init__(ctx=SpawnContext)

    def put(self, *_message, **_options):
        pass


class DiscardingHub(MonitoringHub):
    def start(self, dfk_run_dir, config_run_dir, log_config=None):
        self.resource_msgs = Nowhere()
        _wrapper.install()

    def close(self):
        _wrapper.uninstall()


class SilentSender(MonitoringRadioSender):
    def send(self, message):
        pass

    def is_sampled(self):
        return True


class NoReceiver(MonitoringRadioReceiver):
    def shutdown(self):
        pass


class SilentRadio(CollectorRadio):
    def create_receiver(self, *, run_dir, resource_msgs):
        return NoReceiver()

    def create_sender(self):
        return SilentSender()


WAYS = {
    "off": (None, lambda: None),
    "floor": (DiscardingHub, SilentRadio),
    "ours": (CollectorHub, CollectorRadio),
    "parsl": (MonitoringHub, lambda: None),
}


PARTS = {
    "HTEX interchange": "interchange",
    "process_worker_pool.py": "manager",
    "multiprocessing.spawn": "workers",
    "zmq router": "router",
    "monitoring drain": "drain",
    " agent ": "agent",
    " serve ": "collector",
}
"""The parts of a program by what the titles of their processes have in them."""

WORKERS = 2

PAUSE_S = 1
"""Between two bursts: what was said of the one before is stored by then."""

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes processes of this one's children its own when their parent ends, as those of a block, which Parsl
    starts with nohup, and of the agent: whoever reaps them is who is charged with their CPU."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap():
    """Those that have ended. There may be others, which end later."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def cpu_seconds():
    """What each part of this program has used so far."""
    used = collections.Counter()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            title = " ".join(process.cmdline())
            part = next((name for sign, name in PARTS.items() if sign in title), "others")
            part = "program" if process.pid == os.getpid() else part
            with contextlib.suppress(OSError):
                for thread in os.scandir(f"/proc/{process.pid}/task"):
                    with open(f"{thread.path}/schedstat") as file:
                        used[part] += int(file.read().split()[0]) / 1e9
    return used


def program(way, options):
    """Runs in a process of its own; prints the seconds of the tasks."""
    adopt_orphans()  # so cpu_seconds finds them
    make_hub, make_radio = WAYS[way]
    with tempfile.TemporaryDirectory() as directory:
        hub = make_hub and make_hub(
            logging_endpoint=f"sqlite:///{directory}/monitoring.db",
            resource_monitoring_interval=options.interval,
        )
        if options.executor == "threads":
            executor = parsl.ThreadPoolExecutor(max_threads=WORKERS, remote_monitoring_radio=make_radio())
        else:
            executor = parsl.HighThroughputExecutor(
                address="127.0.0.1",
                max_workers_per_node=WORKERS,
                cores_per_worker=1,
                encrypted=False,
                provider=LocalProvider(init_blocks=1, max_blocks=1),
                remote_monitoring_radio=make_radio(),
            )

        @parsl.python_app(cache=False)
        def no_op(number):
            return number

        @parsl.python_app(cache=False)
        def who():
            import os
            import threading
            import time

            time.sleep(0.05)  # meanwhile the other worker takes the next
            return os.getpid(), threading.get_ident()

        config = parsl.Config(
            executors=[executor], monitoring=hub, run_dir=f"{directory}/runinfo", strategy="none"
        )
        with parsl.load(config):
            workers = set()
            while len(workers) < WORKERS:  # all have run a task before the clock starts
                workers.update(future.result() for future in [who() for _ in range(WORKERS)])
            for future in [no_op(-1) for _ in range(8)]:
                future.result()
            before = cpu_seconds()
            seconds = burst_seconds(no_op, options.tasks)
            used = cpu_seconds()
            later = []
            for _ in range(1, options.bursts):
                time.sleep(PAUSE_S)
                later.append(burst_seconds(no_op, options.tasks))
    cpu_ms = {part: (total - before[part]) * 1000 / options.tasks for part, total in used.items()}
    print(json.dumps({"seconds": seconds, "later": later, "cpu_ms": cpu_ms}))


def burst_seconds(app, tasks):
    began = time.monotonic()
    for future in [app(number) for number in range(tasks)]:
        future.result()
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", type=int, nargs="?", default=300)
    parser.add_argument("--executor", choices=("htex", "threads"), default="htex")
    parser.add_argument("--interval", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--with-parsl", type=int, default=0)
    parser.add_argument("--bursts", type=int, default=1)
    parser.add_argument("--with-bursts", type=int, default=sys.maxsize)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way is not None:
        program(options.way, options)
        return
    adopt_orphans()  # what a program leaves behind is not for others to be charged with
    ways = list(WAYS) if options.with_parsl else ["off", "floor", "ours"]
    multiples = {way: [] for way in ways}
    later = {way: [] for way in ways if way != "parsl"}
    cpu_ms = {way: collections.defaultdict(list) for way in ways}
    path = [os.path.dirname(os.path.abspath(__file__)), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    rates = []
    for number in range(options.rounds):
        seconds, seconds_later = {}, {}
        for way in ways:
            if way == "parsl" and number >= options.with_parsl:
                continue
            # As a module that the workers can import, beside what the caller tests.
            run = "import workflow; workflow.main()"
            goes_on = way != "parsl" and number < options.with_bursts
            only_one = [] if goes_on else ["--bursts", "1"]
            said = subprocess.run(
                [sys.executable, "-c", run, *sys.argv[1:], *only_one, "--way", way],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            reap()
            found = json.loads(said.stdout.splitlines()[-1])
            seconds[way] = found["seconds"]
            for part, ms in found["cpu_ms"].items():
                cpu_ms[way][part].append(ms)
            multiples[way].append(round(seconds[way] / seconds["off"], 2))
            if found["later"]:
                seconds_later[way] = statistics.median(found["later"])
                later[way].append(round(seconds_later[way] / seconds_later["off"], 2))
        rates.append(options.tasks / seconds["off"])
    medians = {way: statistics.median(values) for way, values in multiples.items()}
    print(
        json.dumps(
            {
                "tasks": options.tasks,
                "executor": options.executor,
                "interval": options.interval,
                "off_tasks_per_s": round(statistics.median(rates)),
                "times_slower": medians,
                "rounds": multiples,
                "later": {way: statistics.median(values) for way, values in later.items() if values},
                "rounds_later": later,
                "cpu_ms_a_task": {
                    way: {part: round(statistics.median(values), 3) for part, values in parts.items()}
                    for way, parts in cpu_ms.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
