"""Envelopes as datagrams under the key of the run: the road where only datagrams pass.

A datagram is 4 bytes of magic, the HMAC-SHA-256 of all that follows, 16 random bytes that its socket drew, a
counter from 1 (u64, big-endian), and an envelope. The collector refuses what is not genuine or comes again.
"""

from __future__ import annotations

import errno
import hmac
import os
import re
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from parsl_collector._encode import varint
from parsl_collector._road import EnvelopeRefusedError, RoadError

_MAGIC = b"PCU1"
_COUNTER = struct.Struct(">Q")
_STREAM_BYTES = 16
_HEAD_BYTES = len(_MAGIC) + 32 + _STREAM_BYTES + _COUNTER.size

_MOST_DATAGRAM_BYTES = 65_507
"""The most that UDP carries over IPv4."""

_PACKET_BYTES = 1_400
"""Largest datagram of several messages on the way to another host: one packet of an Ethernet. Of a larger one
each fragment may be lost, and with it the whole."""

_LOOPBACK_BYTES = 16 * 1024
"""The same on one host, where nothing is fragmented."""

_NOTE_REPEATS_S = (0.02, 0.03, 0.05, 0.1)
"""When a closing note is sent again, each time after the time before: five times in all, since nobody
answers. They outlast a receive buffer that a burst has filled."""

_BYTES_PER_S = 8 * 1024 * 1024
"""How fast one sender sends in the long run: about 25,000 samples a second, a third of what a collector
stores. A datagram that meets a full buffer is gone, and nobody would tell the sender to wait."""

_BURST_S = 256 * 1024 / _BYTES_PER_S
"""What may go at once, as the time that it takes to drain: a sixteenth of the receive buffer."""

_OVERHEAD_BYTES = 768
"""What a datagram takes in the receive buffer beside its own bytes, on Linux."""

_ROOM_PAUSES_S = tuple(0.001 * 2**n for n in range(10))
"""How long to wait, time after time, where the system has no room for a datagram: a second in all."""

_REFUSAL_PATIENCE_S = 0.2
"""How long an answer that nobody listens may take over a network."""

_FIRST_SEQUENCE, _MESSAGES, _CLOSING_NOTE, _LOSSES = 2, 6, 7, 8
"""Field numbers of Envelope, as in envelope.proto."""

_MAYBE_NOTE = re.compile(rb":[\x00-\x0b]")
"""How a closing note begins. Bytes without it have none, and are not looked through field by field."""


class Road:
    """Sends to the collector at `address`, "host:port", under the run's secret. Raises ValueError for an
    address or key that cannot be used."""

    def __init__(self, address: str, key: bytes | None = None) -> None:
        if not key:
            raise ValueError(
                f"send by udp to {address}: udp needs the run's secret, by which the collector knows its "
                "senders; write 32 random bytes into a file and give it to the collector as --key-file, and "
                "its bytes to the senders as key"
            )
        self._address = address
        self._host, self._port = _host_and_port(address)
        self._key = key
        self._socket: socket.socket | None = None
        self._is_loopback = False
        self._stream = b""
        self._counter = 0
        self._drained_at = 0.0
        self._is_doubtful = False
        """Whether the last attempt was refused: the next one is not believed at once."""
        self._notes: list[bytes] = []

    def send(self, envelope: bytes) -> None:
        """Returns when the system has taken all of it. Raises RoadError where it does not, or where a host
        says that nobody listens, and EnvelopeRefusedError for a message that no datagram carries."""
        try:
            sock = self._socket or self._open()
            parts = split(envelope, (_LOOPBACK_BYTES if self._is_loopback else _PACKET_BYTES) - _HEAD_BYTES)
            largest = _HEAD_BYTES + max(map(len, parts.envelopes), default=0)
            if largest > _MOST_DATAGRAM_BYTES:
                raise EnvelopeRefusedError(
                    f"send an envelope by udp to {self._address}: a message in it makes a datagram of "
                    f"{largest} bytes, and {_MOST_DATAGRAM_BYTES} are the most; "
                    "gRPC and the filesystem take it"
                )
            for part in parts.envelopes:
                self._hand_over(sock, part)
            if parts.note is not None:
                self._hand_over(sock, parts.note)
            self._confirm(sock)
        except OSError as e:
            # Anew with the next envelope: the collector may have moved to another host of that name.
            self._is_doubtful = True
            self._close_socket()
            reason = "nobody listens there" if isinstance(e, ConnectionRefusedError) else e
            raise RoadError(f"send by udp to {self._address}: {reason}") from e
        self._is_doubtful = False
        if parts.note is not None:
            self._notes.append(parts.note)

    def close(self) -> None:
        """Says the closing notes that were sent a few times more, in 0.2 s, and closes the socket."""
        for pause in _NOTE_REPEATS_S if self._notes else ():
            time.sleep(pause)
            for note in self._notes:
                try:
                    self._hand_over(self._socket or self._open(), note)
                except OSError:
                    pass  # it was handed over once, and no failure here says that it did not arrive
        self._notes.clear()
        self._close_socket()

    def _open(self) -> socket.socket:
        found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        self._socket = socket.socket(family, kind, protocol)
        # A connected one is told when a host answers that nobody listens at the port.
        self._socket.connect(address)
        self._is_loopback = str(address[0]).startswith("127.") or address[0] == "::1"
        self._stream = os.urandom(_STREAM_BYTES)
        self._counter = 0
        return self._socket

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _hand_over(self, sock: socket.socket, envelope: bytes) -> None:
        self._counter += 1
        datagram = seal(self._key, self._stream, self._counter, envelope)
        self._pace(len(datagram))
        for pause in _ROOM_PAUSES_S:
            try:
                sock.send(datagram)
                return
            except OSError as e:
                if e.errno not in (errno.ENOBUFS, errno.EAGAIN):
                    raise
            time.sleep(pause)
        sock.send(datagram)

    def _pace(self, size: int) -> None:
        """Spaces the datagrams as a bucket that leaks: a burst goes at once, and then the rate holds."""
        now = time.monotonic()
        wait = self._drained_at - now - _BURST_S
        if wait > 0:
            time.sleep(wait)
        self._drained_at = max(self._drained_at, now) + (size + _OVERHEAD_BYTES) / _BYTES_PER_S

    def _confirm(self, sock: socket.socket) -> None:
        """Raises the error that a datagram has met: on one host it is there when the datagram is taken; over
        a network it takes its time, which is worth a wait where it is to be expected."""
        if self._is_doubtful and not self._is_loopback:
            poll = select.poll()
            poll.register(sock, 0)  # for errors alone
            poll.poll(_REFUSAL_PATIENCE_S * 1_000)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))


