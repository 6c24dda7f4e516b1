"""The sending half of the unix radio: envelopes over a socket to whoever listens there, acknowledged."""

from __future__ import annotations

import contextlib
import os
import socket

from parsl_collector._frames import ACKNOWLEDGEMENT, ENVELOPE, HEAD, REFUSAL, receive_frame
from parsl_collector._road import EnvelopeRefusedError, RoadError

ANSWER_TIMEOUT_S = 60.0
"""Longest that an acknowledgement may take, which comes from the end of the way: a database may be locked."""


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
            connection.sendall(HEAD.pack(len(envelope), ENVELOPE) + envelope)
            kind = 0
            while kind not in (ACKNOWLEDGEMENT, REFUSAL):  # a later version may say more
                kind, payload = receive_frame(connection)
        except OSError as e:
            self.close()
            raise RoadError(f"send to socket {self._path}: {e}") from e
        if kind == REFUSAL:
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
