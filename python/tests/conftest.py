"""What the tests are given."""

from __future__ import annotations

import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest

from parsl_collector._channel import import_grpc

# Before a test imports gRPC itself, and with it the handling of forks, which crashes a process now and then.
import_grpc()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets this process's local zone, and that of the processes which it starts."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.fixture(autouse=True)
def homes(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pathlib.Path]:
    """Where the agents of this test's workers are at home; tmp_path is too long for a socket. Of each test's
    own: what an agent kept for a collector that is gone would go to the next one that has its port."""
    tmp_path_factory.getbasetemp()  # pytest looks for its own place once
    # An agent that still runs may write into it.
    with tempfile.TemporaryDirectory(prefix="pc", dir="/tmp", ignore_cleanup_errors=True) as short:
        monkeypatch.setenv("TMPDIR", short)
        monkeypatch.setattr(tempfile, "tempdir", None)  # what this process has found before
        yield pathlib.Path(short) / f"parsl-collector-{os.getuid()}"