def seal(key: bytes, stream: bytes, counter: int, envelope: bytes) -> bytes:
    """A datagram."""
    authentic = stream + _COUNTER.pack(counter) + envelope
    return _MAGIC + hmac.digest(key, authentic, "sha256") + authentic


class Parts(NamedTuple):
    """What is sent in place of an envelope: envelopes that say the same, each small enough for a datagram."""

    envelopes: list[bytes]
    note: bytes | None
    """The closing note alone, which is worth more than any other datagram: without it the loss at a sender's
    end cannot be told from messages that never were."""


def split(envelope: bytes, most_bytes: int) -> Parts:
    """Splits an envelope into such of at most `most_bytes`; a message or loss that is larger travels alone.
    Fields are moved as they stand. Raises EnvelopeRefusedError for bytes that are no envelope: no datagram
    carries them."""
    if len(envelope) <= most_bytes and not _MAYBE_NOTE.search(envelope):
        return Parts([envelope], None)
    head = b""
    messages: list[bytes] = []
    losses: list[bytes] = []
    note = None
    first = 0
    for number, value, field in _fields(envelope):
        if number == _FIRST_SEQUENCE:
            first = value
        elif number == _MESSAGES:
            messages.append(field)
        elif number == _LOSSES:
            losses.append(field)
        elif number == _CLOSING_NOTE:
            note = field
        else:
            head += field
    if note is None and (len(envelope) <= most_bytes or len(messages) + len(losses) < 2):
        return Parts([envelope], None)
    envelopes: list[bytearray] = []
    for index, field in enumerate(messages + losses):
        if not envelopes or len(envelopes[-1]) + len(field) > most_bytes:
            envelopes.append(bytearray(head))
            if index < len(messages):
                envelopes[-1] += b"\x10" + varint(first + index)
        envelopes[-1] += field
    return Parts([bytes(one) for one in envelopes], None if note is None else head + note)


def _fields(envelope: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The fields of a protobuf message: number, value where it is a varint, and the bytes as they stand."""
    at = 0
    try:
        while at < len(envelope):
            start = at
            tag, at = _varint_at(envelope, at)
            value = 0
            if tag & 7 == 0:
                value, at = _varint_at(envelope, at)
            elif tag & 7 == 2:
                length, at = _varint_at(envelope, at)
                at += length
            elif tag & 7 in (1, 5):
                at += 8 if tag & 7 == 1 else 4
            else:
                raise IndexError
            if at > len(envelope):
                raise IndexError
            yield tag >> 3, value, envelope[start:at]
    except IndexError:
        raise EnvelopeRefusedError("send an envelope by udp: its bytes are none") from None


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    """A varint and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def _host_and_port(address: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^\s:\[\]]+)):(\d{1,5})", address)
    if match is None or int(match[3]) > 65_535:
        raise ValueError(f'use udp at "{address}": expected host:port, as 127.0.0.1:7000 or [::1]:7000')
    return match[1] or match[2], int(match[3])
