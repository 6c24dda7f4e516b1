"""CollectorRadio: workers stream their messages to the collector themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from multiprocessing.queues import Queue
from typing import Any

from parsl.monitoring.radios.base import MonitoringRadioReceiver, MonitoringRadioSender, RadioConfig
from parsl.monitoring.radios.multiprocessing import MultiprocessingQueueRadioSender
from parsl.utils import RepresentationMixin

from parsl_collector._agent import AgentOptions, NodeAgent
from parsl_collector._link import FALLBACK_AFTER_S
from parsl_collector._local_agent import AgentReceiver
from parsl_collector._road import GRPC, RoadSpec
from parsl_collector._roads import find_radio
from parsl_collector._security import Security
from parsl_collector._segment import DEFAULT_SPOOL_BYTES

WAYS_ATTRIBUTE = "parsl_collector_ways"
"""Attribute of a hub's queue: how its collector is reached, a RoadSpec for each radio by its name. A radio is
given the queue, not the hub."""

_Choice = str | type | tuple[str | type, str]
"""A radio by its name or its class, with the address or without."""


class CollectorRadio(RadioConfig, RepresentationMixin):
    """A radio for an executor's `remote_monitoring_radio`.

    Parameters
    ----------
    address : str, optional
        "host:port" at which workers reach the collector by gRPC. Default: where the run's CollectorHub has it
        listen; without its listen= only workers on the submit host reach that.
    radios : sequence of str, of classes, or of (str or class, str)
        From the best to the last resort: "grpc", "filesystem" (a directory that workers and submit host see),
        "udp" (which loses messages, and counts them), an entry point of the group parsl_collector.radios, or
        a class of your own, made as Class(address, key). When one has failed for `fallback_after` seconds
        the next takes over, until the first works again. The addresses are those of the run's CollectorHub,
        which must listen by these radios (its radios=); a pair names another: ("filesystem", "/shared/run").
    fallback_after : float
        Seconds.
    spool : str, optional
        A directory for what a worker cannot send: on its node, or one that nodes share. What a worker leaves
        there is sent by the next one on the same node, or by `parsl-collector spool`. It is made when it is
        needed; a relative path is relative to where the worker runs. Default: none, and a worker that ends
        while the collector is away gives up what it has not sent.
    spool_bytes : int
        Most that one worker process keeps there, in bytes; then its oldest samples are given up, and when it
        has none its oldest messages. Default: 1 GiB.
    agent : bool
        Send by way of an agent, one process on each node, which the first worker there starts where it finds
        a Node.js (PARSL_COLLECTOR_NODE, or one on its PATH, say), on the submit host this process when a
        block starts there, and which ends by itself. It has the one
        connection to the collector, keeps what a killed worker has sent, and samples the tasks: Parsl then
        forks no monitor for each of them. Where none can be started, or with a class in `radios`, workers
        send themselves, and their log says why.
    node_interval : float, optional
        Seconds between samples of each node as a whole (CPU, memory, load, disk), which its agent takes for
        the table collector_node_usage. Default: none are taken.
    security : Security, optional
        For a collector that is not the run's own: how workers make sure of it, and the token that it wants.
        Default: as the run's CollectorHub does.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        radios: Sequence[_Choice] = (GRPC,),
        fallback_after: float = FALLBACK_AFTER_S,
        spool: str | None = None,
        spool_bytes: int = DEFAULT_SPOOL_BYTES,
        agent: bool = True,
        node_interval: float | None = None,
        security: Security | None = None,
    ) -> None:
        if isinstance(radios, str) or not radios:
            raise ValueError(
                f"make CollectorRadio: radios={radios!r} is no list of radios; one is radios=['grpc']"
            )
        self.address = address
        self.radios = radios
        self.fallback_after = fallback_after
        self.spool = spool
        self.spool_bytes = spool_bytes
        self.agent = agent
        self.node_interval = node_interval
        self.security = security
        # Known already where no hub has to tell an address.
        specs = [self._spec_without_hub(radio) for radio in radios]
        self._specs = tuple(spec for spec in specs if spec is not None)
        self._queue: Queue | None = None
        self._sender: _Sender | None = None

    def create_receiver(self, *, run_dir: str, resource_msgs: Queue) -> MonitoringRadioReceiver:
        ways: dict[str, RoadSpec] | None = getattr(resource_msgs, WAYS_ATTRIBUTE, None)
        self._specs = tuple(self._spec(radio, ways) for radio in self.radios)
        if ways is not None:
            self._queue = resource_msgs
        # A relative spool is somewhere else for the workers.
        is_startable = self.agent and (self.spool is None or os.path.isabs(self.spool))
        return AgentReceiver(NodeAgent(self._specs, self.agent_options()) if is_startable else None)

    def create_sender(self) -> MonitoringRadioSender:
        if self._queue is not None:
            # In the submit process itself (threads): the queue is there already, and gRPC is not.
            return MultiprocessingQueueRadioSender(self._queue)
        if self._sender is None:
            self._sender = _Sender(self._specs, self)
        return self._sender

    def agent_options(self) -> AgentOptions:
        return AgentOptions(self.spool, self.node_interval, self.fallback_after)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_queue": None, "_sender": None}

    def _spec_without_hub(self, radio: _Choice) -> RoadSpec | None:
        if isinstance(radio, tuple):
            return RoadSpec(*radio, security=self.security if radio[0] == GRPC else None)
        if radio != GRPC or self.address is None:
            return None
        return RoadSpec(GRPC, self.address, security=self.security)

    def _spec(self, radio: _Choice, ways: dict[str, RoadSpec] | None) -> RoadSpec:
        own = self._spec_without_hub(radio)
        name = radio[0] if isinstance(radio, tuple) else radio
        if name != GRPC:
            find_radio(name)  # raises for a name that no radio has
        if own is not None:
            known = (ways or {}).get(GRPC)
            if own.radio == GRPC and own.security is None and known is not None:
                own = own._replace(security=known.security)
            return own._replace(key=next((way.key for way in (ways or {}).values()), None))
        if ways is None:
            raise ValueError(
                "start CollectorRadio: this run's monitoring is no CollectorHub, so there is no collector to "
                "send to; use Config(monitoring=CollectorHub(...)), or CollectorRadio(address='host:port') "
                "of a running collector"
            )
        if name not in ways:
            raise ValueError(
                f"start CollectorRadio: the run's collector does not listen by {name!r}, only by "
                f"{', '.join(ways)}; use CollectorHub(radios=[{name!r}]), or name its address: "
                f"radios=[({name!r}, '...')]"
            )
        return ways[name] if self.security is None else ways[name]._replace(security=self.security)


class _Sender(MonitoringRadioSender):
    """Asked for by Parsl for each message: one for all of a process, whose connection it is."""

    def __init__(
        self,
        specs: tuple[RoadSpec, ...],
        radio: CollectorRadio,
    ) -> None:
        # Late: the submit process imports this module, and needs none of what a sender needs.
        from parsl_collector._connection import connection_to

        self._connection = connection_to(
            specs,
            radio.spool,
            radio.spool_bytes,
            radio.fallback_after,
            radio.agent_options() if radio.agent else None,
        )

    def send(self, message: object) -> None:
        self._connection.send(message)

    def is_sampled(self) -> bool:
        """Whether the node's agent samples the processes that messages name."""
        return self._connection.has_agent()
