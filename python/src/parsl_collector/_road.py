"""What the sending halves of radios have in common, and where they lead."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from parsl_collector._security import Security

GRPC = "grpc"


class RoadError(Exception):
    """An envelope did not get away. The same one may be sent again, by this road or another: a collector
    stores a message once however often it comes."""


class EnvelopeRefusedError(RoadError):
    """This road never takes these bytes; its messages alone may fit, and other roads may take it whole."""


class Road(Protocol):
    """Carries the bytes of envelopes to a collector. Nothing runs behind it, and nothing is open before the
    first envelope. After a fork the child makes its own."""

    def send(self, envelope: bytes) -> None:
        """Returns when the envelope is handed over, which is not yet stored. Raises RoadError."""

    def close(self) -> None:
        """Sends no more."""


class RoadSpec(NamedTuple):
    """Where to send, and by which radio."""

    radio: str | type
    """Its name, or the class of its roads."""
    address: str
    """In the radio's own form: "host:port" for grpc and udp, a directory for filesystem."""
    key: bytes | None = None
    """The run's secret, for radios that anybody can reach."""
    security: Security | None = None
    """How gRPC makes sure of the collector and shows who we are; None for no TLS and no token."""

    def __repr__(self) -> str:  # without the secrets
        return f"{self.radio if isinstance(self.radio, str) else self.radio.__name__} to {self.address}"
