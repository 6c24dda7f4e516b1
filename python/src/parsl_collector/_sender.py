"""The reliable sender: keeps each message until the collector has acknowledged it.

Messages are numbered 1, 2, 3, ..., travel in envelopes, and are sent again with the same numbers after every
broken connection; the collector stores each number once. docs/WIRE.md has the rules.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from parsl_collector._channel import STREAM_MESSAGES, import_grpc, open_channel
from parsl_collector._encode import Encoded, length_delimited
from parsl_collector._log import logger_of
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._pb import envelope_pb2 as pb

logger = logger_of(__name__)

MOST_IN_FLIGHT = 8
"""Envelopes that wait for their acknowledgement at once. More would only wait in the collector."""
MOST_MESSAGES = 500
MOST_ENVELOPE_BYTES = 256 * 1024
GATHER_S = 0.02
"""Least time between two envelopes, unless one is full. A message after a silence goes at once. gRPC in
Python takes about 1 ms of CPU an envelope: with a message each 3 ms, as busy workers have them, 30 ms between
envelopes took 0.3 ms of CPU a message instead of 0.75."""
DEFAULT_BUFFER_BYTES = 32 * 1024 * 1024
"""Bytes of messages that are kept until they are acknowledged; at the bound `add` waits."""

CONNECT_TIMEOUT_S = 10.0
"""Longest that one attempt to connect may take: a peer that accepts and never speaks must not hold us."""
FIRST_BACKOFF_S = 0.05
MOST_BACKOFF_S = 5.0

_MOST_REASONS = 20
"""Different reasons of rejections that are logged; the collector's table has them all."""


class Counts(NamedTuple):
    """What became of a sender's messages so far."""

    given: int
    """Messages that have a number, lost ones included."""
    acknowledged: int
    """Those on the collector's disk, rejected ones included."""
    rejected: int
    lost: int
    """Those that were never sent, or that the collector refused to take."""


