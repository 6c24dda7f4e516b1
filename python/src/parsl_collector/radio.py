"""CollectorRadio: workers stream their messages to the collector themselves."""

from __future__ import annotations

from multiprocessing.queues import Queue
from typing import Any

from parsl.monitoring.radios.base import MonitoringRadioReceiver, MonitoringRadioSender, RadioConfig
from parsl.monitoring.radios.multiprocessing import MultiprocessingQueueRadioSender
from parsl.utils import RepresentationMixin

from parsl_collector._segment import DEFAULT_SPOOL_BYTES

ADDRESS_ATTRIBUTE = "parsl_collector_address"
"""Attribute of a hub's queue: where its collector listens. A radio is given the queue, not the hub."""


class CollectorRadio(RadioConfig, RepresentationMixin):
    """A radio for an executor's `remote_monitoring_radio`.

    Parameters
    ----------
    address : str, optional
        "host:port" at which workers reach the collector. Default: where the run's CollectorHub has it listen;
        without its listen= only workers on the submit host reach that.
    spool : str, optional
        A directory for what a worker cannot send: on its node, or one that nodes share. What a worker leaves
        there is sent by the next one on the same node, or by `parsl-collector spool`. It is made when it is
        needed; a relative path is relative to where the worker runs. Default: none, and a worker that ends
        while the collector is away gives up what it has not sent.
    spool_bytes : int
        Most that one worker process keeps there, in bytes; then its oldest samples are given up, and when it
        has none its oldest messages. Default: 1 GiB.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        spool: str | None = None,
        spool_bytes: int = DEFAULT_SPOOL_BYTES,
    ) -> None:
        self.address = address
        self.spool = spool
        self.spool_bytes = spool_bytes
        self._collector_address = address
        self._queue: Queue | None = None

    def create_receiver(self, *, run_dir: str, resource_msgs: Queue) -> MonitoringRadioReceiver:
        hub_address = getattr(resource_msgs, ADDRESS_ATTRIBUTE, None)
        self._collector_address = self.address or hub_address
        if self._collector_address is None:
            raise ValueError(
                "start CollectorRadio: this run's monitoring is no CollectorHub, so there is no collector to "
                "send to; use Config(monitoring=CollectorHub(...)), or CollectorRadio(address='host:port') "
                "of a running collector"
            )
        if hub_address is not None:
            self._queue = resource_msgs
        return _Receiver()

    def create_sender(self) -> MonitoringRadioSender:
        if self._queue is not None:
            # In the submit process itself (threads): the queue is there already, and gRPC is not.
            return MultiprocessingQueueRadioSender(self._queue)
        return _Sender(self._collector_address, self.spool, self.spool_bytes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_queue": None}


class _Sender(MonitoringRadioSender):
    """Made anew by Parsl for each message, so it holds nothing: the connection is the process's."""

    def __init__(self, address: str, spool: str | None, spool_bytes: int) -> None:
        # Late: the submit process imports this module, and needs none of what a sender needs.
        from parsl_collector._connection import connection_to

        self._connection = connection_to(address, spool, spool_bytes)

    def send(self, message: object) -> None:
        self._connection.send(message)


class _Receiver(MonitoringRadioReceiver):
    """Nothing on the submit side: the collector receives, and the hub owns the collector."""

    def shutdown(self) -> None:
        pass
