"""One connection to the collector for each process that sends: made by the first sender, reused by all.

Parsl makes a sender for every first and last message of a task, and one in each monitor process, which is a
forked child of the worker. gRPC hangs in a child of a process that uses it, so a child never touches it: it
writes into a socket that was opened before the fork, and a thread of the parent forwards.
"""

from __future__ import annotations

import logging
import multiprocessing.util
import os
import platform
import queue
import signal
import socket
import threading
import time
from typing import Any

from parsl_collector._encode import Encoded, encode
from parsl_collector._sender import MessageSender

logger = logging.getLogger(__name__)

MOST_QUEUED = 10_000
"""Messages that wait to be encoded; beyond them `send` waits."""

SEND_TIMEOUT_S = 0.5
"""Longest that one `send` holds up a task. After one that took so long the next ones do not wait at all until
there is room again, so that a collector that is away costs a task this once."""

CLOSE_TIMEOUT_S = 5.0
"""Longest that a process that ends waits for its last acknowledgements."""

SIGTERM_TIMEOUT_S = 0.8
"""The same after SIGTERM: Parsl kills a worker one second later."""

_CHILD_TIMEOUT_S = 2.0
"""Longest that a forked child waits for its parent to take a message."""

_SOCKET_BUFFER_BYTES = 1024 * 1024

_connections: dict[str, Connection] = {}
_lock = threading.Lock()


def connection_to(address: str) -> Connection:
    """This process's connection to the collector at `address`; in a forked child its parent's."""
    connection = _connections.get(address)
    if connection is None:
        with _lock:
            connection = _connections.get(address)
            if connection is None:
                connection = _connections[address] = Connection(address)
    return connection


def close_connection(address: str) -> None:
    """Closes this process's connection to `address`, if it has one of its own."""
    connection = _connections.get(address)
    if connection is not None and connection.is_own:
        connection.close(CLOSE_TIMEOUT_S)
        _connections.pop(address, None)


class Connection:
    """Hands messages to a thread, which encodes and sends them."""

    def __init__(self, address: str) -> None:
        self._owner = os.getpid()
        self._address = address
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._marks: list[_Mark] = []
        self._lost = 0
        self._is_full = False
        self._closed = threading.Event()
        self._parent_end, self._child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for end in (self._parent_end, self._child_end):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
        self._sender = MessageSender(address, hostname=platform.node())
        threading.Thread(target=self._encode_queue, name="parsl-collector-encode", daemon=True).start()
        threading.Thread(target=self._forward_children, name="parsl-collector-children", daemon=True).start()
        self._flush_at_sigterm()
        # Also runs where a multiprocessing child ends, which atexit does not.
        multiprocessing.util.Finalize(None, self.close, args=(CLOSE_TIMEOUT_S,), exitpriority=100)

    @property
    def is_own(self) -> bool:
        """False in a forked child, where the connection is its parent's."""
        return os.getpid() == self._owner

    def send(self, message: object) -> None:
        """Takes a message of Parsl's. Never raises, and holds up the caller SEND_TIMEOUT_S at most; what
        cannot be taken then is counted as lost and logged."""
        if not self.is_own:
            self._send_to_parent(message)
        elif self._has_room():
            self._queue.put(message)
        else:
            self._lose("its buffer is full, and the collector takes nothing")

    def flush(self, timeout: float) -> bool:
        """Waits until all that was sent, by forked children too, is acknowledged; returns whether it is."""
        deadline = time.monotonic() + timeout
        mark = _Mark()
        # Datagrams come in the order in which they were sent, whoever sent them, so this one is behind all
        # that a child has handed over. The forwarder passes it on to the queue.
        self._marks.append(mark)
        self._child_end.send(_MARK)
        if not mark.passed.wait(timeout):
            return False
        return self._sender.flush(max(0.0, deadline - time.monotonic()))

    def close(self, timeout: float) -> bool:
        """Flushes and ends the connection with the closing note."""
        if not self.is_own or self._closed.is_set():
            return True
        self._closed.set()
        deadline = time.monotonic() + timeout
        self.flush(timeout)
        complete = self._sender.close(max(0.1, deadline - time.monotonic()))
        if not complete or self._lost:
            counts = self._sender.counts
            logger.warning(
                "monitoring: %d of %d messages of this process were stored",
                counts.acknowledged - counts.rejected,
                counts.added + self._lost,
            )
        return complete

    def _has_room(self) -> bool:
        if self._queue.qsize() < MOST_QUEUED:
            self._is_full = False
            return True
        deadline = time.monotonic() + (0 if self._is_full else SEND_TIMEOUT_S)
        while time.monotonic() < deadline:
            time.sleep(0.01)
            if self._queue.qsize() < MOST_QUEUED:
                return True
        self._is_full = True
        return False

    def _send_to_parent(self, message: object) -> None:
        try:
            for run_id, data in encode(message):
                head = run_id.encode()[:255]
                self._child_end.settimeout(_CHILD_TIMEOUT_S)
                self._child_end.send(_MESSAGE + bytes([len(head)]) + head + data)
        except (
            OSError
        ) as e:  # the parent is gone, or takes nothing, or the message is too large for its socket
            self._lose(f"its process takes no message of a forked child: {e}")

    def _lose(self, reason: str) -> None:
        self._lost += 1
        if self._lost == 1:
            logger.warning("monitoring: a message to the collector at %s is lost: %s", self._address, reason)

    def _encode_queue(self) -> None:
        while True:
            message = self._queue.get()
            if isinstance(message, _Mark):
                message.passed.set()
                continue
            for encoded in encode(message):
                self._sender.add(encoded)

    def _forward_children(self) -> None:
        while True:
            datagram = self._parent_end.recv(2 * _SOCKET_BUFFER_BYTES)
            if datagram == _MARK:
                self._queue.put(self._marks.pop(0))
                continue
            data = 2 + datagram[1]
            self._sender.add(Encoded(datagram[2:data].decode(), datagram[data:]))

    def _flush_at_sigterm(self) -> None:
        """Parsl ends its workers with SIGTERM. A program's own handler is left alone."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return

        def on_sigterm(signum: int, frame: object) -> None:
            self.close(SIGTERM_TIMEOUT_S)  # nothing in a forked child
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGTERM, on_sigterm)


class _Mark:
    """Goes through the queue behind all messages before it."""

    def __init__(self) -> None:
        self.passed = threading.Event()


_MARK = b"F"
_MESSAGE = b"M"
