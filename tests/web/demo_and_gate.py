"""The demo, and beside it a task that runs until a file is there.

usage: demo_and_gate.py DIRECTORY GATE

Wants demo/ on PYTHONPATH, for the workers too.
"""

import pathlib
import sys

import parsl
import workflow


@parsl.python_app
def wait_for(path: str) -> None:
    import pathlib
    import time

    while not pathlib.Path(path).exists():
        time.sleep(0.05)


def main() -> None:
    directory, gate = (pathlib.Path(path).resolve() for path in sys.argv[1:])
    parsl.load(workflow.config(directory))
    try:
        workflow.wait([wait_for(str(gate)), *workflow.submit(directory)])
    finally:
        parsl.dfk().cleanup()


if __name__ == "__main__":
    main()
