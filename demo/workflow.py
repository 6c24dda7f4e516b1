"""A small workflow with everything in it that monitoring records: python and bash apps, dependencies, a join
app, a memoized app, one that fails once and is retried, and one that fails for good.

usage: workflow.py DIRECTORY

Two lines make it a monitored one: CollectorHub and, for the workers, CollectorRadio.
"""

import os
import pathlib
import sys
import time

import parsl
from parsl.data_provider.files import File

from parsl_collector import CollectorHub, CollectorRadio


@parsl.python_app
def simulate(seed: int, seconds: float) -> float:
    """Keeps a core busy for a while, so that there is something to sample."""
    import random
    import time

    dice, end, total = random.Random(seed), time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        total += sum(dice.random() for _ in range(10_000)) / 10_000
    return total


@parsl.python_app
def mean(*values: float) -> float:
    return sum(values) / len(values)


@parsl.python_app(cache=True)
def square(x: int) -> int:
    return x * x


@parsl.python_app
def root(x: int) -> int:
    import math

    return math.isqrt(x)


@parsl.python_app
def fails_once(marker: str) -> str:
    """Fails the first time that it is tried."""
    import pathlib

    if not pathlib.Path(marker).exists():
        pathlib.Path(marker).touch()
        raise RuntimeError("the first try always fails")
    return "the second try worked"


@parsl.python_app
def fails(reason: str) -> None:
    raise ValueError(reason)


@parsl.bash_app
def write_report(value: float, stdout=None, outputs=()):
    return f"echo the mean is {value}; echo {value} > {outputs[0]}"


@parsl.bash_app
def count_words(inputs=(), stdout=None):
    return f"wc -w < {inputs[0]}"


@parsl.join_app
def sweep(seeds: list) -> list:
    return [simulate(seed, 0.2) for seed in seeds]


def config(directory: pathlib.Path) -> parsl.Config:
    return parsl.Config(
        executors=[
            parsl.HighThroughputExecutor(
                label="workers",
                address="127.0.0.1",
                max_workers_per_node=2,
                cores_per_worker=1,
                provider=parsl.providers.LocalProvider(init_blocks=1, max_blocks=1),
                remote_monitoring_radio=CollectorRadio(),
            )
        ],
        monitoring=CollectorHub(
            logging_endpoint=f"sqlite:///{directory}/monitoring.db",
            workflow_name="demo",
            resource_monitoring_interval=1,
        ),
        run_dir=str(directory / "runinfo"),
        retries=1,
        strategy="none",
    )


def submit(directory: pathlib.Path) -> list:
    simulations = [simulate(seed, 0.5 + seed % 3) for seed in range(8)]
    average = mean(*simulations)
    report = write_report(
        average, stdout=f"{directory}/report.out", outputs=[File(f"{directory}/report.txt")]
    )
    words = count_words(inputs=[report.outputs[0]], stdout=f"{directory}/words.out")
    marker = directory / "tried"
    marker.unlink(missing_ok=True)  # of the last run
    first = square(7)
    back = root(first)
    return [
        *simulations,
        average,
        report,
        words,
        first,
        back,
        square(back),  # of 7 again: its result is remembered
        sweep([11, 12, 13]),
        fails_once(str(marker)),
        fails("this one fails for good, as it should"),
    ]


def wait(futures: list) -> None:
    """Says how far it is, in place on a terminal and in lines elsewhere."""
    shown = None
    while True:
        done = sum(future.done() for future in futures)
        failed = sum(future.done() and future.exception() is not None for future in futures)
        bar = "█" * done + "░" * (len(futures) - done)
        line = f"  {bar} {done}/{len(futures)} tasks done" + (f", {failed} failed" if failed else "")
        if line != shown:
            print(line, end="\r" if sys.stdout.isatty() else "\n", flush=True)
            shown = line
        if done == len(futures):
            print(flush=True)
            return
        time.sleep(0.2)


def main() -> None:
    directory = pathlib.Path(sys.argv[1]).resolve()
    os.makedirs(directory, exist_ok=True)
    print("Starting Parsl with two workers, and the collector.", flush=True)
    parsl.load(config(directory))
    try:
        wait(submit(directory))
    finally:
        parsl.dfk().cleanup()  # also after Ctrl-C: the end of the run is recorded


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nInterrupted; what ran until then is recorded.", flush=True)
        sys.exit(130)
