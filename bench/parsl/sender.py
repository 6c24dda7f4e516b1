"""What monitoring costs a task's process: `create_sender` and `send`, beside Parsl's own radios.

usage: sender.py [TASKS] [--rounds N]

Each way has a process of its own, as a worker is, in which TASKS tasks say that they start and that they end,
each time with a sender made anew, as Parsl does: in a tight loop, and with 2 ms after each task, so that the
threads behind `send` run between. Prints, as medians of the rounds: what the first message of the process
takes, which for `agent` starts one, or finds one that lives for its workers still; and of the tasks after it,
for both messages together, the wall time that they are held up and the CPU time of the whole process, its
threads included and an equal loop that sends nothing left out. A round takes 45 s, most of which is Parsl's
filesystem receiver, which looks every 10 s.
"""

import argparse
import contextlib
import json
import queue
import statistics
import subprocess
import tempfile
import threading
import time

import parsl.executors.high_throughput.monitoring_info as htex
from dbmanager import worker
from parsl.monitoring.radios.filesystem import FilesystemRadio
from parsl.monitoring.radios.htex import HTEXRadio
from parsl.monitoring.radios.udp import UDPRadio
from parsl.multiprocessing import SpawnContext

from parsl_collector import CollectorRadio
from parsl_collector._node import find_node, find_server

GAP_S = 0.002
FLUSH_S = 60

WAYS = {
    "nothing": lambda address: Silent(),
    "agent": lambda address: CollectorRadio(address),
    "direct": lambda address: CollectorRadio(address, agent=False),
    "udp": lambda address: UDPRadio(address="127.0.0.1", atexit_timeout=0),
    "filesystem": lambda address: FilesystemRadio(),
    "htex": lambda address: HTEXRadio(),
}


class Silent:
    """Costs what the loops cost."""

    def create_receiver(self, *, run_dir, resource_msgs):
        return self

    def shutdown(self):
        pass

    def create_sender(self):
        return self

    def send(self, message):
        pass


def task(way, radio, tasks, results, answer):
    """Runs in the process of a worker."""
    htex.result_queue = results
    lives = [(worker(number, False, number), worker(number, True, number)) for number in range(tasks)]
    began = time.perf_counter()
    sender = radio.create_sender()
    if way in ("agent", "direct"):
        sender.is_sampled()  # as before a task with samples
    sender.send(lives[0][0])
    figures = {"first_ms": (time.perf_counter() - began) * 1e3}
    flush(way, sender, results)
    for name, gap in (("tight", 0), ("paced", GAP_S)):
        walls, cpu = [], time.process_time()
        for start, end in lives:
            began = time.perf_counter()
            radio.create_sender().send(start)
            radio.create_sender().send(end)
            walls.append(time.perf_counter() - began)
            if gap:
                time.sleep(gap)
        flush(way, sender, results)
        figures[f"{name}_wall_us"] = statistics.median(walls) * 1e6
        figures[f"{name}_cpu_us"] = (time.process_time() - cpu) / tasks * 1e6
    answer.put(figures)


def flush(way, sender, results):
    """Waits until nothing is left for the threads behind `send`, which is their CPU time."""
    if way in ("agent", "direct"):
        assert sender._connection.flush(FLUSH_S)
    elif way == "htex":
        while results._buffer:
            time.sleep(0.001)


def measure(way, address, tasks):
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as ends:
        messages, results, answer = (SpawnContext.Queue() for _ in range(3))
        for filled in (messages, results):  # nobody is held up by a full pipe
            ends.callback(drained(filled))
        radio = WAYS[way](address)
        ends.callback(radio.create_receiver(run_dir=directory, resource_msgs=messages).shutdown)
        process = SpawnContext.Process(target=task, args=(way, radio, tasks, results, answer))
        process.start()
        figures = answer.get()
        process.join()
        return figures


def drained(filled):
    """Empties a queue in a thread. Returns what ends that."""
    is_over = threading.Event()

    def drain():
        while not is_over.is_set():
            with contextlib.suppress(queue.Empty):
                filled.get(timeout=0.1)

    thread = threading.Thread(target=drain)
    thread.start()

    def end():
        is_over.set()
        thread.join()

    return end


@contextlib.contextmanager
def collector():
    """The address of one that runs."""
    with tempfile.TemporaryDirectory() as directory:
        command = [find_node(None), find_server(), "serve", "--database", f"{directory}/monitoring.db"]
        with subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE) as process:
            try:
                yield json.loads(process.stdout.readline())["address"]
            finally:
                process.terminate()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", type=int, nargs="?", default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = []
    with collector() as address:
        for _ in range(options.rounds):
            figures = {way: measure(way, address, options.tasks) for way in WAYS}
            idle = figures.pop("nothing")
            for cpu in ("tight_cpu_us", "paced_cpu_us"):
                for of_way in figures.values():
                    of_way[cpu] -= idle[cpu]
            rounds.append(figures)
    columns = ("first_ms", "tight_wall_us", "tight_cpu_us", "paced_wall_us", "paced_cpu_us")
    print(f"{'':12}" + "".join(f"{column.replace('_', ' '):>15}" for column in columns))
    for way in rounds[0]:
        medians = [statistics.median(figures[way][column] for figures in rounds) for column in columns]
        print(f"{way:12}" + "".join(f"{figure:15.1f}" for figure in medians))


if __name__ == "__main__":
    main()
