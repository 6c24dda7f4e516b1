"""Monitoring for Parsl that loses nothing.

CollectorHub takes the place of Parsl's MonitoringHub in a Config; CollectorRadio lets workers stream to the
collector themselves; Client is for programs without Parsl. Nothing here imports gRPC or Parsl before it is
needed: workers import this package too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsl_collector._node import CollectorStartError
    from parsl_collector._road import EnvelopeRefusedError, RoadError
    from parsl_collector._security import Security
    from parsl_collector._subscribe import SubscriptionError, subscribe
    from parsl_collector.attachment import attach
    from parsl_collector.client import Client, DeliveryError, DeliveryTimeoutError, Rejection
    from parsl_collector.hub import CollectorHub
    from parsl_collector.radio import CollectorRadio

__all__ = [
    "Client",
    "CollectorHub",
    "CollectorRadio",
    "CollectorStartError",
    "DeliveryError",
    "DeliveryTimeoutError",
    "EnvelopeRefusedError",
    "Rejection",
    "RoadError",
    "Security",
    "SubscriptionError",
    "attach",
    "subscribe",
]

_HOMES = {
    "Client": "parsl_collector.client",
    "CollectorHub": "parsl_collector.hub",
    "CollectorRadio": "parsl_collector.radio",
    "CollectorStartError": "parsl_collector._node",
    "DeliveryError": "parsl_collector.client",
    "DeliveryTimeoutError": "parsl_collector.client",
    "EnvelopeRefusedError": "parsl_collector._road",
    "Rejection": "parsl_collector.client",
    "RoadError": "parsl_collector._road",
    "Security": "parsl_collector._security",
    "SubscriptionError": "parsl_collector._subscribe",
    "attach": "parsl_collector.attachment",
    "subscribe": "parsl_collector._subscribe",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(home), name)
