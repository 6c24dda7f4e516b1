"""CollectorHub: takes the place of MonitoringHub in a Parsl Config."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import secrets
import shlex
import shutil
import socket
import sys
import warnings
from collections.abc import Sequence
from multiprocessing.queues import Queue
from typing import Any

from parsl.monitoring import MonitoringHub
from parsl.monitoring.types import TaggedMonitoringMessage

from parsl_collector import _interchange, _local_agent, _wrapper
from parsl_collector._collector_process import (
    STOP_TIMEOUT_S,
    CollectorCommand,
    CollectorProcess,
    is_postgres_url,
)
from parsl_collector._drain import Report, Settings
from parsl_collector._drain_process import DrainProcess
from parsl_collector._filesystem_road import remove_if_empty
from parsl_collector._log import logger_of
from parsl_collector._node import find_node, find_server
from parsl_collector._queue import MessageQueue
from parsl_collector._road import GRPC, RoadSpec
from parsl_collector._secret import write_secret
from parsl_collector._security import OWN_SERVER_NAME, Security
from parsl_collector.radio import WAYS_ATTRIBUTE

logger = logger_of(__name__)

DEFAULT_CLOSE_TIMEOUT_S = 60.0


class CollectorHub(MonitoringHub):
    """A MonitoringHub whose messages go to a collector, which acknowledges only what is committed.

    Parameters
    ----------
    hub_address, hub_port_range, hub_port, workflow_name, workflow_version, monitoring_debug,
    resource_monitoring_enabled, resource_monitoring_interval :
        As in MonitoringHub.
    logging_endpoint : str, optional
        The database, as "sqlite:///relative/monitoring.db", "sqlite:////absolute/monitoring.db" or
        "postgresql://user@host/database". Default: monitoring.db in the configured run_dir.
    address : str, optional
        "host:port" of a collector that runs already; it decides where the database is, and is not stopped.
        Default: a collector of this run's own.
    listen : str
        "host:port" at which this run's collector listens; port 0 lets the system choose.
    node : str, optional
        Path of the Node.js that runs the collector. Default: PARSL_COLLECTOR_NODE, or one that is found.
    durability : str
        "full": what is stored survives a power cut; "normal": a crash of the collector, but not a power cut.
    insecure : bool
        Listen on other addresses than loopback without TLS and token. Without it the collector makes a
        certificate for this host and takes messages with this run's token only; workers get both inside
        their radio's config.
    security : Security, optional
        For a collector that runs already: how to make sure of it, and the token that it wants.
    metrics : str, optional
        "host:port" at which this run's collector answers GET /metrics in Prometheus' text format, and
        /healthz and /readyz; on loopback, unless insecure. Default: nowhere.
    web : str, optional
        "host:port" of the page that shows the run in a browser; port 0 lets the system choose, and the log
        says where it is. On another address than loopback `listen` must be on one too, and the page wants a
        token: one of the file secrets/tokens in the run's own directory. Default: no page.
    close_timeout : float
        Seconds without an acknowledgement after which close() leaves the messages that the collector has not
        yet taken (its database may be locked, say) in the spool. An idle hub closes at once.
    spool : str, optional
        A directory for the messages that the collector does not take: it is away, or so slow that memory is
        full. They are sent when it is there again; what is left at the end of the program is sent by the next
        hub with the same directory on this host, or by the command that the last line names. It is made when
        it is needed. Default: the folder spool in the run's own directory (runinfo/000, say).
    radios : sequence of str or of (str, str)
        How workers may reach the collector besides gRPC (CollectorRadio(radios=...) chooses): "filesystem",
        by the folder messages in the run's own directory, and "udp", on the host that it listens on. A pair
        names the address too: ("filesystem", "/shared/messages"). Not for a collector that runs already.
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
        insecure: bool = False,
        security: Security | None = None,
        metrics: str | None = None,
        web: str | None = None,
        close_timeout: float = DEFAULT_CLOSE_TIMEOUT_S,
        spool: str | None = None,
        radios: Sequence[str | tuple[str, str]] = ("filesystem",),
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
        self.insecure = insecure
        self.security = security
        self.metrics = metrics
        self.web = web
        self.close_timeout = close_timeout
        self.spool = spool
        self.radios = radios
        self.monitoring_hub_active = False
        self._key: bytes | None = None
        """The run's secret, which workers get inside their radio's config."""
        self._tokens: tuple[str, str] | None = None
        """The drain's and the workers', where they need one."""

    def start(self, dfk_run_dir: str, config_run_dir: str | os.PathLike, log_config: Any = None) -> None:
        """Starts the collector and the drain. Raises when monitoring cannot work: nothing is left running."""
        if self.logging_endpoint is None:
            self.logging_endpoint = f"sqlite:///{os.fspath(config_run_dir)}/monitoring.db"
        os.makedirs(dfk_run_dir, exist_ok=True)
        self._secrets = os.path.join(os.path.abspath(dfk_run_dir), "secrets")
        command = None if self.address is not None else self._command(dfk_run_dir)
        self.resource_msgs: Queue[TaggedMonitoringMessage] = MessageQueue()
        level = logging.DEBUG if self.monitoring_debug else logging.INFO
        self._collector: CollectorProcess | None = None
        # The drain first: it takes as long to import what it needs as the collector takes to start.
        self._spool = os.path.abspath(self.spool or os.path.join(dfk_run_dir, "spool"))
        messages = dict(command.radios).get("filesystem") if command is not None else None
        settings = Settings(dfk_run_dir, level, log_config, command, self._spool, messages)
        self._drain = DrainProcess(self.resource_msgs, settings)
        try:
            if command is not None:
                self._collector = CollectorProcess(command, self.listen)
            address = self.address if self._collector is None else self._collector.address
            assert address is not None
            security, workers_security = self._securities()
            self._drain.tell_way(RoadSpec(GRPC, address, security=security))
        except BaseException:
            self._drain.kill_unless_ended()
            if self._collector is not None:
                self._collector.stop()
            raise
        self._has_wrapper = _wrapper.install()
        _interchange.install()
        _local_agent.install()
        radios = {} if self._collector is None else self._collector.radios
        ways = {GRPC: RoadSpec(GRPC, _seen_from_outside(address), self._key, workers_security)}
        for name, where in radios.items():
            ways[name] = RoadSpec(name, _seen_from_outside(where), self._key)
        setattr(self.resource_msgs, WAYS_ATTRIBUTE, ways)
        logger.info("Monitoring goes to the collector at %s", address)
        self.monitoring_hub_active = True
        # A program that ends without cleanup: its messages are stored all the same.
        atexit.register(self.close)

    def close(self) -> None:
        """Returns when everything is committed, at once when that is so; when the collector takes nothing for
        close_timeout seconds the rest stays in the spool. Says how many messages are stored."""
        if not self.monitoring_hub_active:
            return
        self.monitoring_hub_active = False
        atexit.unregister(self.close)
        if self._has_wrapper:
            _wrapper.uninstall()
        report = self._drain.end(self.close_timeout)
        self.resource_msgs.close()
        is_complete = report is not None and report.is_complete
        if report is not None and not report.missing and not report.kept:
            self.resource_msgs.join_thread()
        else:
            # Nobody reads the queue any more: its feeder would wait for ever on a full pipe.
            self.resource_msgs.cancel_join_thread()
        if self._collector is not None:
            # One that could not write for so long will hardly do so now.
            self._collector.stop(STOP_TIMEOUT_S if is_complete else min(STOP_TIMEOUT_S, self.close_timeout))
        self._tidy()
        self._tell(report)

    def _tidy(self) -> None:
        """Leaves nothing of the run's own in its directory but logs, and what is not stored."""
        if self._collector is not None:
            remove_if_empty(self._collector.radios.get("filesystem", ""))
        shutil.rmtree(self._secrets, ignore_errors=True)  # there may be none
        if self.spool is None:
            with contextlib.suppress(OSError):  # there is none, or something is kept in it
                os.rmdir(self._spool)

    def _securities(self) -> tuple[Security | None, Security | None]:
        """The drain's, and the workers'."""
        if self._tokens is None:
            return self.security, self.security
        with open(os.path.join(self._secrets, "collector.crt"), "rb") as file:
            certificate = file.read()
        # By its own name: workers may know this host by another name or address than it does itself.
        of_drain, of_workers = (Security(certificate, token, OWN_SERVER_NAME) for token in self._tokens)
        return of_drain, of_workers

    def _keep_secret(self, name: str, secret: bytes) -> str:
        """In a file that is this user's alone; returns its path."""
        os.makedirs(self._secrets, mode=0o700, exist_ok=True)
        path = os.path.join(self._secrets, name)
        write_secret(path, secret)
        return path

    def _command(self, run_dir: str) -> CollectorCommand:
        options = ["--durability", self.durability]
        defaults = {
            "filesystem": os.path.abspath(os.path.join(run_dir, "messages")),
            "udp": f"{self.listen.rpartition(':')[0]}:0",
        }
        radios = dict(
            (radio, defaults.get(radio, "")) if isinstance(radio, str) else radio for radio in self.radios
        )
        if "udp" in radios:
            self._key = os.urandom(32)
            options += ["--key-file", self._keep_secret("key", self._key)]
        if self.insecure:
            options.append("--insecure")
        elif not _is_loopback(self.listen):
            self._tokens = (secrets.token_urlsafe(32), secrets.token_urlsafe(32))
            options += ["--token-file", self._keep_secret("tokens", _token_file(*self._tokens))]
            options += ["--self-signed", self._secrets]
        if self.metrics is not None:
            options += ["--metrics", self.metrics]
        if self.web is not None:
            options += ["--web", self.web]
        if self.monitoring_debug:
            options += ["--log-level", "debug"]
        database = _database_of(self.logging_endpoint)
        log_path = os.path.join(run_dir, "collector.log")
        return CollectorCommand(
            find_node(self.node), find_server(), database, tuple(options), log_path, tuple(radios.items())
        )

    def _tell(self, report: Report | None) -> None:
        if report is None:
            line = "parsl-collector: the drain process died; what it had not yet sent is not stored"
            if os.path.isdir(self._spool):
                line += f", but for what it kept in {self._spool}: send that with {self._spool_command()}"
        else:
            total = report.stored + report.rejected + report.kept + report.lost + report.missing
            line = f"parsl-collector: {report.stored:,} of {total:,} messages stored in {self._where()}"
            if report.rejected:
                line += f"; {report.rejected:,} that no table takes are kept in its table collector_rejected"
            if report.kept:
                line += f"; {report.kept:,} are kept in {self._spool}: send them with {self._spool_command()}"
            if report.lost:
                line += f"; {report.lost:,} were given up by their senders"
            if report.missing:
                line += f"; {report.missing:,} are missing: {report.problem}"
            elif report.problem:
                line += f"; {report.problem}"
            if report.cut_off:
                ended = "1 sender was" if report.cut_off == 1 else f"{report.cut_off} senders were"
                line += f"; {ended} cut off, as a killed worker is, and may have had more to send"
            if self._drain.deaths:
                line += "; the drain process died on the way, and what it had not yet sent is not counted"
        is_complete = report is not None and report.is_complete and not self._drain.deaths
        logger.log(logging.INFO if is_complete else logging.ERROR, line)
        print(line, file=sys.stderr, flush=True)

    def _spool_command(self) -> str:
        if self._collector is None:
            target = f"--to {self.address}"
        else:
            target = f"--database {shlex.quote(_without_secrets(_database_of(self.logging_endpoint)))}"
        return f'"parsl-collector spool {shlex.quote(self._spool)} {target}"'

    def _where(self) -> str:
        if self._collector is None:
            return f"the collector at {self.address}"
        return _without_secrets(_database_of(self.logging_endpoint))