class MessageSender:
    """One numbered sequence of messages to the collector at `address`. Safe to use from several threads; not
    across a fork.

    `hostname` is said for all messages that name none, so it is for a sender whose messages are of its own
    host; one that relays those of others says none. After `heartbeat` seconds of silence (None: never) it
    lets itself be heard of all the same: a run of which nothing is heard for 90 s is taken for lost.
    """

    def __init__(
        self,
        address: str,
        *,
        hostname: str = "",
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        heartbeat: float | None = None,
    ) -> None:
        self.address = address
        self._heartbeat = heartbeat
        self.sender_id = secrets.token_hex(16)
        self._hostname = hostname
        self._buffer_bytes = buffer_bytes
        self._changed = threading.Condition()
        # All below is guarded by _changed.
        self._waiting: deque[Encoded | _Lost] = deque()
        self._waiting_bytes = 0
        self._in_flight: deque[_Envelope] = deque()
        self._most_in_flight = MOST_IN_FLIGHT
        self._buffered_bytes = 0
        self._next_sequence = 1
        self._given = 0
        self._acknowledged = 0
        self._rejected = 0
        self._lost = 0
        self._reasons: set[str] = set()
        """Of rejections, those that were logged."""
        self._run_id = ""
        self._sent_at = 0.0
        self._flushing = 0
        self._closing = False
        self._closed = False
        self._stopped = False
        self._stream = 0
        """Number of the present stream; a request iterator of an earlier one ends."""
        self._call: Any = None
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name="parsl-collector-sender", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Counts:
        with self._changed:
            return Counts(self._given, self._acknowledged, self._rejected, self._lost)

    @property
    def run_id(self) -> str:
        """The run of the last message that named one."""
        return self._run_id

    @property
    def trouble(self) -> str | None:
        """Why messages are not getting through now; None while they are."""
        return self._trouble

    @property
    def is_done(self) -> bool:
        """Whether all that was given so far is acknowledged or lost."""
        with self._changed:
            return self._is_done()

    def add(self, message: Encoded, timeout: float | None = None) -> bool:
        """Takes a message. Waits while the buffer is full, `timeout` seconds at most (None: as long as it
        takes). Returns whether the message was taken; after `close` none is."""
        size = len(message.data)
        with self._changed:
            if self._buffered_bytes + size > self._buffer_bytes and self._buffered_bytes > 0:
                self._changed.wait_for(
                    lambda: (
                        self._stopped
                        or self._closing
                        or self._buffered_bytes == 0
                        or self._buffered_bytes + size <= self._buffer_bytes
                    ),
                    timeout,
                )
                if self._buffered_bytes + size > self._buffer_bytes and self._buffered_bytes > 0:
                    return False
            if self._stopped or self._closing:
                return False
            self._given += 1
            self._waiting.append(message)
            self._waiting_bytes += size
            self._buffered_bytes += size
            if message.run_id:
                self._run_id = message.run_id
            # While something is in flight its acknowledgement wakes the stream, unless an envelope is full;
            # and one that gathers knows when to go.
            if (not self._in_flight and len(self._waiting) == 1) or self._is_full():
                self._changed.notify_all()
            return True

    def add_lost(self, count: int = 1) -> None:
        """Numbers messages that will never be sent, so that the collector knows of them as missing."""
        with self._changed:
            self._given += count
            self._lost += count
            if self._waiting and isinstance(self._waiting[-1], _Lost):
                self._waiting[-1] = _Lost(self._waiting[-1].count + count)
            else:
                self._waiting.append(_Lost(count))
                self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that was taken is acknowledged, `timeout` seconds at most; returns whether so."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or self._is_done(), timeout)
            self._flushing -= 1
            return self._is_done()

    def close(self, timeout: float | None = None) -> bool:
        """Flushes, sends the closing note, and ends. Returns whether all is acknowledged; what is not after
        `timeout` seconds is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or self._closed, timeout)
            complete = self._closed
            self._stopped = True
            self._changed.notify_all()
            call = self._call
        if call is not None:
            call.cancel()
        self._thread.join(1.0)
        return complete

    def _is_done(self) -> bool:
        return not self._waiting and not self._in_flight

    def _is_full(self) -> bool:
        return len(self._waiting) >= MOST_MESSAGES or self._waiting_bytes >= MOST_ENVELOPE_BYTES

    def _run(self) -> None:
        grpc = import_grpc()
        failures = 0
        while True:
            acknowledged = self._acknowledged
            reason = self._stream_once(grpc)
            if self._stopped or self._closed:
                return
            failures = 0 if self._acknowledged > acknowledged else failures + 1
            self._tell_trouble(reason)
            backoff = min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, backoff)
            if self._stopped:
                return

    def _stream_once(self, grpc: Any) -> str:
        """One connection, until it breaks or all is done. Returns why it ended."""
        channel = open_channel(self.address)
        try:
            if not _is_ready(grpc, channel, lambda: self._stopped):
                return "no connection"
            # No serializers: requests are bytes already, made once and resent as they are.
            stream = channel.stream_stream(STREAM_MESSAGES)
            with self._changed:
                self._stream += 1
                requests = self._requests(self._stream, list(self._in_flight))
                if self._stopped:
                    return "closed"
                self._call = stream(requests)
            for response in self._call:
                for acknowledgement in service_pb.StreamMessagesResponse.FromString(
                    response
                ).acknowledgements:
                    self._acknowledge(acknowledgement)
            return "the collector ended the stream"
        except grpc.RpcError as e:
            if e.code() == grpc.StatusCode.INVALID_ARGUMENT:
                self._give_up_refused(e.details())
            return f"{e.code().name}: {e.details()}"
        except Exception as e:
            # A peer that is no collector may answer anything; the next attempt may find one.
            logger.exception("monitoring: an answer from %s makes no sense", self.address)
            return f"{type(e).__name__}: {e}"
        finally:
            with self._changed:
                self._stream += 1  # ends the request iterator, which runs in a thread of gRPC
                self._call = None
                self._changed.notify_all()
            channel.close()

    def _requests(self, stream: int, resend: list[_Envelope]) -> Iterator[bytes]:
        for position, envelope in enumerate(resend):
            with self._changed:
                # Alone, so that a refusal tells which it was.
                self._changed.wait_for(
                    lambda position=position: (
                        self._stream != stream
                        or len(resend) - position > len(self._in_flight) - self._most_in_flight
                    )
                )
                if self._stream != stream:
                    return
            yield envelope.request
        while True:
            with self._changed:
                request = None
                while request is None:
                    if self._stream != stream or self._stopped or self._closed:
                        return
                    request = self._next_request()
                    if request is None:
                        self._changed.wait(self._pause_s())
            yield request

    def _next_request(self) -> bytes | None:
        """Sends at once when nothing is in flight and nothing was sent just now; else gathers until an
        acknowledgement comes, or GATHER_S are over, or an envelope is full."""
        if len(self._in_flight) >= self._most_in_flight:
            return None
        self._number_lost()
        if self._waiting:
            if self._is_full() or self._closing or (not self._in_flight and not self._gathering_s()):
                return self._next_envelope().request
            return None
        if self._closing and not self._in_flight:
            return self._closing_envelope().request
        if self._silence_left_s() == 0:
            return self._heartbeat_envelope().request
        return None

    def _pause_s(self) -> float | None:
        """Seconds until something is to be sent; None when an event decides that."""
        silence = self._silence_left_s()
        return self._gathering_s() if silence is None else silence

    def _silence_left_s(self) -> float | None:
        """Seconds until the next heartbeat, 0 when it is time; None while there is something to send, or
        nothing was ever sent."""
        if self._heartbeat is None or self._waiting or self._in_flight or not self._sent_at:
            return None
        return max(0.0, self._sent_at + self._heartbeat - time.monotonic())

    def _gathering_s(self) -> float | None:
        """Seconds until what waits is to be sent; None when an event decides that, or when it is now."""
        if self._flushing or self._in_flight or not self._waiting:
            return None
        left = self._sent_at + GATHER_S - time.monotonic()
        return left if left > 0 else None

    def _number_lost(self) -> None:
        while self._waiting and isinstance(self._waiting[0], _Lost):
            self._next_sequence += self._waiting.popleft().count

    def _next_envelope(self) -> _Envelope:
        """As many waiting messages of one run as an envelope may have, one at least."""
        run_id = ""
        parts: list[bytes] = []
        size = 0
        while self._waiting and len(parts) < MOST_MESSAGES:
            message = self._waiting[0]
            if isinstance(message, _Lost):
                break
            if parts and (
                size + len(message.data) > MOST_ENVELOPE_BYTES
                or message.run_id not in ("", run_id or message.run_id)
            ):
                break
            run_id = run_id or message.run_id
            parts.append(length_delimited(_MESSAGES, message.data))
            size += len(message.data)
            self._waiting.popleft()
        self._waiting_bytes -= size
        head = self._head(run_id)
        head.first_sequence = self._next_sequence
        self._next_sequence += len(parts)
        self._sent_at = time.monotonic()
        return self._put_in_flight(head.SerializeToString() + b"".join(parts), len(parts), size)

    def _closing_envelope(self) -> _Envelope:
        note = self._head("")
        note.closing_note.last_sequence = self._next_sequence - 1
        return self._put_in_flight(note.SerializeToString(), 0, 0, is_last=True)

    def _heartbeat_envelope(self) -> _Envelope:
        self._sent_at = time.monotonic()
        return self._put_in_flight(self._head("").SerializeToString(), 0, 0)

    def _head(self, run_id: str) -> pb.Envelope:
        return pb.Envelope(
            sender_id=self.sender_id,
            run_id=run_id or self._run_id,
            hostname=self._hostname,
            utc_offset_seconds=time.localtime().tm_gmtoff,
        )

    def _put_in_flight(self, envelope: bytes, count: int, size: int, is_last: bool = False) -> _Envelope:
        flying = _Envelope(length_delimited(_ENVELOPE, envelope), count, size, is_last)
        self._in_flight.append(flying)
        return flying

    def _acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        with self._changed:
            # In the order of the envelopes, as the protocol promises.
            envelope = self._in_flight.popleft()
            self._acknowledged += envelope.count
            self._buffered_bytes -= envelope.size
            self._most_in_flight = MOST_IN_FLIGHT
            if envelope.is_last:
                self._closed = True
            self._rejected += len(acknowledgement.rejections)
            trouble, self._trouble = self._trouble, None
            self._changed.notify_all()
        if trouble is not None:
            logger.warning("monitoring: the collector at %s takes messages again", self.address)
        for rejection in acknowledgement.rejections:
            if rejection.reason not in self._reasons and len(self._reasons) < _MOST_REASONS:
                self._reasons.add(rejection.reason)
                logger.warning("monitoring: the collector keeps a message as rejected: %s", rejection.reason)

    def _give_up_refused(self, details: str) -> None:
        """The collector says that it will never take an envelope: sending that again would block all others
        for ever. Which one it was is known when only one was in flight, so the next attempt sends them one by
        one."""
        with self._changed:
            if self._most_in_flight > 1 and len(self._in_flight) > 1:
                self._most_in_flight = 1
                return
            if not self._in_flight:
                return
            envelope = self._in_flight.popleft()
            self._buffered_bytes -= envelope.size
            self._lost += envelope.count
            if envelope.is_last:
                self._closed = True
            self._changed.notify_all()
        logger.error("monitoring: %d messages lost: the collector refuses them: %s", envelope.count, details)

    def _tell_trouble(self, reason: str) -> None:
        with self._changed:
            is_new = self._trouble is None and not self._is_done()
            if is_new or self._trouble is not None:
                self._trouble = reason
        if is_new:
            logger.warning(
                "monitoring: the collector at %s takes no messages (%s); they are kept and sent when it does",
                self.address,
                reason,
            )


class _Envelope(NamedTuple):
    """What is sent and not yet acknowledged."""

    request: bytes
    count: int
    """Messages in it; 0 for a heartbeat and the closing note."""
    size: int
    """Bytes that its messages take in the buffer."""
    is_last: bool
    """Whether it is the closing note."""


class _Lost(NamedTuple):
    """Stands in the line for messages that are numbered and never sent."""

    count: int


_MESSAGES = pb.Envelope.DESCRIPTOR.fields_by_name["messages"].number
_ENVELOPE = service_pb.StreamMessagesRequest.DESCRIPTOR.fields_by_name["envelope"].number


def _is_ready(grpc: Any, channel: Any, is_stopped: Any) -> bool:
    """Whether the channel connects. One attempt: gRPC itself would go on in its own time."""
    states: list[Any] = []
    state_known = threading.Event()

    def on_state(state: Any) -> None:
        if state in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
            states.append(state)
            state_known.set()

    channel.subscribe(on_state, try_to_connect=True)
    try:
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while not state_known.wait(0.2):
            if is_stopped() or time.monotonic() > deadline:
                return False
        return states[0] is grpc.ChannelConnectivity.READY
    finally:
        channel.unsubscribe(on_state)
