"""One connection to the collector for each process that sends: made by the first sender, reused by all.

Parsl makes a sender for every first and last message of a task, and one in each monitor process, which is a
forked child of the worker. gRPC hangs in a child of a process that uses it, so a child never touches it: it
writes into a socket that was opened before the fork, and a thread of the parent forwards.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing.util
import os
import platform
import queue
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from parsl_collector._agent import AgentError, AgentOptions, NodeAgent
from parsl_collector._agent_route import AgentRoute
from parsl_collector._channel import import_grpc, keep_forks_out_of_imports
from parsl_collector._encode import Encoded, encode, kind_name
from parsl_collector._link import FALLBACK_AFTER_S, Flow, Route
from parsl_collector._log import logger_of
from parsl_collector._losses import kind_of
from parsl_collector._outbox import GATHER_S
from parsl_collector._road import GRPC, RoadSpec
from parsl_collector._roads import as_specs
from parsl_collector._segment import DEFAULT_SPOOL_BYTES
from parsl_collector._sender import MessageSender

logger = logger_of(__name__)

MOST_QUEUED = 10_000
"""Messages that wait to be encoded; beyond them `send` waits."""

SEND_TIMEOUT_S = 0.5
"""Longest that one `send` holds up a task. After one that took so long the next ones do not wait at all until
there is room again, so that a collector that is away costs a task this once."""

CLOSE_TIMEOUT_S = 5.0
"""Longest that a process that ends waits for its last acknowledgements. Parsl kills a worker one second after
SIGTERM, where its manager still lives; that costs no more than ending sooner would have."""

SPILL_TIMEOUT_S = 0.5
"""The same after SIGTERM where there is a spool, so that there is time to write to it."""

AGENT_TIMEOUT_S = 1.0
"""Longest that the first task of a process waits to know whether there is an agent. A start takes 0.3 s, and
up to `_agent.START_TIMEOUT_S` on a cold shared filesystem: the other tasks do not wait for that."""

_MOST_DATAGRAM = 1024 * 1024
"""Bytes of one message of a forked child; the kernel may allow less."""

_connections: dict[tuple[tuple[RoadSpec, ...], str | None, AgentOptions | None], Connection] = {}
_lock = threading.Lock()


def connection_to(
    where: str | Sequence[RoadSpec],
    spool: str | None = None,
    spool_bytes: int = DEFAULT_SPOOL_BYTES,
    fallback_after: float = FALLBACK_AFTER_S,
    agent: AgentOptions | None = None,
) -> Connection:
    """This process's connection to the collector, by these ways and with the spool in that directory, and by
    the node's agent where it may be; in a forked child its parent's."""
    specs = as_specs(where)
    key = (specs, spool, agent)
    connection = _connections.get(key)
    if connection is None:
        with _lock:
            connection = _connections.get(key)
            if connection is None:
                connection = _connections[key] = Connection(specs, spool, spool_bytes, fallback_after, agent)
    return connection


class Connection:
    """Hands messages to a thread, which encodes and sends them: 2 us in the task instead of 30."""

    def __init__(
        self,
        specs: tuple[RoadSpec, ...],
        spool: str | None,
        spool_bytes: int,
        fallback_after: float,
        agent: AgentOptions | None,
    ) -> None:
        self._owner = os.getpid()
        self._specs = specs
        self._address = specs[0].address
        self._fallback_after = fallback_after
        self._spool = spool
        self._spool_bytes = spool_bytes
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._hurry = threading.Event()
        """Set when somebody waits for what is in the queue."""
        self._lost_lock = threading.RLock()  # SIGTERM may come while it is held
        self._lost: Counter[str] = Counter()
        """By kind, what is given up and not yet told. Guarded by _lost_lock."""
        self._lost_in_child: Counter[str] = Counter()
        """The same in a forked child, of its own messages."""
        self._has_lost = False
        self._was_full = False
        self._is_closed = False
        self._is_closing = False
        """Whether `close` is at work, maybe in a frame that a signal interrupted."""
        self._parent_end, self._child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._child_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_DATAGRAM)
        self._child_end.settimeout(SEND_TIMEOUT_S)
        self._marks: dict[bytes, _Mark] = {}
        keep_forks_out_of_imports()
        self._agent_options = agent
        self._has_agent = agent is not None
        """Whether messages go by the node's agent; known when _is_decided is set."""
        self._wait_for_agent = threading.Lock()
        """Taken, and never released, by the one task that waits."""
        self._sender: MessageSender | None = None
        self._is_open = threading.Event()
        self._is_decided = threading.Event()
        threading.Thread(target=self._encode_queue, name="parsl-collector-encode", daemon=True).start()
        threading.Thread(target=self._forward_children, name="parsl-collector-children", daemon=True).start()
        self._flush_at_sigterm()
        # Not atexit, which does not run where a multiprocessing child ends, as a worker is one.
        multiprocessing.util.Finalize(None, self.close, args=(CLOSE_TIMEOUT_S,), exitpriority=100)

    def send(self, message: object) -> None:
        """Takes a message of Parsl's. Never raises, and holds up the caller SEND_TIMEOUT_S at most; what
        cannot be taken then is told to the collector as lost, and logged."""
        if os.getpid() != self._owner:
            self._send_to_parent(message)
        elif self._has_room():
            self._queue.put(message)
        else:
            self._lose(message, "the collector takes none, and the buffer is full")

    def has_agent(self) -> bool:
        """Whether the node's agent takes the messages, and samples the processes that they name. While it is
        being started it is taken for there: what is said to it meanwhile, it hears then. Only the first
        caller waits for it, AGENT_TIMEOUT_S at most. If it does not come up after all, what was said until
        then is sent without it, and the tasks of that time have no samples."""
        if not self._is_decided.is_set() and self._wait_for_agent.acquire(blocking=False):
            self._is_decided.wait(AGENT_TIMEOUT_S)
        return self._has_agent

    def flush(self, timeout: float) -> bool:
        """Waits until all that was sent, by forked children too, is acknowledged; returns whether it is."""
        deadline = time.monotonic() + timeout
        sender = self._await_queue(timeout)
        return sender is not None and sender.flush(_left_s(deadline))

    def close(self, timeout: float) -> bool:
        """Flushes and ends the connection with the closing note. Nothing in a forked child, whose parent's
        connection it is."""
        if os.getpid() != self._owner or self._is_closed:
            return True
        self._is_closing = self._is_closed = True
        try:
            return self._close(timeout)
        finally:
            self._is_closing = False

    def _close(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        # Not left to its thread, which has to be woken for it: a busy machine may take long to do so.
        self._encode_waiting(deadline)
        self._await_queue(_left_s(deadline))
        if self._sender is None:
            return False
        complete = self._sender.close(_left_s(deadline))
        counts = self._sender.counts
        if not complete or counts.lost:
            logger.warning(
                "monitoring: of %d messages of this process the collector at %s acknowledged %d%s",
                counts.given,
                self._address,
                counts.acknowledged,
                f"; {counts.spooled} are kept in {self._spool}" if counts.spooled else "",
            )
        return complete

    def _await_queue(self, timeout: float) -> MessageSender | None:
        """The sender, when it has all that was sent, by forked children too; None when that takes longer."""
        mark = _Mark(os.urandom(16))
        self._marks[mark.name] = mark
        # Datagrams come in the order in which they were sent, whoever sent them, so this one is behind all
        # that children have handed over. The forwarder passes it on to the queue.
        try:
            self._child_end.send(_MARK + mark.name)
        except OSError:
            return None
        return self._sender if mark.passed.wait(timeout) else None

    def _has_room(self) -> bool:
        if self._queue.qsize() < MOST_QUEUED:
            self._was_full = False
            return True
        self._hurry.set()
        if not self._was_full:
            deadline = time.monotonic() + SEND_TIMEOUT_S
            while time.monotonic() < deadline:
                time.sleep(0.01)
                if self._queue.qsize() < MOST_QUEUED:
                    return True
            self._was_full = True
        return False

    def _send_to_parent(self, message: object) -> None:
        for run_id, data in encode(message):
            head = run_id.encode()[:255]
            try:
                self._tell_parent_of_lost()
                self._child_end.send(_MESSAGE + bytes([len(head)]) + head + data)
            except OSError as e:  # the parent is gone, or takes nothing, or the message is too large
                logger.warning("monitoring: a message of a forked child (%d bytes) is lost: %s", len(data), e)
                self._lost_in_child[kind_of(data)] += 1
                if e.errno == errno.EMSGSIZE:
                    with contextlib.suppress(OSError):
                        self._tell_parent_of_lost()

    def _tell_parent_of_lost(self) -> None:
        for kind in list(self._lost_in_child.elements()):
            self._child_end.send(_LOST + kind.encode())
            self._lost_in_child[kind] -= 1

    def _lose(self, message: object, reason: str) -> None:
        with self._lost_lock:
            is_first = not self._lost
            self._lost[kind_name(message)] += 1
            if is_first:
                self._queue.put(_Lost())  # behind those that wait
        if not self._has_lost:
            self._has_lost = True
            logger.warning("monitoring: a message to the collector at %s is lost: %s", self._address, reason)

    def _tell_lost(self, sender: MessageSender) -> None:
        with self._lost_lock:
            lost, self._lost = self._lost, Counter()
        for kind, count in lost.items():
            sender.add_lost(kind, count)

    def _encode_queue(self) -> None:
        agent = self._open_agent()
        self._has_agent = agent is not None
        self._is_decided.set()
        try:
            if agent is None and any(spec.radio == GRPC for spec in self._specs):
                import_grpc()
        except ImportError as e:
            self._has_lost = True
            logger.warning(
                "monitoring: this worker's messages are lost: its Python cannot import gRPC (%s); "
                "`pip install parsl-collector` there",
                e,
            )
            return
        sender = self._sender = MessageSender(
            self._specs,
            hostname=platform.node(),
            spool=self._spool,
            spool_bytes=self._spool_bytes,
            fallback_after=self._fallback_after,
            agent=agent,
        )
        self._is_open.set()
        while True:
            self._take(sender, self._queue.get())
            self._encode_waiting()
            # To be woken for each message would cost the task's process ten times as much as the message.
            self._hurry.wait(GATHER_S)
            self._hurry.clear()

    def _encode_waiting(self, deadline: float | None = None) -> None:
        """Gives the sender what is in the queue now, from any thread: two at once change the order a little,
        on which no row depends. Where the sender has no room it waits until `deadline` (monotonic; None: as
        long as it takes)."""
        if self._sender is None:
            return
        with contextlib.suppress(queue.Empty):
            while deadline is None or time.monotonic() < deadline:
                self._take(self._sender, self._queue.get_nowait(), deadline)

    def _take(self, sender: MessageSender, message: object, deadline: float | None = None) -> None:
        if isinstance(message, _Mark):
            message.passed.set()
        elif isinstance(message, _Lost):
            self._tell_lost(sender)
        else:
            for encoded in encode(message):
                sender.add(encoded, None if deadline is None else _left_s(deadline))

    def _open_agent(self) -> Callable[[Flow], Route] | None:
        """The route by the node's agent, which is started where it does not run; None where it cannot be."""
        if self._agent_options is None:
            return None
        agent = NodeAgent(self._specs, self._agent_options)
        try:
            connection = agent.reach()
        except AgentError as e:
            logger.warning(
                "monitoring: this process sends to %s itself, and Parsl's monitor samples its tasks, because "
                "there is no agent on its node: %s",
                self._address,
                e,
            )
            return None
        return lambda flow: AgentRoute(agent, connection, flow)

    def _forward_children(self) -> None:
        self._is_open.wait()
        assert self._sender is not None
        while True:
            datagram = self._parent_end.recv(_MOST_DATAGRAM)
            if datagram.startswith(_MARK):
                self._queue.put(self._marks.pop(datagram[1:]))
                self._hurry.set()
                continue
            if datagram.startswith(_LOST):
                self._sender.add_lost(datagram[1:].decode())
                continue
            # Behind what this process said before: where a sample of a task is known, its start is too, also
            # when the worker is killed then.
            self._encode_waiting()
            start = 2 + datagram[1]
            self._sender.add(Encoded(datagram[2:start].decode(), datagram[start:]))

    def _flush_at_sigterm(self) -> None:
        """Parsl ends its workers with SIGTERM. A program's own handler is left alone."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return

        def on_sigterm(signum: int, frame: object) -> None:
            if self._is_closing:
                return  # that goes on behind this: a worker may be told twice, by its manager and its block
            self.close(CLOSE_TIMEOUT_S if self._spool is None else SPILL_TIMEOUT_S)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGTERM, on_sigterm)
        _keep_handler_out_of_forks(on_sigterm)


class _Mark:
    """Goes through the queue behind all messages before it."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.passed = threading.Event()


class _Lost:
    """Goes through the queue behind all messages before those that were given up."""


_MARK = b"F"
_MESSAGE = b"M"
_LOST = b"L"


def _left_s(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _keep_handler_out_of_forks(on_sigterm: Any) -> None:
    """Python forgets the signals that come to a child before it is set up, where there is a handler of
    Python's: one that is terminated right after its fork, as the monitor of a short task may be, would live
    on. So they wait until the child has the system's handler."""
    forking = threading.local()

    def block() -> None:
        forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.mask)

    def set_default() -> None:
        if signal.getsignal(signal.SIGTERM) is on_sigterm:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=set_default)
