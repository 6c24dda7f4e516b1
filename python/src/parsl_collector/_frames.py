"""The frames of a socket to an agent: u32 length of the payload (little-endian), u8 kind, payload."""

from __future__ import annotations

import socket
import struct

HEAD = struct.Struct("<IB")
ENVELOPE, ACKNOWLEDGEMENT, REFUSAL = 1, 2, 3


def receive_frame(connection: socket.socket) -> tuple[int, bytes]:
    """The next frame's kind and payload. Raises OSError when the other side ends the connection."""
    length, kind = HEAD.unpack(_receive(connection, HEAD.size))
    return kind, _receive(connection, length)


def _receive(connection: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        some = connection.recv(count - len(parts))
        if not some:
            raise ConnectionResetError("the other side ended the connection")
        parts += some
    return bytes(parts)
