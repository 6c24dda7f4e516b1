"""CollectorHub: takes the place of MonitoringHub in a Parsl Config."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from multiprocessing.queues import Queue
from typing import Any

from parsl.monitoring import MonitoringHub
from parsl.monitoring.types import TaggedMonitoringMessage
from parsl.multiprocessing import SpawnContext, SpawnProcess, SpawnQueue, join_terminate_close_proc

from parsl_collector._collector_process import CollectorProcess
from parsl_collector._drain import EndOfRun, Report, drain
from parsl_collector.radio import ADDRESS_ATTRIBUTE

logger = logging.getLogger(__name__)

DEFAULT_CLOSE_TIMEOUT_S = 60.0


class CollectorHub(MonitoringHub):
    """A MonitoringHub whose messages go to a collector, which acknowledges only what is committed.

    Parameters
    ----------
    hub_address, hub_port_range, hub_port, workflow_name, workflow_version, monitoring_debug,
    resource_monitoring_enabled, resource_monitoring_interval :
        As in MonitoringHub.
    logging_endpoint : str, optional
        The database, as "sqlite:///relative/monitoring.db" or "sqlite:////absolute/monitoring.db". Default:
        monitoring.db in the configured run_dir.
    address : str, optional
        "host:port" of a collector that runs already; it decides where the database is, and is not stopped.
        Default: a collector of this run's own.
    listen : str
        "host:port" at which this run's collector listens; port 0 lets the system choose.
    node : str, optional
        Path of the Node.js that runs the collector. Default: PARSL_COLLECTOR_NODE, or one that is found.
    durability : str
        "full": what is stored survives a power cut; "normal": a crash of the collector, but not a power cut.
    close_timeout : float
        Most seconds that close() waits for messages that the collector has not yet taken (its database may be
        locked, say). An idle hub closes at once.
    """

    def __init__(
        self,
        hub_address: Any = None,
        hub_port_range: Any = None,
        hub_port: Any = None,
        workflow_name: str | None = None,
        workflow_version: str | None = None,
        logging_endpoint: str | None = None,
        monitoring_debug: bool = False,
        resource_monitoring_enabled: bool = True,
        resource_monitoring_interval: float = 30,
        *,
        address: str | None = None,
        listen: str = "127.0.0.1:0",
        node: str | None = None,
        durability: str = "full",
        close_timeout: float = DEFAULT_CLOSE_TIMEOUT_S,
    ) -> None:
        # Not MonitoringHub.__init__: it refuses to work without SQLAlchemy, which nothing here needs.
        for name, value, successor in (
            ("hub_address", hub_address, "UDPRadio(address=...)"),
            ("hub_port", hub_port, "UDPRadio(port=...)"),
            ("hub_port_range", hub_port_range, "HighThroughputExecutor.interchange_port_range"),
        ):
            if value is not None:
                message = f"Instead of CollectorHub.{name}, specify {successor}"
                warnings.warn(message, DeprecationWarning, stacklevel=2)
                logger.warning(message)
        self.hub_address = hub_address
        self.hub_port_range = hub_port_range
        self.hub_port = hub_port
        self.workflow_name = workflow_name
        self.workflow_version = workflow_version
        self.logging_endpoint = logging_endpoint
        self.monitoring_debug = monitoring_debug
        self.resource_monitoring_enabled = resource_monitoring_enabled
        self.resource_monitoring_interval = resource_monitoring_interval
        self.address = address
        self.listen = listen
        self.node = node
        self.durability = durability
        self.close_timeout = close_timeout
        self.monitoring_hub_active = False

    def start(self, dfk_run_dir: str, config_run_dir: str | os.PathLike, log_config: Any = None) -> None:
        """Starts the collector and the drain. Raises when monitoring cannot work: nothing is left running."""
        if self.logging_endpoint is None:
            self.logging_endpoint = f"sqlite:///{os.fspath(config_run_dir)}/monitoring.db"
        os.makedirs(dfk_run_dir, exist_ok=True)
        self._collector: CollectorProcess | None = None
        if self.address is None:
            self._collector = CollectorProcess(
                database=_database_of(self.logging_endpoint),
                listen=self.listen,
                node=self.node,
                options=[
                    "--durability",
                    self.durability,
                    *(["--log-level", "debug"] if self.monitoring_debug else []),
                ],
                log_path=os.path.join(dfk_run_dir, "collector.log"),
            )
        address = self._collector.address if self._collector is not None else self.address
        logger.info("Monitoring goes to the collector at %s", address)
        self.resource_msgs: Queue[TaggedMonitoringMessage] = SpawnQueue()
        setattr(self.resource_msgs, ADDRESS_ATTRIBUTE, address)
        try:
            self._report, report = SpawnContext.Pipe(duplex=False)
            level = logging.DEBUG if self.monitoring_debug else logging.INFO
            self._drain = SpawnProcess(
                target=drain,
                args=(self.resource_msgs, address, report, dfk_run_dir, level),
                name="Monitoring-Drain-Process",
                daemon=True,
            )
            self._drain.start()
            report.close()
        except BaseException:
            if self._collector is not None:
                self._collector.stop()
            raise
        self.monitoring_hub_active = True

    def close(self) -> None:
        """Returns when everything is committed, at once when that is so; after close_timeout at the latest.
        Says how many messages are stored."""
        if not self.monitoring_hub_active:
            return
        self.monitoring_hub_active = False
        report = self._end_drain()
        self._report.close()
        if self._drain.is_alive() or self._drain.exitcode == 0:
            self.resource_msgs.close()
            self.resource_msgs.join_thread()
        else:
            # Nobody reads the queue any more: its feeder would wait for ever on a full pipe.
            self.resource_msgs.close()
            self.resource_msgs.cancel_join_thread()
        join_terminate_close_proc(self._drain, timeout=5)
        if self._collector is not None:
            self._collector.stop()
        self._tell(report)

    def _end_drain(self) -> Report | None:
        self.resource_msgs.put(EndOfRun(self.close_timeout))
        # The drain keeps to its own time; the rest is for it to start up and to ask for the ledger.
        try:
            if self._report.poll(self.close_timeout + 15):
                return self._report.recv()
        except EOFError:
            pass  # the drain died; None says so
        return None

    def _tell(self, report: Report | None) -> None:
        if report is None:
            line = "parsl-collector: the drain process died; what it had not yet sent is not stored"
        else:
            stored, rejected, missing, problem = report
            where = (
                _database_of(self.logging_endpoint)
                if self._collector is not None
                else f"the collector at {self.address}"
            )
            line = (
                f"parsl-collector: {stored:,} of {stored + rejected + missing:,} messages stored in {where}"
            )
            if rejected:
                line += (
                    f"; {rejected:,} that no table takes are in its table collector_rejected, with the reason"
                )
            if missing:
                line += f"; {missing:,} are missing: {problem}"
            elif problem:
                line += f" ({problem})"
        (logger.info if report is not None and not report.missing else logger.error)(line)
        print(line, file=sys.stderr, flush=True)


def _database_of(logging_endpoint: str | None) -> str:
    """The file of a SQLAlchemy URL: three slashes and a relative path, or four and an absolute one."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", logging_endpoint or "")
    if match is None or match[1] == ":memory:":
        raise ValueError(
            f"start monitoring with logging_endpoint={logging_endpoint!r}: CollectorHub writes SQLite files; "
            "use sqlite:///relative/monitoring.db or sqlite:////absolute/monitoring.db"
        )
    return os.path.abspath(match[1])
