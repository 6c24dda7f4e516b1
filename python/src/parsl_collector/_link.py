"""The stream to the collector: opened, watched, and opened again after every break.

It knows nothing of messages: a source says what is to be sent, and hears what became of it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from parsl_collector._channel import STREAM_MESSAGES, import_grpc, open_channel
from parsl_collector._log import logger_of
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._pb import envelope_pb2 as pb

logger = logger_of(__name__)

MOST_IN_FLIGHT = 8
"""Envelopes that wait for their acknowledgement at once. More would only wait in the collector."""

CONNECT_TIMEOUT_S = 10.0
"""Longest that one attempt to connect may take: a peer that accepts and never speaks must not hold us."""
FIRST_BACKOFF_S = 0.05
MOST_BACKOFF_S = 5.0


class Source(Protocol):
    """What a link sends. The link calls it with its condition held."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come: the link then ends."""

    def next(self) -> bytes | None:
        """The next StreamMessagesRequest; None when nothing is to be sent now. It is in flight then."""

    def pause_s(self) -> float | None:
        """Seconds until `next` is to be asked again; None when an event decides that."""

    def acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        """The first that is in flight is on the collector's disk."""

    def refuse(self, details: str) -> None:
        """The collector will never take the first that is in flight."""

    def rewind(self, reason: str, was_heard: bool) -> None:
        """The connection broke or never came: what was in flight is to be sent again. `was_heard` says
        whether the collector answered anything."""


class Link:
    """Sends what `source` has to the collector at `address`, from a thread of its own, until the source is
    over or `stop`. `changed` guards the source; its owner notifies it when there is something to send."""

    def __init__(self, address: str, source: Source, changed: threading.Condition) -> None:
        self._address = address
        self._source = source
        self._changed = changed
        # All below is guarded by _changed.
        self._in_flight = 0
        self._most_in_flight = MOST_IN_FLIGHT
        self._answers = 0
        self._stream = 0
        """Number of the present stream; a request iterator of an earlier one ends."""
        self._call: Any = None
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="parsl-collector-link", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        """Ends it whatever is in flight, and waits for its thread, `timeout` seconds at most."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            call = self._call
        if call is not None:
            call.cancel()
        self._thread.join(timeout)

    def _run(self) -> None:
        grpc = import_grpc()
        failures = 0
        while True:
            answers = self._answers
            reason = self._stream_once(grpc)
            with self._changed:
                was_heard = self._answers > answers
                self._in_flight = 0
                if not self._is_ended():
                    self._source.rewind(reason, was_heard)
                failures = 0 if was_heard else failures + 1
                backoff = min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures, 10))
                self._changed.notify_all()
                if self._is_ended() or self._changed.wait_for(
                    self._is_ended, backoff * random.uniform(0.5, 1.0)
                ):
                    return

    def _is_ended(self) -> bool:
        return self._is_stopped or self._source.is_over

    def _stream_once(self, grpc: Any) -> str:
        """One connection, until it breaks or all is done. Returns why it ended."""
        channel = open_channel(self._address)
        try:
            if not _is_ready(grpc, channel, lambda: self._is_stopped):
                return "no connection"
            # No serializers: requests are bytes already, made once and resent as they are.
            stream = channel.stream_stream(STREAM_MESSAGES)
            with self._changed:
                if self._is_stopped:
                    return "closed"
                self._stream += 1
                self._call = stream(self._requests(self._stream))
            for response in self._call:
                answer = service_pb.StreamMessagesResponse.FromString(response)
                for acknowledgement in answer.acknowledgements:
                    self._acknowledge(acknowledgement)
            return "the collector ended the stream"
        except grpc.RpcError as e:
            if e.code() == grpc.StatusCode.INVALID_ARGUMENT:
                self._refuse(e.details())
            return f"{e.code().name}: {e.details()}"
        except Exception as e:
            # A peer that is no collector may answer anything; the next attempt may find one.
            logger.exception("monitoring: an answer from %s makes no sense", self._address)
            return f"{type(e).__name__}: {e}"
        finally:
            with self._changed:
                self._stream += 1  # ends the request iterator, which runs in a thread of gRPC
                self._call = None
                self._changed.notify_all()
            channel.close()

    def _requests(self, stream: int) -> Iterator[bytes]:
        while True:
            with self._changed:
                request = None
                while request is None:
                    if self._stream != stream or self._is_ended():
                        return
                    if self._in_flight < self._most_in_flight:
                        request = self._source.next()
                    if request is None:
                        self._changed.wait(self._source.pause_s())
                self._in_flight += 1
            yield request

    def _acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        with self._changed:
            # In the order of the envelopes, as the protocol promises.
            self._source.acknowledge(acknowledgement)
            self._in_flight -= 1
            self._most_in_flight = MOST_IN_FLIGHT
            self._answers += 1
            self._changed.notify_all()

    def _refuse(self, details: str) -> None:
        """The collector says that it will never take an envelope: sending that again would block all others
        for ever. Which one it was is known when only one was in flight, so the next attempt sends them one by
        one."""
        with self._changed:
            if self._in_flight == 0:
                return
            self._answers += 1
            if self._in_flight > 1:
                self._most_in_flight = 1
            else:
                self._source.refuse(details)
            self._changed.notify_all()


def _is_ready(grpc: Any, channel: Any, is_stopped: Callable[[], bool]) -> bool:
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
