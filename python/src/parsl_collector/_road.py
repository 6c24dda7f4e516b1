"""What the sending halves of radios have in common."""

from __future__ import annotations

from typing import Protocol


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
