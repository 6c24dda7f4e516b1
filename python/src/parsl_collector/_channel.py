"""How this package speaks gRPC: the import, the options of a channel, the methods of the service."""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType
from typing import Any

from parsl_collector._log import logger_of
from parsl_collector._pb import collector_service_pb2 as pb
from parsl_collector._road import RoadSpec

logger = logger_of(__name__)

STREAM_MESSAGES = "/parsl_collector.v1.CollectorService/StreamMessages"
SUBSCRIBE = "/parsl_collector.v1.CollectorService/Subscribe"
_GET_STATUS = "/parsl_collector.v1.CollectorService/GetStatus"

_OPTIONS = [
    # gRPC's own retries keep what was sent on a long stream for ever; we resume by sequence.
    ("grpc.enable_retries", 0),
    # Clusters set http_proxy on compute nodes, and a proxy knows nothing of the collector.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A collector whose machine died is noticed, and a firewall keeps the connection.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Each attempt makes its own channel, which must not share a connection that is in backoff.
    ("grpc.use_local_subchannel_pool", 1),
]


_IMPORT_TIMEOUT_S = 10.0
"""Longest that a fork waits for gRPC to be imported; a slow shared filesystem takes seconds."""

_FORK_SUPPORT = "GRPC_ENABLE_FORK_SUPPORT"
"""gRPC's environment variable, which it reads when it is imported."""

_importing = threading.Lock()


def import_grpc() -> ModuleType:
    """gRPC, imported late: it costs 60 ms and 28 MB, which a process that sends nothing is spared."""
    # Unset, gRPC handles forks: it warns at each, and at times (1.85: about one in 8,000) crashes the process
    # that forks while a thread is in gRPC. 1 costs a second a fork. Our forked children never touch it.
    if "grpc" in sys.modules and _FORK_SUPPORT not in os.environ:
        logger.warning(
            "monitoring: gRPC was imported before parsl-collector could keep it from handling forks, so this "
            "process may crash if it forks; set %s=0 before the first import of grpc",
            _FORK_SUPPORT,
        )
    os.environ.setdefault(_FORK_SUPPORT, "0")
    with _importing:
        import grpc

    return grpc


def keep_forks_out_of_imports() -> None:
    """A child that is forked while a thread imports gRPC inherits the locks of half of what gRPC imports,
    and hangs when it imports one of those itself, as Parsl's monitor does. So a fork waits for the import, a
    tenth of a second. For a process that sends from a thread; a second call does nothing."""
    global _forks_wait
    if _forks_wait:
        return
    _forks_wait = True
    forking = threading.local()

    def hold() -> None:
        forking.holds = _importing.acquire(timeout=_IMPORT_TIMEOUT_S)

    def release() -> None:
        if forking.holds:
            _importing.release()

    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=release)


_forks_wait = False


def open_channel(way: RoadSpec) -> Any:
    """A new channel to the collector that the way leads to."""
    grpc, security = import_grpc(), way.security
    if security is None or not security.tls:
        return grpc.insecure_channel(way.address, options=_OPTIONS)
    options = list(_OPTIONS)
    if security.server_name is not None:
        options.append(("grpc.ssl_target_name_override", security.server_name))
    credentials = grpc.ssl_channel_credentials(security.ca, security.key, security.certificate)
    return grpc.secure_channel(way.address, credentials, options=options)


def metadata_of(way: RoadSpec) -> tuple[tuple[str, str], ...]:
    """What each call says of who makes it."""
    token = way.security.token if way.security is not None else None
    return () if token is None else (("authorization", f"Bearer {token}"),)


def get_status(
    channel: Any, run_id: str, timeout: float, metadata: tuple[tuple[str, str], ...] = ()
) -> pb.GetStatusResponse:
    """What the collector has of a run. Raises grpc.RpcError."""
    ask = channel.unary_unary(
        _GET_STATUS,
        request_serializer=pb.GetStatusRequest.SerializeToString,
        response_deserializer=pb.GetStatusResponse.FromString,
    )
    return ask(pb.GetStatusRequest(run_id=run_id), timeout=timeout, metadata=metadata)
