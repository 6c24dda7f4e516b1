"""The reliable sender: keeps each message until the collector has acknowledged it.

Messages are numbered 1, 2, 3, ..., travel in envelopes, and are sent again with the same numbers after every
broken connection; the collector stores each number once. docs/WIRE.md has the rules.
"""

from __future__ import annotations

import logging
import os
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from parsl_collector._encode import Encoded
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._pb import envelope_pb2 as pb

logger = logging.getLogger(__name__)

SERVICE = "/parsl_collector.v1.CollectorService/"

MOST_IN_FLIGHT = 8
"""Envelopes that wait for their acknowledgement at once. More would only wait in the collector."""
MOST_MESSAGES = 500
MOST_ENVELOPE_BYTES = 256 * 1024
DEFAULT_BUFFER_BYTES = 32 * 1024 * 1024
"""Bytes of messages that are kept until they are acknowledged; at the bound `add` waits."""

CONNECT_TIMEOUT_S = 10.0
"""Longest that one attempt to connect may take: a peer that accepts and never speaks must not hold us."""
FIRST_BACKOFF_S = 0.05
MOST_BACKOFF_S = 5.0

CHANNEL_OPTIONS = [
    # gRPC's own retries keep what was sent on a long stream for ever; we resume by sequence.
    ("grpc.enable_retries", 0),
    # Clusters set http_proxy on compute nodes, and a proxy knows nothing of the collector.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A collector whose machine died is noticed, and a firewall keeps the connection.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Each attempt makes its own channel, which must not share a connection that is in backoff.
    ("grpc.use_local_subchannel_pool", 1),
]


@dataclass(frozen=True)
class Counts:
    """What became of a sender's messages so far."""

    added: int
    acknowledged: int
    """Those on the collector's disk, rejected ones included."""
    rejected: int


@dataclass
class _Envelope:
    request: bytes
    first: int
    count: int
    size: int


