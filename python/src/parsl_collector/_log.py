"""Where this package logs."""

from __future__ import annotations

import logging


def logger_of(module: str) -> logging.Logger:
    """The logger of one of our modules, below Parsl's: so its words are in parsl.log, in a worker's log, and
    wherever else the user's Config sends what Parsl logs."""
    return logging.getLogger(f"parsl.{module}")
