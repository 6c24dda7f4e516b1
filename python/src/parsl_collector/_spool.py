"""The spool: a sender's envelopes on disk while nobody takes them, in order and bounded in bytes.

Not safe to use from several threads: its sender guards it. A process that dies leaves its segments to the
next sender on the same directory (_adopt.py) or to `parsl-collector spool`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from parsl_collector._losses import SAMPLE, Loss, losses_in, split, tell
from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._segment import (
    HEAD_BYTES,
    SUFFIX,
    TEMPORARY_SUFFIX,
    envelope_record,
    opening,
    owner_here,
    write_all,
)

_MOST_SEGMENT_BYTES = 4 * 1024 * 1024
"""A segment is removed as a whole, when all in it is acknowledged, and is rewritten as a whole."""


class Spooled(NamedTuple):
    """An envelope that is to be written."""

    envelope: bytes
    first: int
    """Sequence of its first message."""
    count: int
    """Messages in it."""
    is_sent: bool
    """Whether it is on its way already: it is offered again only after a rewind."""


class Entry:
    """An envelope on disk."""

    __slots__ = ("count", "file", "first", "is_acknowledged", "is_sent", "length", "offset")

    def __init__(self, file: _File, offset: int, length: int, first: int, count: int) -> None:
        self.file = file
        self.offset = offset
        self.length = length
        self.first = first
        self.count = count
        self.is_sent = False
        self.is_acknowledged = False


class _File:
    """A segment of this sender."""

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.size = size
        self.entries: list[Entry] = []
        self.unacknowledged = 0
        """Of `entries`."""
        self.messages = 0
        """In those."""
        self.may_have_samples = False

    def hold(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.unacknowledged = len(entries)
        self.messages = sum(entry.count for entry in entries)

    @property
    def has_messages_to_send(self) -> bool:
        return any(entry.count and not entry.is_sent for entry in self.entries)

    @property
    def tells_losses_alone(self) -> bool:
        return all(not entry.count and not entry.is_sent for entry in self.entries)


class Spool:
    """The segments of one sender in `directory`, which is made when first needed. At `most_bytes` samples are
    given up first, then state changes, the oldest first; the segments then tell them as lost."""

    def __init__(self, directory: str, sender_id: str, most_bytes: int) -> None:
        self.directory = directory
        self.given_up = 0
        """Messages that were given up for want of room."""
        self._sender_id = sender_id
        self._most_bytes = most_bytes
        self._run_id = ""
        self._files: list[_File] = []
        self._unsent: deque[Entry] = deque()
        self._number = 0
        self._made_directory = False
        self._output: int | None = None
        """Descriptor of the last of the files, while it is written to."""

    @property
    def is_empty(self) -> bool:
        """Whether all is acknowledged."""
        return not self._files

    @property
    def messages(self) -> int:
        """How many are not acknowledged."""
        return sum(file.messages for file in self._files)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self._files)

    def append(self, envelopes: Iterable[Spooled], run_id: str) -> list[Entry]:
        """Writes envelopes and syncs them. Raises OSError; then none of them counts as written."""
        self._run_id = run_id
        if self._output is not None and not _is_in_place(self._output, self._files[-1].path):
            self._close_output()
        continued = self._files[-1] if self._output is not None else None
        start = continued.size if continued is not None else 0
        entries: list[Entry] = []
        try:
            for envelope in envelopes:
                entries.append(self._write(envelope))
            self._sync()
        except OSError:
            self._take_back(entries, continued, start)
            raise
        return entries

    def take(self) -> Entry | None:
        """The next envelope to send; None when all is sent."""
        while self._unsent:
            entry = self._unsent.popleft()
            if not entry.is_sent:
                entry.is_sent = True
                return entry
        return None

    def read(self, entry: Entry) -> bytes:
        """Raises OSError; FileNotFoundError where somebody removed the segment."""
        with open(entry.file.path, "rb") as file:
            file.seek(entry.offset - HEAD_BYTES)
            record = file.read(HEAD_BYTES + entry.length)
        envelope = record[HEAD_BYTES:]
        if record != envelope_record(envelope):
            raise OSError(errno.EIO, "it is damaged", entry.file.path)
        return envelope

    def rewind(self) -> None:
        """Offers again what was sent and is not acknowledged."""
        for file in self._files:
            for entry in file.entries:
                entry.is_sent = entry.is_acknowledged
        self._list_unsent()

    def acknowledge(self, entry: Entry) -> None:
        """An envelope is on the collector's disk. The last one of a segment removes it. Raises OSError where
        that fails."""
        if entry.is_acknowledged:
            return
        entry.is_acknowledged = entry.is_sent = True
        entry.file.unacknowledged -= 1
        entry.file.messages -= entry.count
        if entry.file.unacknowledged == 0 and entry.file in self._files:
            self._remove(entry.file)

    def close(self) -> None:
        """Removes the directory when this spool made it and nothing is in it."""
        self._close_output()
        if self._made_directory:
            with contextlib.suppress(OSError):  # something is in it
                os.rmdir(self.directory)

    def _write(self, spooled: Spooled) -> Entry:
        envelope, first, count, is_sent = spooled
        start = len(self._opening())
        record = envelope_record(envelope)
        if start + len(record) > self._most_bytes:
            told = pb.Envelope.FromString(envelope)
            _, lost = split(told)
            self.given_up += count
            envelope, count = self._telling([*losses_in(told), *lost]), 0
            record = envelope_record(envelope)
        self._make_room(start + len(record))
        most = min(_MOST_SEGMENT_BYTES, self._most_bytes // 8)
        if self._output is not None and self._files[-1].size + len(record) > most:
            self._sync()
            self._close_output()
        if self._output is None:
            self._open_output()
        assert self._output is not None
        file = self._files[-1]
        write_all(self._output, record)
        entry = Entry(file, file.size + HEAD_BYTES, len(envelope), first, count)
        entry.is_sent = is_sent
        file.size += len(record)
        file.entries.append(entry)
        file.unacknowledged += 1
        file.messages += count
        file.may_have_samples = True
        self._unsent.append(entry)
        return entry

    def _open_output(self) -> None:
        if not os.path.isdir(self.directory):
            os.makedirs(self.directory, exist_ok=True)
            self._made_directory = True
        self._number += 1
        path = os.path.join(self.directory, f"{self._sender_id}-{self._number:06d}{SUFFIX}")
        start = self._opening()
        # Under its name only with its owner in it: whoever looks for left segments would take it for foreign.
        self._output = _create(path, start)
        self._files.append(_File(path, len(start)))
        _sync_directory(self.directory)

    def _sync(self) -> None:
        if self._output is not None:
            _sync_data(self._output)

    def _close_output(self) -> None:
        if self._output is not None:
            os.close(self._output)
            self._output = None

    def _take_back(self, entries: Sequence[Entry], continued: _File | None, start: int) -> None:
        """Undoes an append that failed, as far as the disk lets us: what is left of it is at worst sent
        twice, or a torn end."""
        if self._output is not None and continued is not None and continued is self._files[-1]:
            with contextlib.suppress(OSError):
                os.ftruncate(self._output, start)
                continued.size = start
        self._close_output()
        for entry in entries:
            with contextlib.suppress(OSError):
                self.acknowledge(entry)
        if self._files and not self._files[-1].entries:
            with contextlib.suppress(OSError):
                self._remove(self._files[-1])

    def _make_room(self, size: int) -> None:
        for file in list(self._files):
            if self.size + size <= self._most_bytes:
                return
            if file.may_have_samples:
                self._rewrite(file, lambda kind: kind == SAMPLE)
        while self.size + size > self._most_bytes and self._give_up_oldest():
            pass

    def _give_up_oldest(self) -> bool:
        """Gives up a segment, and tells in it what those before it told, so that they do not add up."""
        told: list[Loss] = []
        hollow: list[_File] = []
        for file in list(self._files):
            if file.has_messages_to_send:
                self._rewrite(file, lambda kind: True, told)
                for before in hollow:
                    self._remove(before)
                return True
            if file.tells_losses_alone:
                for entry in file.entries:
                    told += losses_in(pb.Envelope.FromString(self.read(entry)))
                hollow.append(file)
        return False

    def _rewrite(self, file: _File, is_given_up: Callable[[str], bool], told: Sequence[Loss] = ()) -> None:
        """Writes a segment anew, without messages of the kinds that are given up. Those on their way to the
        collector stay."""
        kept: list[tuple[Entry | None, bytes, int, int]] = []
        losses = list(told)
        given_up = 0
        for entry in file.entries:
            if entry.is_acknowledged:
                continue
            data = self.read(entry)
            if entry.is_sent:
                kept.append((entry, data, entry.first, entry.count))
                continue
            envelope = pb.Envelope.FromString(data)
            parts, lost = split(envelope, is_given_up)
            given_up += sum(loss.last - loss.first + 1 for loss in lost)
            losses += [*losses_in(envelope), *lost]
            kept += [
                (None, part.SerializeToString(), part.first_sequence, len(part.messages)) for part in parts
            ]
        if losses:
            kept.append((None, self._telling(losses), 0, 0))
        if self._output is not None and file is self._files[-1]:
            self._close_output()
        content = [self._opening()]
        content += [envelope_record(data) for _, data, _, _ in kept]
        descriptor = _create(file.path, b"".join(content))
        os.close(descriptor)
        _sync_directory(self.directory)
        entries = []
        file.size = len(content[0])
        for (entry, data, first, count), record in zip(kept, content[1:], strict=True):
            if entry is None:
                entry = Entry(file, 0, 0, first, count)
            entry.offset, entry.length = file.size + HEAD_BYTES, len(data)
            file.size += len(record)
            entries.append(entry)
        for replaced in set(file.entries).difference(entries):
            replaced.is_sent = replaced.is_acknowledged = True
        file.hold(entries)
        file.may_have_samples = False
        self.given_up += given_up
        self._list_unsent()

    def _opening(self) -> bytes:
        return opening(owner_here(self._sender_id, self._run_id))

    def _telling(self, losses: Sequence[Loss]) -> bytes:
        envelope = pb.Envelope(sender_id=self._sender_id, run_id=self._run_id)
        tell(envelope, losses)
        return envelope.SerializeToString()

    def _list_unsent(self) -> None:
        self._unsent = deque(e for file in self._files for e in file.entries if not e.is_sent)

    def _remove(self, file: _File) -> None:
        if file is self._files[-1]:
            self._close_output()
        self._files.remove(file)
        for entry in file.entries:
            entry.is_sent = entry.is_acknowledged = True
        with contextlib.suppress(FileNotFoundError):  # a person removed it
            os.unlink(file.path)


_sync_data = getattr(os, "fdatasync", os.fsync)
"""Where there is none, as on macOS, the slower one."""


def _is_in_place(descriptor: int, path: str) -> bool:
    """Whether the file is still under its name: what is written to one that was removed is gone."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _create(path: str, content: bytes) -> int:
    """Puts a synced file in place, whole or not at all; returns its descriptor, to write on."""
    temporary = path + TEMPORARY_SUFFIX
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        write_all(descriptor, content)
        _sync_data(descriptor)
        os.replace(temporary, path)
    except OSError:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return descriptor


def _sync_directory(path: str) -> None:
    # Some network filesystems refuse it: their names are then as lasting as they make them.
    with contextlib.suppress(OSError):
        directory = os.open(path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
