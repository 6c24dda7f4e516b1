"""CollectorRadio: workers stream their messages to the collector themselves."""

from __future__ import annotations

from multiprocessing.queues import Queue

from parsl.monitoring.radios.base import MonitoringRadioReceiver, MonitoringRadioSender, RadioConfig
from parsl.utils import RepresentationMixin

ADDRESS_ATTRIBUTE = "parsl_collector_address"
"""Attribute of a hub's queue: where its collector listens. A radio is given the queue, not the hub."""


class CollectorRadio(RadioConfig, RepresentationMixin):
    """A radio for an executor's `remote_monitoring_radio`.

    Parameters
    ----------
    address : str, optional
        "host:port" at which workers reach the collector. Default: where the run's CollectorHub has it listen,
        which only workers on the submit host can reach.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address

    def create_receiver(self, *, run_dir: str, resource_msgs: Queue) -> MonitoringRadioReceiver:
        address = self.address or getattr(resource_msgs, ADDRESS_ATTRIBUTE, None)
        if address is None:
            raise ValueError(
                "start CollectorRadio: this run's monitoring is no CollectorHub, so there is no collector to send to; "
                "use Config(monitoring=CollectorHub(...)), or CollectorRadio(address='host:port') of a running collector"
            )
        self._collector_address = address
        return _Receiver(address)

    def create_sender(self) -> MonitoringRadioSender:
        return _Sender(self._collector_address)


class _Sender(MonitoringRadioSender):
    """Made anew by Parsl for each message, so it holds nothing: the connection is the process's."""

    def __init__(self, address: str) -> None:
        # Late: the submit process imports this module, and needs none of what a sender needs.
        from parsl_collector._connection import connection_to

        self._connection = connection_to(address)

    def send(self, message: object) -> None:
        self._connection.send(message)


class _Receiver(MonitoringRadioReceiver):
    """The collector receives; this only ends what tasks in the submit process itself (threads) have sent."""

    def __init__(self, address: str) -> None:
        self._address = address

    def shutdown(self) -> None:
        import sys

        connections = sys.modules.get("parsl_collector._connection")
        if connections is not None:
            connections.close_connection(self._address)
