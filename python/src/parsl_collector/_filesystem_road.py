"""The sending half of the filesystem radio: envelopes as files in a directory that a collector reads.

A file is 8 bytes of magic and one record, as in a spool: u32 length of the envelope, u32 CRC-32 of kind and
envelope (both little-endian), u8 kind, envelope. It is written whole under tmp/ and then renamed into new/:
nobody sees it half written, on a network filesystem neither.
"""

from __future__ import annotations

import contextlib
import os

from parsl_collector._road import EnvelopeRefusedError, RoadError
from parsl_collector._segment import envelope_record, write_all

_MAGIC = b"PCBATCH1"
_FOLDERS = ("tmp", "cur", "bad", "new")

LARGEST_ENVELOPE_BYTES = 64 * 1024 * 1024
"""A collector reads no larger file."""


class Road:
    """Leaves envelopes in the directory `address`, which it makes when it is missing. Not for several threads
    at once; a process that was forked off may use it too."""

    def __init__(self, address: str, key: bytes | None = None) -> None:
        self._directory = os.path.abspath(address)
        self._begin()

    def send(self, envelope: bytes) -> None:
        """Returns when the file and its name are on the disk, after two syncs. Raises RoadError;
        EnvelopeRefusedError for what no collector would take."""
        if len(envelope) > LARGEST_ENVELOPE_BYTES:
            raise EnvelopeRefusedError(
                f"leave an envelope of {len(envelope)} bytes in {self._directory}: "
                f"at most {LARGEST_ENVELOPE_BYTES} are taken; send its messages alone"
            )
        if os.getpid() != self._pid:
            self._begin()
        self._number += 1
        name = f"{self._writer}-{self._number:010d}.batch"
        batch = _MAGIC + envelope_record(envelope)
        try:
            try:
                self._place(name, batch)
            except FileNotFoundError:
                # The first to come makes the folders, and whoever finds that somebody removed them.
                for folder in _FOLDERS:
                    os.makedirs(os.path.join(self._directory, folder), exist_ok=True)
                os.makedirs(self._folder, exist_ok=True)
                self._place(name, batch)
        except OSError as e:
            # It may hold the room that the next attempt needs. A collector removes it later if we cannot.
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self._directory, "tmp", name))
            raise RoadError(f"write batch {name} into {self._directory}: {e}") from e

    def close(self) -> None:
        """Nothing is held open."""

    def _begin(self) -> None:
        """Draws a writer of its own for each process: two that number alike would write over each other."""
        self._pid = os.getpid()
        self._writer = os.urandom(16).hex()
        self._number = 0
        self._folder = os.path.join(self._directory, "new", self._writer[0])

    def _place(self, name: str, batch: bytes) -> None:
        """Content first, then the name: what is in new/ is whole and safe."""
        path = os.path.join(self._directory, "tmp", name)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            write_all(file, batch)
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(path, os.path.join(self._folder, name))
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def remove_if_empty(directory: str) -> None:
    """Removes the folders of a directory in which nothing is left, and itself."""
    for path, _, _ in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):  # something is in it
            os.rmdir(path)


def files_in(directory: str) -> int:
    """How many batches wait in a directory to be stored; none where it is not there."""
    count = 0
    for folder in ("new", "cur"):
        for _, _, files in os.walk(os.path.join(directory, folder)):
            count += len(files)
    return count
