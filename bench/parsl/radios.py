"""Measures one radio with senders in processes of their own, as workers are; parsl_radios.py, our_radios.py
say which radio, and where its messages arrive.
"""

import json
import math
import multiprocessing
import os
import resource
import sys
import time

from dbmanager import at, sample

FORK = multiprocessing.get_context("fork")

BURST, BURSTS, REST_S = 50, 8, 0.08
"""A send is timed in bursts with rests, so that the receiver keeps up and is not timed with it."""

BLAST_S = 1.5
"""After this a sender sends nothing new, unless `longest_s` says otherwise."""

PACED_PER_S, PACED_SENDERS, PACED_S = 10_000, 4, 2

LATENCIES, LATENCY_PER_S = 40, 20


def measure(way, arguments):
    """Measures what `arguments` asks for, and prints one line of JSON.

    `way` has send(message), which is timed; finish(), called where a process has sent all; take(), the
    (run_id, task_id) of what arrived since the last call, within some ms; receiver_pid, or None; quiet_s,
    after which nothing more is to be expected; is_slow_to_open, whether the first message of a process must
    have arrived before others are timed."""
    figures = {"cost_us": cost(way), "blasts": []}
    longest = arguments.get("longest_s", BLAST_S)
    for senders in arguments["senders"]:
        figures["blasts"].append(blast(way, senders, arguments["messages"] // senders, longest))
    if arguments["paced"]:
        each = PACED_PER_S * PACED_S // PACED_SENDERS
        figures["paced"] = blast(way, PACED_SENDERS, each, math.inf, PACED_SENDERS / PACED_PER_S)
    figures["latencies_ms"] = latencies(way)
    json.dump(figures, sys.stdout)
    print(flush=True)


def cost(way):
    """Microseconds that a send holds up its caller."""
    answers, _ = run(way, "cost", time_bursts, [()])
    return answers[0]["us"]


def time_bursts(way, name):
    messages = [message(name, 0, i) for i in range(BURST * BURSTS)]
    total = 0.0
    for first in range(0, len(messages), BURST):
        began = time.perf_counter()
        for one in messages[first : first + BURST]:
            way.send(one)
        total += time.perf_counter() - began
        time.sleep(REST_S)
    return {"sent": len(messages), "us": total / len(messages) * 1e6}


def blast(way, senders, each, longest_s, gap_s=0.0):
    """`each` messages at most from every one of `senders`, as fast as they can for `longest_s`, or one each
    `gap_s`."""
    name = f"{senders} senders, {gap_s} s"
    receiver, children = cpu_of(way.receiver_pid), cpu_of_children()
    answers, arrived = run(
        way, name, send_all, [(number, each, longest_s, gap_s) for number in range(senders)]
    )
    sent = sum(answer["sent"] for answer in answers)
    # What a sender spent before its first message is what a process costs once.
    children = cpu_of_children() - children - sum(answer["cpu_before"] for answer in answers)
    figures = {
        "senders": senders,
        "sent": sent,
        "arrived": len(arrived),
        "per_second": 0,
        "drained_per_second": 0,
        "sender_us": children / sent * 1e6,
        "receiver_us": None if receiver is None else (cpu_of(way.receiver_pid) - receiver) / sent * 1e6,
    }
    if arrived:
        began = min(answer["began"] for answer in answers)
        last = arrived[-1][0]
        figures["per_second"] = len(arrived) / (last - began)
        figures["drained_per_second"] = len(arrived) / max(1e-3, last - arrived[0][0])
    return figures


def send_all(way, name, number, each, longest_s, gap_s):
    messages = [message(name, number, i) for i in range(each)]
    before = cpu_of_self()
    began = time.monotonic()
    sent = 0
    for one in messages:
        if gap_s:
            time.sleep(max(0, began + sent * gap_s - time.monotonic()))
        elif time.monotonic() - began > longest_s:
            break
        way.send(one)
        sent += 1
    return {"sent": sent, "began": began, "cpu_before": before}


def latencies(way):
    """Milliseconds from each send to its arrival."""
    answers, arrived = run(way, "latency", send_slowly, [()])
    return [(when - answers[0]["at"][task_id]) * 1000 for when, task_id in arrived]


def send_slowly(way, name):
    sent = []
    for i in range(LATENCIES):
        sent.append(time.monotonic())
        way.send(message(name, i, i))
        time.sleep(max(0, sent[0] + (i + 1) / LATENCY_PER_S - time.monotonic()))
    return {"sent": len(sent), "at": sent}


def run(way, name, function, arguments):
    """Runs `function` in a process for each of `arguments`, all beginning at once. Returns what each answers,
    and what arrived: (time, task_id)."""
    barrier = FORK.Barrier(len(arguments) + 1)
    answered = FORK.SimpleQueue()
    processes = [
        FORK.Process(target=sender, args=(way, name, number, function, one, barrier, answered))
        for number, one in enumerate(arguments)
    ]
    for process in processes:
        process.start()
    opened = 0
    while way.is_slow_to_open and opened < len(processes):
        opened += sum(run_id == f"first of {name}" for run_id, _ in way.take())
    barrier.wait()
    answers, arrived = [], []
    expected, heard = math.inf, time.monotonic()
    while len(arrived) < expected and time.monotonic() - heard < way.quiet_s:
        if len(answers) < len(processes):
            heard = time.monotonic()
            while not answered.empty():
                answers.append(answered.get())
        if len(answers) == len(processes):
            expected = sum(answer["sent"] for answer in answers)
        task_ids = [task_id for run_id, task_id in way.take() if run_id == name]
        if task_ids:
            heard = time.monotonic()
            arrived += [(heard, task_id) for task_id in task_ids]
    for process in processes:
        process.join()
    return answers, arrived


def sender(way, name, number, function, arguments, barrier, answered):
    way.send(message(f"first of {name}", number, 0))
    barrier.wait()
    answered.put(function(way, name, *arguments))
    way.finish()


def message(run_id, task_id, number):
    kind, body = sample(task_id, number)
    return kind, {**body, "run_id": run_id, "timestamp": at(number)}


def cpu_of(pid):
    """Seconds of CPU of a running process; None for no process."""
    if pid is None:
        return None
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_of_self():
    return sum(resource.getrusage(resource.RUSAGE_SELF)[:2])


def cpu_of_children():
    """Of those that have ended and were waited for."""
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
