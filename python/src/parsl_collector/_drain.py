"""The drain: a process that takes everything out of the hub's queue and sends it to the collector.

A process of its own, as Parsl's database manager is: encoding in the submit process would hold up its tasks,
and it outlives that process long enough to send what is in the queue.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import platform
import queue
import signal
import time
from multiprocessing.connection import Connection as Pipe
from typing import Any, NamedTuple

from parsl.log_utils import set_file_logger
from parsl.process_loggers import wrap_with_logs
from parsl.utils import setproctitle

from parsl_collector._encode import encode, unreadable
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._sender import CHANNEL_OPTIONS, SERVICE, MessageSender

logger = logging.getLogger(__name__)

ORPHAN_TIMEOUT_S = 10.0
"""Longest that the drain lives on when the submit process is gone."""

OTHERS_QUIET_S = 1.0
"""At the end of a run, streams of other senders are waited for until nothing has come for so long."""


class EndOfRun:
    """The last thing in the queue. No message of Parsl's can be taken for it."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        """Seconds that the drain may take to send what is left."""


class Report(NamedTuple):
    """What became of a run's messages, in the end."""

    stored: int
    rejected: int
    missing: int
    """Messages that are known to exist and did not come."""
    problem: str
    """Why something is missing; empty when nothing is."""


@wrap_with_logs
def drain(resource_msgs: Any, address: str, report: Pipe, run_dir: str, logging_level: int) -> None:
    """Main function of the process. Ends after EndOfRun, or when the submit process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program, whose end is still to be stored
    setproctitle("parsl: monitoring drain")
    set_file_logger(os.path.join(run_dir, "monitoring_drain.log"), level=logging_level)
    sender = MessageSender(address, hostname=platform.node())
    deadline = time.monotonic() + _take_all(resource_msgs, sender)
    complete = sender.close(max(0.1, deadline - time.monotonic()))
    counts = sender.counts
    logger.info("%d of %d messages of the submit process acknowledged", counts.acknowledged, counts.added)
    try:
        report.send(_final_report(address, sender, complete, deadline))
    except OSError:
        logger.info("The submit process is gone: nobody to report to")


def _take_all(resource_msgs: Any, sender: MessageSender) -> float:
    """Sends what comes until the end. Returns how many seconds are left for what is not acknowledged."""
    parent = multiprocessing.parent_process()
    end: float | None = None
    while True:
        try:
            # What came before the end is in the pipe by then; the short wait is for other processes' feeders.
            message = resource_msgs.get(timeout=1.0 if end is None else 0.02)
        except queue.Empty:
            if end is not None:
                return end
            if parent is not None and not parent.is_alive():
                logger.warning("The submit process is gone; sending what it left")
                end = ORPHAN_TIMEOUT_S
            continue
        except (EOFError, OSError):
            logger.exception("The queue is broken")
            return ORPHAN_TIMEOUT_S
        except Exception as e:  # unpickling may raise anything; the queue goes on with the next message
            logger.exception("A message cannot be unpickled")
            sender.add(unreadable(f"it cannot be unpickled: {type(e).__name__}: {e}", None))
            continue
        if isinstance(message, EndOfRun):
            end = message.timeout
            continue
        for encoded in encode(message):
            sender.add(encoded)


def _final_report(address: str, sender: MessageSender, complete: bool, deadline: float) -> Report:
    """The ledger's word for the run, once other senders (workers) have come to their end."""
    counts = sender.counts
    if not complete:
        return Report(
            counts.acknowledged - counts.rejected,
            counts.rejected,
            counts.added - counts.acknowledged,
            f"the collector at {address} did not take them in time",
        )
    import grpc

    with grpc.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        ask = channel.unary_unary(
            SERVICE + "GetStatus",
            request_serializer=service_pb.GetStatusRequest.SerializeToString,
            response_deserializer=service_pb.GetStatusResponse.FromString,
        )
        heard, since = -1, time.monotonic()
        while True:
            try:
                status = ask(service_pb.GetStatusRequest(run_id=sender.run_id), timeout=5.0)
            except grpc.RpcError as e:
                return Report(
                    counts.acknowledged - counts.rejected, counts.rejected, 0, f"GetStatus: {e.details()}"
                )
            total = status.total
            now = time.monotonic()
            if total.stored + total.rejected != heard:
                heard, since = total.stored + total.rejected, now
            others_open = any(not sender.closed for sender in status.senders) and status.open_streams > 0
            if not others_open or now - since > OTHERS_QUIET_S or now > deadline:
                problem = "they were sent and did not come" if total.missing else ""
                return Report(total.stored, total.rejected, total.missing, problem)
            time.sleep(0.02)
