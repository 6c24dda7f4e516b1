"""Client: sends messages to a collector from any Python program, without Parsl."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, NoReturn

from parsl_collector._channel import keep_forks_out_of_imports
from parsl_collector._encode import MOST_BYTES, Encoded, length_delimited
from parsl_collector._log import logger_of
from parsl_collector._pb import envelope_pb2
from parsl_collector._road import GRPC, RoadSpec
from parsl_collector._security import Security
from parsl_collector._segment import DEFAULT_SPOOL_BYTES
from parsl_collector._sender import DEFAULT_BUFFER_BYTES, Counts, MessageSender
from parsl_collector.messages import (
    BlockInfo,
    MonitoringMessage,
    NodeInfo,
    NodeUsage,
    ResourceInfo,
    TaskInfo,
    WorkerTaskInfo,
    WorkflowInfo,
)

logger = logger_of(__name__)

DEFAULT_CLOSE_TIMEOUT_S = 60.0

HEARTBEAT_S = 30.0
"""Silence after which a client lets itself be heard of: a run of which nothing is heard for 90 s counts as
lost."""

_MOST_NAME = 256
"""Characters of a run's or a host's name; the collector refuses envelopes with longer ones."""

Message = (
    MonitoringMessage
    | WorkflowInfo
    | TaskInfo
    | NodeInfo
    | BlockInfo
    | ResourceInfo
    | WorkerTaskInfo
    | NodeUsage
)
"""What a Client sends."""


class Rejection(NamedTuple):
    """A message that no table takes. The collector keeps it in collector_rejected; it is acknowledged."""

    sequence: int
    """What `send` returned for it."""
    reason: str


class DeliveryError(Exception):
    """Messages are not stored; the text says how many and why, and what to do."""


class DeliveryTimeoutError(DeliveryError, TimeoutError):
    """They are not stored yet."""


class Client:
    """Sends messages to the collector at `address`, in the background, and again after every broken
    connection, until each is on its disk, exactly once.

        with Client("head:7000", run_id="run-1") as client:
            client.send(ResourceInfo(task_id=0, try_id=0, timestamp=Timestamp(seconds=1767225600)))

    Connects in the background, and at once returns. Safe to use from several threads; a forked child makes a
    client of its own. Messages that had to be given up, as when the spool is full, are counted as lost in
    `counts`, and told to the collector.

    Parameters
    ----------
    address : str
        "host:port".
    run_id : str
        The run of all messages that name none.
    hostname : str, optional
        The host of all messages that name none. Default: this one's name.
    security : Security, optional
        How to make sure of the collector, and the token that it wants. Default: no TLS and no token.
    spool : str or PathLike, optional
        A directory for messages that the collector does not take: they outlive this process, and are sent by
        the next client with it on this host, or by `parsl-collector spool`. Made when it is needed. Default:
        none, and messages wait in memory.
    buffer_bytes : int
        Most that waits in memory; at the bound `send` waits where there is no spool. Default: 32 MiB.
    spool_bytes : int
        Most that is kept in the spool; then the oldest samples are given up, and told to the collector as
        lost. Default: 1 GiB.
    on_rejected : callable, optional
        Called with a Rejection, in a thread of the client, before a `flush` that waits for it returns; after
        a broken connection maybe again for the same message. Default: the reasons are logged.
    """

    def __init__(
        self,
        address: str,
        *,
        run_id: str,
        hostname: str | None = None,
        security: Security | None = None,
        spool: str | os.PathLike[str] | None = None,
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        spool_bytes: int = DEFAULT_SPOOL_BYTES,
        on_rejected: Callable[[Rejection], object] | None = None,
    ) -> None:
        host = platform.node() if hostname is None else hostname
        for name, value in (("run_id", run_id), ("hostname", host)):
            if len(value) > _MOST_NAME:
                raise ValueError(
                    f"make a Client: {name} has {len(value)} characters; it may have {_MOST_NAME} at most"
                )
        self._address = address
        self._run_id = run_id
        self._spool = None if spool is None else os.fspath(spool)
        self._on_rejected = on_rejected
        self._process = os.getpid()
        self._is_closed = False
        keep_forks_out_of_imports()
        self._sender = MessageSender(
            [RoadSpec(GRPC, address, security=security)],
            hostname=host,
            buffer_bytes=buffer_bytes,
            heartbeat=HEARTBEAT_S,
            spool=self._spool,
            spool_bytes=spool_bytes,
            on_acknowledgement=None if on_rejected is None else self._tell_rejected,
            ends_when_shut_out=True,
        )

    @property
    def counts(self) -> Counts:
        """What became of the messages so far."""
        return self._sender.counts

    def send(self, message: Message, timeout: float | None = None) -> int:
        """Takes a message, and returns its sequence: 1 for the first. Returns at once while there is room for
        it, and else waits, `timeout` seconds at most (None: as long as it takes).

        Raises DeliveryTimeoutError, DeliveryError where waiting does not help (the client is closed, or the
        collector does not want it), ValueError for a message above 32 MiB, and TypeError for what is none.
        """
        data = _encoded(message)
        act = f"send a {type(message).__name__}"
        if len(data) > MOST_BYTES:
            raise ValueError(f"{act} of {len(data)} bytes: the most is {MOST_BYTES}; cut its texts")
        self._check_process(act)
        sequence = self._sender.add(Encoded(self._run_id, data), timeout)
        if sequence == 0:
            self._fail(act, timeout)
        return sequence

    def flush(self, timeout: float | None = None) -> None:
        """Returns when all that was sent is on the collector's disk. Raises DeliveryTimeoutError when that
        takes longer than `timeout` seconds (None: as long as it takes), and DeliveryError where waiting does
        not help."""
        self._check_process("flush")
        if not self._sender.flush(timeout):
            self._fail("flush", timeout)

    def close(self, timeout: float | None = DEFAULT_CLOSE_TIMEOUT_S) -> None:
        """Flushes, tells the collector that this was all, and ends the client. Raises as `flush` does when
        messages are left; those are in the spool, or given up where there is none. A second call does
        nothing."""
        if os.getpid() != self._process or self._is_closed:
            return
        self._is_closed = True
        has_sent = self._sender.counts.given > 0
        # One that never sent has nothing to tell, and nothing to wait for.
        if not self._sender.close(timeout if has_sent else 0) and has_sent:
            self._fail("close", timeout)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _fail(self, act: str, timeout: float | None) -> NoReturn:
        """Raises what explains why that did not come to its end."""
        if self._is_closed and act != "close":
            raise DeliveryError(f"{act}: the client is closed; make a new one")
        counts, shut_out = self.counts, self._sender.shut_out
        left = counts.given - counts.acknowledged - counts.lost
        what = f"{left} of {counts.given} messages are" if left else "the closing note is"
        state = f"{act}: {what} not stored by the collector at {self._address}"
        if counts.spooled:
            state += f", {counts.spooled} of them are kept in {self._spool}"
        if shut_out is not None:
            raise DeliveryError(f"{state}: it takes none ({shut_out}); {_cure_of(shut_out)}")
        reason = self._sender.trouble or "it has not acknowledged them yet"
        raise DeliveryTimeoutError(f"{state} within {timeout} s ({reason}); see to it, or give it more time")

    def _check_process(self, act: str) -> None:
        if os.getpid() != self._process:
            raise DeliveryError(f"{act}: this client is of the parent process; make one in the child")

    def _tell_rejected(self, acknowledgement: envelope_pb2.Acknowledgement) -> None:
        assert self._on_rejected is not None
        for rejection in acknowledgement.rejections:
            try:
                self._on_rejected(Rejection(rejection.sequence, rejection.reason))
            except Exception:
                logger.exception("monitoring: on_rejected of the client to %s failed", self._address)


def _encoded(message: Message) -> bytes:
    if isinstance(message, MonitoringMessage):
        return message.SerializeToString()
    number = _NUMBERS.get(type(message))
    if number is None:
        raise TypeError(
            f"send a {type(message).__name__}: it is no message of parsl_collector.messages that stands alone"
        )
    return length_delimited(number, message.SerializeToString())


_NUMBERS: dict[type, int] = {
    kind: next(
        field.number for field in MonitoringMessage.DESCRIPTOR.fields if field.message_type is kind.DESCRIPTOR
    )
    for kind in (WorkflowInfo, TaskInfo, NodeInfo, BlockInfo, ResourceInfo, WorkerTaskInfo, NodeUsage)
}
"""Of the field of a MonitoringMessage that has this kind."""


def _cure_of(shut_out: str) -> str:
    if shut_out.startswith(("UNAUTHENTICATED", "PERMISSION_DENIED")):
        return "give the client a token that may write this run, by security=Security(token=...)"
    return "make sure that a collector listens at this address"
