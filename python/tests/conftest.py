"""What the tests are given."""

from __future__ import annotations

import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets this process's local zone, and that of the processes which it starts."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def homes(monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """Where the agents of this test's workers are at home; tmp_path is too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="pc", dir="/tmp") as short:
        monkeypatch.setenv("TMPDIR", short)
        monkeypatch.setattr(tempfile, "tempdir", None)  # what this process has found before
        yield pathlib.Path(short) / f"parsl-collector-{os.getuid()}"
