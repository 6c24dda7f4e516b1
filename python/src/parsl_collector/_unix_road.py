"""The sending half of the unix radio: envelopes over a socket to whoever listens on this host, acknowledged.

Both sides write frames: u32 length of the payload (little-endian), u8 kind, payload.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct

from parsl_collector._road import EnvelopeRefusedError, RoadError

ANSWER_TIMEOUT_S = 60.0
"""Longest that an acknowledgement may take, which comes from the end of the way: a database may be locked."""

_HEAD = struct.Struct("<IB")
_ENVELOPE, _ACKNOWLEDGEMENT, _REFUSAL = 1, 2, 3


class Road:
    """Sends to the socket at `address`, a path. Not for several threads at once; a process that was forked
    off connects anew."""

    def __init__(self, address: str, key: bytes | None = None) -> None:
        self._path = os.path.abspath(address)
        self._pid = 0
        self._socket: socket.socket | None = None

    def send(self, envelope: bytes) -> None:
        """Returns when the envelope is acknowledged. Raises RoadError; EnvelopeRefusedError for what the
        other side will never take."""
        try:
            connection = self._connect()
            connection.sendall(_HEAD.pack(len(envelope), _ENVELOPE) + envelope)
            kind = 0
            while kind not in (_ACKNOWLEDGEMENT, _REFUSAL):  # a later version may say more
                length, kind = _HEAD.unpack(_receive(connection, _HEAD.size))
                payload = _receive(connection, length)
        except OSError as e:
            self.close()
            raise RoadError(f"send to socket {self._path}: {e}") from e
        if kind == _REFUSAL:
            self.close()
            raise EnvelopeRefusedError(f"send to socket {self._path}: {payload.decode(errors='replace')}")

    def close(self) -> None:
        """Ends the connection."""
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it may be broken already
                self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        if self._socket is None or self._pid != os.getpid():
            # In a child the connection is its parent's, which is not to be shut.
            self._socket = None
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(ANSWER_TIMEOUT_S)
            try:
                connection.connect(self._path)
            except OSError:
                connection.close()
                raise
            self._pid = os.getpid()
            self._socket = connection
        return self._socket


def _receive(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        some = connection.recv(count - len(parts))
        if not some:
            raise ConnectionResetError("the other side ended the connection")
        parts += some
    return bytes(parts)