class MessageSender:
    """One numbered sequence of messages to the collector at `address`. Safe to use from several threads; not
    across a fork."""

    def __init__(self, address: str, *, hostname: str = "", buffer_bytes: int = DEFAULT_BUFFER_BYTES) -> None:
        self.address = address
        self.sender_id = secrets.token_hex(16)
        self._hostname = hostname
        self._buffer_bytes = buffer_bytes
        self._changed = threading.Condition()
        # All below is guarded by _changed.
        self._waiting: deque[Encoded] = deque()
        self._waiting_bytes = 0
        self._in_flight: deque[_Envelope] = deque()
        self._buffered_bytes = 0
        self._last_sequence = 0
        self._acknowledged = 0
        self._rejected = 0
        self._run_id = ""
        self._closing = False
        self._closed = False
        self._stopped = False
        self._stream = 0
        """Number of the present stream; a request iterator of an earlier one ends."""
        self._impaired = False
        self._thread = threading.Thread(target=self._run, name="parsl-collector-sender", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Counts:
        with self._changed:
            return Counts(self._last_sequence, self._acknowledged, self._rejected)

    @property
    def run_id(self) -> str:
        """The run of the last message that named one."""
        return self._run_id

    def add(self, message: Encoded, timeout: float | None = None) -> bool:
        """Takes a message. Waits while the buffer is full, `timeout` seconds at most (None: as long as it
        takes). Returns whether the message was taken."""
        size = len(message.data)
        with self._changed:
            has_room = self._changed.wait_for(
                lambda: self._stopped
                or self._buffered_bytes == 0
                or self._buffered_bytes + size <= self._buffer_bytes,
                timeout,
            )
            if not has_room or self._stopped or self._closing:
                return False
            self._last_sequence += 1
            self._waiting.append(message)
            self._waiting_bytes += size
            self._buffered_bytes += size
            if message.run_id:
                self._run_id = message.run_id
            # While something is in flight its acknowledgement wakes the stream, unless an envelope is full.
            if not self._in_flight or self._is_full():
                self._changed.notify_all()
            return True

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that was taken is acknowledged, `timeout` seconds at most. Returns whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._stopped or (not self._waiting and not self._in_flight), timeout
            ) and not (self._waiting or self._in_flight)

    def close(self, timeout: float | None = None) -> bool:
        """Flushes, sends the closing note, and ends. Returns whether all is acknowledged; what is not after
        `timeout` seconds is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._stopped or self._closed, timeout)
            complete = self._closed and not self._waiting and not self._in_flight
            self._stopped = True
            self._changed.notify_all()
        self._thread.join(2.0)
        return complete

    def _is_full(self) -> bool:
        return len(self._waiting) >= MOST_MESSAGES or self._waiting_bytes >= MOST_ENVELOPE_BYTES

    def _run(self) -> None:
        # Before gRPC is imported: unset, it warns at each fork, and a child of ours never touches gRPC.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        import grpc

        attempt = 0
        while not self._stopped:
            reason, heard = self._stream_once(grpc)
            if self._stopped or self._closed:
                return
            attempt = 0 if heard else attempt + 1
            self._tell_impaired(reason)
            backoff = min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2**attempt) * random.uniform(0.5, 1.0)
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, backoff)

    def _stream_once(self, grpc) -> tuple[str, bool]:
        """One connection, until it breaks or all is done. Returns why it ended, and whether the collector
        acknowledged anything on it."""
        heard = False
        channel = grpc.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        try:
            if not _is_ready(grpc, channel, lambda: self._stopped):
                return "no connection", False
            stream = channel.stream_stream(
                SERVICE + "StreamMessages", response_deserializer=service_pb.StreamMessagesResponse.FromString
            )
            with self._changed:
                self._stream += 1
                requests = self._requests(self._stream, list(self._in_flight))
            for response in stream(requests):
                for acknowledgement in response.acknowledgements:
                    self._acknowledge(acknowledgement)
                    heard = True
            return "the collector ended the stream", heard
        except grpc.RpcError as e:
            if e.code() == grpc.StatusCode.INVALID_ARGUMENT:
                self._give_up_first(e.details())
            return f"{e.code().name}: {e.details()}", heard
        finally:
            with self._changed:
                self._stream += 1  # ends the request iterator, which runs in a thread of gRPC
                self._changed.notify_all()
            channel.close()

    def _requests(self, stream: int, resend: list[_Envelope]) -> Iterator[bytes]:
        for envelope in resend:
            yield envelope.request
        while True:
            with self._changed:
                request = None
                while request is None:
                    if self._stream != stream or self._stopped or self._closed:
                        return
                    request = self._next_request()
                    if request is None:
                        self._changed.wait()
            yield request

    def _next_request(self) -> bytes | None:
        """Sends at once when nothing is in flight; else gathers until an acknowledgement comes or an envelope
        is full."""
        if self._waiting:
            if len(self._in_flight) < MOST_IN_FLIGHT and (
                not self._in_flight or self._is_full() or self._closing
            ):
                return self._next_envelope().request
            return None
        if self._closing and not self._in_flight:
            note = pb.Envelope(
                sender_id=self.sender_id,
                run_id=self._run_id,
                hostname=self._hostname,
                closing_note=pb.ClosingNote(last_sequence=self._last_sequence),
            )
            envelope = _Envelope(_field(1, note.SerializeToString()), self._last_sequence + 1, 0, 0)
            self._in_flight.append(envelope)
            return envelope.request
        return None

    def _next_envelope(self) -> _Envelope:
        """As many waiting messages of one run as an envelope may have, one at least."""
        first = self._last_sequence - len(self._waiting) + 1
        run_id = ""
        parts: list[bytes] = []
        size = 0
        while self._waiting and len(parts) < MOST_MESSAGES:
            message = self._waiting[0]
            if parts and (
                size + len(message.data) > MOST_ENVELOPE_BYTES
                or message.run_id not in ("", run_id or message.run_id)
            ):
                break
            run_id = run_id or message.run_id
            parts.append(_field(6, message.data))
            size += len(message.data)
            self._waiting.popleft()
        self._waiting_bytes -= size
        head = pb.Envelope(
            sender_id=self.sender_id,
            first_sequence=first,
            run_id=run_id or self._run_id,
            hostname=self._hostname,
            utc_offset_seconds=time.localtime().tm_gmtoff,
        )
        envelope = _Envelope(_field(1, head.SerializeToString() + b"".join(parts)), first, len(parts), size)
        self._in_flight.append(envelope)
        return envelope

    def _acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        with self._changed:
            # In the order of the envelopes, as the protocol promises.
            envelope = self._in_flight.popleft()
            self._acknowledged += envelope.count
            self._buffered_bytes -= envelope.size
            self._rejected += len(acknowledgement.rejections)
            if acknowledgement.closed and envelope.count == 0:
                self._closed = True
            was_impaired, self._impaired = self._impaired, False
            self._changed.notify_all()
        if was_impaired:
            logger.warning("monitoring: the collector at %s answers again; nothing was lost", self.address)
        for rejection in acknowledgement.rejections:
            logger.warning(
                "monitoring: the collector keeps message %s of this sender as rejected: %s",
                rejection.sequence,
                rejection.reason,
            )

    def _give_up_first(self, details: str) -> None:
        """The collector says that it will never take the envelope that it came to: sending it again would
        block all others for ever."""
        with self._changed:
            if self._in_flight:
                envelope = self._in_flight.popleft()
                self._buffered_bytes -= envelope.size
                self._changed.notify_all()
                logger.error(
                    "monitoring: %d messages lost: the collector refuses them: %s", envelope.count, details
                )

    def _tell_impaired(self, reason: str) -> None:
        with self._changed:
            if self._impaired or not (self._waiting or self._in_flight):
                return
            self._impaired = True
        logger.warning(
            "monitoring: cannot reach the collector at %s (%s); messages are kept and sent when it answers",
            self.address,
            reason,
        )


def _is_ready(grpc, channel, stopped) -> bool:
    """Whether the channel connects. One attempt: gRPC itself would go on in its own time."""
    state_known = threading.Event()
    state = []

    def on_state(connectivity) -> None:
        if connectivity in (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE):
            state.append(connectivity)
            state_known.set()

    channel.subscribe(on_state, try_to_connect=True)
    try:
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while not state_known.wait(0.2):
            if stopped() or time.monotonic() > deadline:
                return False
        return state[0] is grpc.ChannelConnectivity.READY
    finally:
        channel.unsubscribe(on_state)


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field around bytes that are encoded already."""
    out = bytearray([number << 3 | 2])
    length = len(data)
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out) + data
