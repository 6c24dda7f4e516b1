"""The gRPC route: one stream to the collector, watched, with its acknowledgements."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from parsl_collector._channel import STREAM_MESSAGES, import_grpc, metadata_of, open_channel
from parsl_collector._encode import length_delimited
from parsl_collector._link import Flow
from parsl_collector._log import logger_of
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._road import RoadSpec

logger = logger_of(__name__)

CONNECT_TIMEOUT_S = 10.0
"""Longest that one attempt to connect may take: a peer that accepts and never speaks must not hold us."""

_SHUT_OUT = frozenset(("UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED", "NOT_FOUND"))
"""Statuses that say: another token, or another address."""


class StreamRoute:
    """Streams to the collector that `way` leads to."""

    def __init__(self, way: RoadSpec, flow: Flow) -> None:
        self.name = repr(way)
        self._way = way
        self._flow = flow
        # Guarded by the flow's condition.
        self._stream = 0
        """Number of the present stream; a request iterator of an earlier one ends."""
        self._call: Any = None

    def run(self) -> str:
        """One connection, until it breaks or all is done."""
        grpc = import_grpc()
        channel = open_channel(self._way)
        try:
            if not _is_ready(grpc, channel, lambda: self._flow.is_stopped):
                return "no connection"
            # No serializers: requests are bytes already, made once and resent as they are.
            stream = channel.stream_stream(STREAM_MESSAGES)
            with self._flow.changed:
                if self._flow.is_stopped:
                    return "closed"
                self._stream += 1
                self._call = stream(self._requests(self._stream), metadata=metadata_of(self._way))
            for response in self._call:
                answer = service_pb.StreamMessagesResponse.FromString(response)
                # In the order of the envelopes, as the protocol promises.
                for acknowledgement in answer.acknowledgements:
                    self._flow.acknowledge(acknowledgement)
            return "the collector ended the stream"
        except grpc.RpcError as e:
            reason = f"{e.code().name}: {e.details()}"
            if e.code().name == "INVALID_ARGUMENT" or "larger than max" in reason:
                self._flow.refuse(e.details())
            elif e.code().name in _SHUT_OUT:
                self._flow.shut(reason)
            return reason
        except Exception as e:
            # A peer that is no collector may answer anything; the next attempt may find one.
            logger.exception("monitoring: an answer from %s makes no sense", self._way.address)
            return f"{type(e).__name__}: {e}"
        finally:
            with self._flow.changed:
                self._stream += 1  # ends the request iterator, which runs in a thread of gRPC
                self._call = None
                self._flow.changed.notify_all()
            channel.close()

    def leave(self) -> None:
        with self._flow.changed:
            call = self._call
        if call is not None:
            call.cancel()

    def works(self) -> bool:
        grpc = import_grpc()
        with open_channel(self._way) as channel:
            return _is_ready(grpc, channel, lambda: self._flow.is_stopped)

    def _requests(self, stream: int) -> Iterator[bytes]:
        while (envelope := self._flow.take(lambda: self._stream != stream)) is not None:
            yield length_delimited(_ENVELOPE, envelope)


_ENVELOPE = service_pb.StreamMessagesRequest.DESCRIPTOR.fields_by_name["envelope"].number


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
