"""Radios by name, and the route that each makes: what a sender is given when it is told where to send."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence

from parsl_collector._link import Flow, Route
from parsl_collector._log import logger_of
from parsl_collector._parts import alone, refused
from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._road import GRPC, EnvelopeRefusedError, Road, RoadError, RoadSpec
from parsl_collector._stream import StreamRoute

logger = logger_of(__name__)

ENTRY_POINTS = "parsl_collector.radios"
"""Group of the entry points by which a package brings radios: each is a class made as Road(address, key)."""

BUILT_IN = ("filesystem", "udp", "unix")
"""Their modules are loaded when they are used: a worker is spared what it does not need."""


def as_specs(where: str | Sequence[RoadSpec]) -> tuple[RoadSpec, ...]:
    """An address alone is one for gRPC."""
    return (RoadSpec(GRPC, where),) if isinstance(where, str) else tuple(where)


def openers_of(specs: Sequence[RoadSpec]) -> list[Callable[[Flow], Route]]:
    """What makes the routes of a link. The roads know each other: what is too large for one may go by
    another."""
    roads: list[RoadRoute] = []

    def opener(spec: RoadSpec) -> Callable[[Flow], Route]:
        if spec.radio == GRPC:
            return lambda flow: StreamRoute(spec, flow)
        return lambda flow: RoadRoute(spec, flow, roads)

    return [opener(spec) for spec in specs]


def find_radio(radio: str | type) -> Callable[[str, bytes | None], Road]:
    """The class of a radio's roads. Raises ValueError when no radio has this name."""
    if not isinstance(radio, str):
        return radio
    if radio in BUILT_IN:
        return importlib.import_module(f"parsl_collector._{radio}_road").Road
    entry_points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for entry_point in entry_points:
        if entry_point.name == radio:
            return entry_point.load()
    names = (GRPC, *BUILT_IN, *sorted(entry_point.name for entry_point in entry_points))
    raise ValueError(f"load radio {radio!r}: no radio has this name; known are {', '.join(names)}")


class RoadRoute:
    """A road that hands envelopes over one by one, and hears nothing of what becomes of them."""

    def __init__(self, spec: RoadSpec, flow: Flow, roads: list[RoadRoute]) -> None:
        self.name = repr(spec)
        self._spec = spec
        self._flow = flow
        self._roads = roads
        roads.append(self)
        self._is_left = False
        """Guarded by the flow's condition."""
        self._has_failed_badly = False

    def run(self) -> str:
        """Sends until an envelope does not get away."""
        with self._flow.changed:
            self._is_left = False
        try:
            road = self._open()
        except Exception as e:  # a radio that is not installed here, an address that makes no sense
            return self._explain(e)
        try:
            while (envelope := self._flow.take(lambda: self._is_left)) is not None:
                self._send(road, envelope)
                self._flow.acknowledge(pb.Acknowledgement())
            return "it is left"
        except Exception as e:
            return self._explain(e)
        finally:
            road.close()

    def leave(self) -> None:
        with self._flow.changed:
            self._is_left = True
            self._flow.changed.notify_all()

    def works(self) -> bool:
        return self.carry(self._flow.heartbeat())

    def carry(self, envelope: bytes) -> bool:
        """Sends one envelope of another route; returns whether it went."""
        try:
            road = self._open()
        except Exception:
            return False  # told when it is this route's turn
        try:
            road.send(envelope)
            return True
        except Exception:
            return False  # the same
        finally:
            road.close()

    def _open(self) -> Road:
        return find_radio(self._spec.radio)(self._spec.address, self._spec.key)

    def _send(self, road: Road, envelope: bytes) -> None:
        try:
            road.send(envelope)
        except EnvelopeRefusedError as e:
            whole = pb.Envelope.FromString(envelope)
            if len(whole.messages) > 1 or whole.losses or whole.HasField("closing_note"):
                for part in alone(whole):
                    self._send(road, part)
            elif not any(other.carry(envelope) for other in self._roads if other is not self):
                logger.warning("monitoring: a message is kept as rejected: %s", e)
                road.send(refused(whole, str(e)))

    def _explain(self, error: Exception) -> str:
        if not isinstance(error, RoadError) and not self._has_failed_badly:
            self._has_failed_badly = True
            logger.warning("monitoring: messages cannot go by %s", self.name, exc_info=error)
        return str(error)