def _seen_from_outside(address: str) -> str:
    """Where workers find a collector that listens on every address of this host: by the host's name."""
    host, _, port = address.rpartition(":")
    return f"{socket.gethostname()}:{port}" if host in ("0.0.0.0", "[::]") else address


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d+){3}", host) is not None


def _token_file(of_drain: str, of_workers: str) -> bytes:
    """Both of one owner, whose runs no other run's token may write in the same file. The drain's may write
    all: it also sends what earlier runs have left in the spool."""
    owner = f"run-{secrets.token_hex(8)}"
    return f"{owner} {of_drain} *\n{owner} {of_workers}\n".encode()


def _database_of(logging_endpoint: str | None) -> str:
    """The file of a SQLAlchemy URL, three slashes and a relative path or four and an absolute one; or the
    URL itself where it is PostgreSQL's."""
    if is_postgres_url(logging_endpoint or ""):
        return str(logging_endpoint)
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", logging_endpoint or "")
    if match is None or match[1] == ":memory:":
        raise ValueError(
            f"start monitoring with logging_endpoint={logging_endpoint!r}: CollectorHub writes SQLite and "
            "PostgreSQL; use sqlite:///relative/monitoring.db, sqlite:////absolute/monitoring.db or "
            "postgresql://user@host/database"
        )
    return os.path.abspath(match[1])


def _without_secrets(database: str) -> str:
    """The name of a database, without a password and options that a URL may have."""
    if not is_postgres_url(database):
        return database
    return re.sub(r"^([^:]+://[^:@/]*):.*@", r"\1@", database.partition("?")[0])
