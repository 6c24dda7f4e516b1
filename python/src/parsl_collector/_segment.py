"""One file of a spool: how its bytes are written and read, and whose it is.

8 bytes of magic, then records: u32 length of the payload, u32 CRC-32 of kind and payload (both
little-endian), u8 kind, payload. The first record names the owner; the others are envelopes. The collector's
own tools read and write the same bytes.
"""

from __future__ import annotations

import json
import os
import platform
import struct
import zlib
from typing import IO, NamedTuple

MAGIC = b"PCSPOOL1"
SUFFIX = ".spool"
BAD_SUFFIX = ".bad"
"""Added to the name of a file that is torn or foreign, which is kept and never read again."""
TEMPORARY_SUFFIX = ".tmp"
"""Added to the name of a segment that is not yet whole; it gets its name when it is."""

DEFAULT_SPOOL_BYTES = 1024**3
"""Bound of all segments of one sender together."""

_OWNER, _ENVELOPE = 1, 2
_HEAD = struct.Struct("<IIB")
HEAD_BYTES = _HEAD.size
"""Bytes of a record before its payload."""

_MOST_OWNER_BYTES = 64 * 1024
"""No owner is longer: a larger length is damage, and is not worth its memory."""


class ForeignFileError(ValueError):
    """A file that is no segment."""


class Owner(NamedTuple):
    """The process that writes a segment."""

    sender_id: str
    run_id: str
    hostname: str
    pid: int
    process_started: int | None
    """When it started, in clock ticks since the host's boot; None where the system does not say."""

    @property
    def is_of_this_host(self) -> bool:
        return self.hostname == platform.node()

    @property
    def is_alive(self) -> bool:
        """Whether that process, and not another of the same number, runs on this host."""
        if not self.is_of_this_host:
            return False
        if self.process_started is not None:
            return process_started(self.pid) == self.process_started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # it lives, as another user's
        return True


def owner_here(sender_id: str, run_id: str) -> Owner:
    """This process as the owner of a segment."""
    return Owner(sender_id, run_id, platform.node(), os.getpid(), process_started(os.getpid()))


def process_started(pid: int) -> int | None:
    """Field 22 of /proc/<pid>/stat; None where there is no such process, or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            # Behind the program's name, which may hold blanks and brackets of its own.
            return int(stat.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


class Segment(NamedTuple):
    """What is whole in a file."""

    owner: Owner
    envelopes: list[bytes]
    is_torn: bool
    """Whether something follows that is not whole."""


def opening(owner: Owner) -> bytes:
    """The first bytes of a segment."""
    said = json.dumps(owner._asdict(), separators=(",", ":"), ensure_ascii=False)
    return MAGIC + _record(_OWNER, said.encode(errors="replace"))


def envelope_record(envelope: bytes) -> bytes:
    """The record of an envelope; its payload begins HEAD_BYTES behind its start."""
    return _record(_ENVELOPE, envelope)


def read_owner(path: str) -> Owner:
    """Whose a segment is, without reading the rest of it. Raises ForeignFileError where that cannot be read,
    OSError where nothing can."""
    with open(path, "rb") as file:
        return _read_owner(file, path)


def read_segment(path: str) -> Segment:
    """Reads up to the first record that is short or damaged. Raises as `read_owner` does."""
    with open(path, "rb") as file:
        owner = _read_owner(file, path)
        data = file.read()
    envelopes: list[bytes] = []
    at = 0
    while at + HEAD_BYTES <= len(data):
        length, checksum, kind = _HEAD.unpack_from(data, at)
        payload = data[at + HEAD_BYTES : at + HEAD_BYTES + length]
        if len(payload) < length or _checksum(kind, payload) != checksum:
            break
        if kind == _ENVELOPE:
            envelopes.append(payload)
        at += HEAD_BYTES + length
    return Segment(owner, envelopes, at < len(data))


def _read_owner(file: IO[bytes], path: str) -> Owner:
    if file.read(len(MAGIC)) != MAGIC:
        raise ForeignFileError(f"read {path}: it does not begin with {MAGIC.decode()}")
    try:
        length, checksum, kind = _HEAD.unpack(file.read(HEAD_BYTES))
        if kind != _OWNER or length > _MOST_OWNER_BYTES:
            raise ValueError(f"its first record is of kind {kind} and has {length} bytes")
        payload = file.read(length)
        if _checksum(kind, payload) != checksum:
            raise ValueError("its first record is damaged")
        said = json.loads(payload)
        return _owner_of(*(said[name] for name in Owner._fields))
    except (struct.error, ValueError, KeyError, TypeError, RecursionError) as e:
        raise ForeignFileError(f"read {path}: it does not say whose it is: {e}") from e


def _owner_of(sender_id: object, run_id: object, hostname: object, pid: object, started: object) -> Owner:
    if not (isinstance(sender_id, str) and isinstance(run_id, str) and isinstance(hostname, str)):
        raise TypeError("sender_id, run_id and hostname must be text")
    # From 1: 0 and below are groups of processes to kill(2); and no system has a number that long.
    if not isinstance(pid, int) or not 0 < pid < 2**31:
        raise ValueError(f"pid must be the number of a process, got {pid!r:.40}")
    if not (started is None or isinstance(started, int)):
        raise TypeError(f"process_started must be a number or null, got {started!r:.40}")
    return Owner(sender_id, run_id, hostname, pid, started)


def _record(kind: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), _checksum(kind, payload), kind) + payload


def _checksum(kind: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(bytes((kind,))))


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of it: a disk that fills up takes a part first. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
