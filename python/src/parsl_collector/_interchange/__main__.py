"""The program: all of it is Parsl's, but for the class of its records. It is run by the path of this folder,
so it can import Parsl, and not this package."""

from __future__ import annotations

import logging
import runpy
from typing import Any

from parsl.executors.high_throughput import manager_record


class Record(dict):
    """Of a manager. Its copies are what is told: the first with the list of packages, the others without."""

    has_told_packages = False

    def copy(self) -> dict[str, Any]:
        told = dict(self)
        if self.has_told_packages:
            told.pop("packages", None)
        self.has_told_packages = "packages" in self
        return told

    def __format__(self, spec: str) -> str:  # for the line that is left out
        return "a manager's record"


def is_of_use(line: logging.LogRecord) -> bool:
    """Not that a record is told, which the interchange says with all of it."""
    return not str(line.msg).startswith("Sending message a manager's record")


manager_record.ManagerRecord = Record
logging.getLogger("parsl.executors.high_throughput.interchange").addFilter(is_of_use)
runpy.run_module("parsl.executors.high_throughput.interchange", run_name="__main__")
