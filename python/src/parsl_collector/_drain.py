"""The drain: a process that takes everything out of the hub's queue and sends it to the collector.

A process of its own, as Parsl's database manager is: encoding in the submit process would hold up its tasks,
and it outlives that process long enough to send what is in the queue. gRPC is only here, so that the submit
process, which runs the user's code and forks, has none of its threads.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from parsl.log_utils import set_file_logger
from parsl.logconfigs.base import oneshot_initialize_logging
from parsl.process_loggers import wrap_with_logs
from parsl.utils import setproctitle

from parsl_collector._agent import IDLE_S
from parsl_collector._channel import get_status, import_grpc, metadata_of, open_channel
from parsl_collector._collector_process import CollectorCommand, CollectorProcess, CollectorStartError
from parsl_collector._encode import encode, unreadable, unreadable_text
from parsl_collector._filesystem_road import files_in
from parsl_collector._log import logger_of
from parsl_collector._outbox import Gathering
from parsl_collector._queue import Unreadable, messages_in
from parsl_collector._road import RoadSpec
from parsl_collector._sender import MessageSender

logger = logger_of(__name__)

HEALTH_INTERVAL_S = 5.0
"""How often the collector is asked whether it can write."""

HEARTBEAT_S = 30.0
"""Silence after which the collector is told that the run goes on: after 90 s it would take it for lost."""

_GATHERING = Gathering(most_s=0.75, pause_s=0.25, messages=10_000, size=1024 * 1024)
"""A transaction costs the collector 1.5 to 3 ms of CPU beside its rows while the run is young, on the cores
of the tasks. So a burst of tasks comes first, as at an agent (`src/agent/agent.ts`), and a row is still seen
within a second. The end of a run does not wait for it."""

ORPHAN_TIMEOUT_S = 10.0
"""Longest that the drain lives on when the submit process is gone."""

OTHERS_QUIET_S = IDLE_S + 4.0
"""At the end of a run, streams of other senders are waited for until nothing has come for so long: longer
than an agent without workers stays before its last word, on a busy machine too, where it steps back."""

OTHERS_TIMEOUT_S = 10.0
"""And so long at most."""

QUEUE_QUIET_S = 2.0
"""Where nobody is left to put the end of the run into the queue: silence after which it is empty."""

MOST_FAILURES = 1000
"""Messages in a row that cannot be unpickled before it is the queue itself that is taken for broken."""

_LATE_S = 0.05
"""Longest that something is still on its way in the queue behind the end marker."""


class EndOfRun:
    """The last thing in the queue. No message of Parsl's can be taken for it."""


class CloseBy(NamedTuple):
    """Said by the hub on the control pipe, beside EndOfRun: that one may be behind more than can be sent."""

    timeout: float
    """Seconds without an acknowledgement after which the drain gives up what is left."""


class Progress(NamedTuple):
    """Said to the hub while it waits for the end, so that it knows that it does not wait in vain."""

    acknowledged: int


class Trouble(NamedTuple):
    """Said to the hub when recording is impaired, and again with None when it is not any more."""

    reason: str | None
    lost: int
    """Messages that were given up so far."""


class Report(NamedTuple):
    """What became of a run's messages, in the end."""

    stored: int
    rejected: int
    kept: int
    """Messages that are in the spool."""
    lost: int
    """Messages that their sender gave up."""
    missing: int
    """Messages that are known to exist and are neither stored nor kept nor given up."""
    cut_off: int
    """Senders that have not said their last word: nobody knows whether they had more to say."""
    problem: str
    """Why not all is stored; empty when all is."""

    @property
    def is_complete(self) -> bool:
        return not self.kept and not self.lost and not self.missing


class Settings(NamedTuple):
    """What the drain is started with."""

    run_dir: str
    logging_level: int
    log_config: Any
    collector: CollectorCommand | None
    """The run's own collector; None when it is not the run's."""
    spool: str
    """Directory for what the collector does not take."""
    messages: str | None
    """Directory of the filesystem radio, by which workers may have left something; None without one."""
    is_successor: bool = False
    """Whether a drain before this one was killed."""


@wrap_with_logs
def drain(resource_msgs: Any, control: Pipe, settings: Settings) -> None:
    """Main function of the process. The hub says the way to the collector first. Ends after EndOfRun and
    CloseBy, or when the submit process is gone."""
    # Ctrl-C is for the program, whose end is still to be stored.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    ended, end = multiprocessing.Pipe(duplex=False)
    # From multiprocessing, when the program ends without having ended the hub.
    signal.signal(signal.SIGTERM, lambda signum, frame: end.send(None))
    setproctitle("parsl: monitoring drain")
    if settings.log_config:
        oneshot_initialize_logging(
            log_config=settings.log_config, log_dir=pathlib.Path(settings.run_dir), log_name="collector_drain"
        )
    else:
        set_file_logger(os.path.join(settings.run_dir, "collector_drain.log"), level=settings.logging_level)
    if settings.is_successor:
        _release_lock_of_predecessor(resource_msgs)
    import_grpc()  # while the collector starts
    try:
        way = control.recv()
    except EOFError:
        logger.info("The submit process ended before its collector had started")
        return
    _Drain(resource_msgs, control, settings, way, ended, end).run()
    # All is said and closed. To take the interpreter apart, with Parsl and gRPC in it, takes 0.4 s of CPU,
    # and the closing hub would wait for it.
    logging.shutdown()
    os._exit(0)


def _release_lock_of_predecessor(resource_msgs: Any) -> None:
    """A process that is killed while it waits in Queue.get keeps the lock that readers take. There is one
    reader, so whoever is here may release it."""
    try:
        resource_msgs._rlock.release()
    except ValueError:
        pass  # it was killed in the moment when it did not hold it


class _Drain:
    def __init__(
        self, resource_msgs: Any, control: Pipe, settings: Settings, way: RoadSpec, ended: Pipe, end: Pipe
    ) -> None:
        self._queue = resource_msgs
        self._control = control
        self._settings = settings
        self._way = way
        # No hostname: what is drained was said by many hosts, and one that is missing is not this one.
        self._sender = MessageSender([way], heartbeat=HEARTBEAT_S, gathering=_GATHERING, spool=settings.spool)
        self._read_at = time.monotonic()
        self._ended, self._end = ended, end
        self._patience: float | None = None
        """Seconds without an acknowledgement after which what is left is given up; None before the end."""
        self._trouble: str | None = None

    def run(self) -> None:
        # A thread reads: a submit process that is killed in the middle of a message leaves a reader waiting
        # for its rest for ever.
        threading.Thread(target=self._read, name="parsl-collector-read", daemon=True).start()
        parent = multiprocessing.parent_process()
        assert parent is not None
        progress = -1
        while True:
            ready = wait([self._ended, self._control, parent.sentinel], self._patience or HEALTH_INTERVAL_S)
            if parent.sentinel in ready:
                self._end_as_orphan()
                return
            if self._control in ready:
                self._hear()
            if self._ended in ready:
                break
            if not ready and self._patience is None:
                self._look_after_health()
            elif not ready:
                # What is read is progress too: it is on its way to the spool where nobody takes it.
                counts = self._sender.counts
                if counts.given + counts.acknowledged == progress:
                    break
                progress = counts.given + counts.acknowledged
                self._say(Progress(counts.acknowledged))
        if self._patience is None and self._control.poll():
            self._hear()
        if self._patience is None:  # told by SIGTERM
            self._patience = QUEUE_QUIET_S
            self._await_silence(time.monotonic() + ORPHAN_TIMEOUT_S)
        self._end_in_good_order(self._patience)

    def _hear(self) -> None:
        try:
            said = self._control.recv()
        except (EOFError, OSError):
            return  # the submit process is gone; its sentinel says so too
        if isinstance(said, CloseBy):
            self._patience = said.timeout

    def _read(self) -> None:
        failures = 0
        while failures < MOST_FAILURES:
            try:
                batch = self._queue.get()
            except Exception as e:  # unpickling may raise anything; the queue goes on with the next message
                failures += 1
                logger.exception("A message cannot be unpickled")
                self._sender.add(unreadable(f"it cannot be unpickled: {type(e).__name__}: {e}", None))
                continue
            failures = 0
            self._read_at = time.monotonic()
            if self._take(batch):
                self._sweep()
                break
        self._end.send(None)

    def _take(self, batch: Any) -> bool:
        """Returns whether the end of the run is in it."""
        is_end = False
        for message in messages_in(batch):
            if isinstance(message, EndOfRun):
                is_end = True
            elif isinstance(message, Unreadable):
                logger.error("A message is unreadable: %s", message.reason)
                self._sender.add(unreadable_text(message.reason, message.text))
            else:
                for encoded in encode(message):
                    self._sender.add(encoded)
        return is_end

    def _sweep(self) -> None:
        """What other processes put into the queue in the moment of the end."""
        while True:
            try:
                batch = self._queue.get(timeout=_LATE_S)
            except Exception:  # Empty, or the last thing of all cannot be unpickled
                return
            self._take(batch)

    def _look_after_health(self) -> None:
        trouble = self._sender.trouble
        if trouble is None:
            grpc = import_grpc()
            try:
                with open_channel(self._way) as channel:
                    status = get_status(channel, self._sender.run_id, 2.0, metadata_of(self._way))
                    trouble = status.blocked_reason or None
            except grpc.RpcError as e:
                trouble = f"it does not answer: {e.details()}"
        if (trouble is None) != (self._trouble is None):
            self._say(Trouble(trouble, self._sender.counts.lost))
        self._trouble = trouble

    def _end_in_good_order(self, patience: float) -> None:
        sender, adoption = self._sender, self._sender.adoption
        assert adoption is not None
        self._wait(lambda: sender.flush(patience), lambda: sender.counts.acknowledged)
        if sender.is_done:
            # What a drain before this one, or an earlier run in this directory, could not send.
            self._wait(lambda: adoption.wait(patience), lambda: adoption.acknowledged)
        complete = sender.is_done and sender.close(patience)
        sender.close(0)
        counts = sender.counts
        logger.info("%d of %d messages of the queue acknowledged", counts.acknowledged, counts.given)
        if complete and adoption.is_over:
            self._say(_final_report(self._way, sender, self._settings.messages))
        else:
            problem = f"the collector acknowledged nothing for {patience:g} s"
            if sender.trouble is not None:
                problem = f"the collector cannot be reached ({sender.trouble})"
            self._say(_own_report(sender, problem))

    def _wait(self, is_done: Callable[[], bool], progress: Callable[[], int]) -> None:
        """Waits for `is_done`, which waits itself, as long as there is progress, and lets the hub know."""
        is_going_on = True
        while is_going_on:
            before = progress()
            is_going_on = not is_done() and progress() != before
            self._say(Progress(progress()))

    def _await_silence(self, deadline: float) -> None:
        """Waits until the queue is empty, as far as can be known."""
        while time.monotonic() - self._read_at < QUEUE_QUIET_S and time.monotonic() < deadline:
            time.sleep(0.1)

    def _say(self, what: Progress | Trouble | Report) -> None:
        try:
            self._control.send(what)
        except OSError:
            logger.info("The submit process is gone: nobody to tell %s", what)

    def _end_as_orphan(self) -> None:
        """The submit process was killed. Its collector ends too, with what it was sent; what is still in the
        queue goes to a new one on the same file and address."""
        logger.warning("The submit process is gone; sending what it left")
        deadline = time.monotonic() + ORPHAN_TIMEOUT_S
        self._await_silence(deadline)
        collector = None
        command = self._settings.collector
        while command and not self._sender.is_done and collector is None and time.monotonic() < deadline:
            try:
                collector = CollectorProcess(command, self._way.address)
            except (CollectorStartError, OSError) as e:
                logger.info("The collector cannot be started yet: %s", e)
                time.sleep(0.1)
        self._sender.close(max(0.0, deadline - time.monotonic()))
        if collector is not None:
            collector.stop()
        kept = self._sender.counts.spooled
        if kept > 0:
            logger.warning("%d messages are kept in %s", kept, self._settings.spool)


def _final_report(way: RoadSpec, sender: MessageSender, messages: str | None) -> Report:
    """The ledger's word for the run, once other senders (workers) have come to their end."""
    grpc = import_grpc()
    deadline = time.monotonic() + OTHERS_TIMEOUT_S
    heard, since = None, time.monotonic()
    with open_channel(way) as channel:
        while True:
            try:
                status = get_status(channel, sender.run_id, OTHERS_TIMEOUT_S, metadata_of(way))
            except grpc.RpcError as e:
                return _own_report(sender, f"the collector does not answer: {e.details()}")
            now = time.monotonic()
            if status.blocked_reason:
                if now > deadline:
                    return _own_report(sender, f"the database cannot be read: {status.blocked_reason}")
                time.sleep(0.02)
                continue
            if status.total != heard:
                heard, since = status.total, now
            left = 0 if messages is None else files_in(messages)
            others_open = left > 0 or any(
                not other.closed and _may_speak(other, status.open_streams) for other in status.senders
            )
            if not others_open or now - since > OTHERS_QUIET_S or now > deadline:
                break
            time.sleep(0.02)
        if all(known.sender_id != sender.sender_id for known in status.senders):
            # Its first message named no run, so the ledger has it under none.
            everything = get_status(channel, "", OTHERS_TIMEOUT_S, metadata_of(way))
            status.senders.extend(
                known for known in everything.senders if known.sender_id == sender.sender_id
            )
    problem = f"{left} files are left in {messages}" if left > 0 else ""
    counts = [known.counts for known in status.senders]
    missing = sum(count.missing for count in counts)
    return Report(
        stored=sum(count.stored for count in counts),
        rejected=sum(count.rejected for count in counts),
        kept=0,
        lost=sum(count.lost for count in counts),
        missing=missing,
        cut_off=sum(not known.closed for known in status.senders),
        problem=problem or ("they were sent and did not come" if missing else ""),
    )


def _may_speak(sender: Any, open_streams: int) -> bool:
    """Whether something may be on its way of a sender (a SenderStatus) that has not said its last word."""
    # One whose stream is closed was killed, or comes again, and a file that is not there was taken.
    return any(by.radio == "udp" for by in sender.radios) or open_streams > 0


def _own_report(sender: MessageSender, problem: str) -> Report:
    """What the drain knows by itself, without the other senders."""
    counts = sender.counts
    adopted = 0 if sender.adoption is None else sender.adoption.messages_left()
    return Report(
        stored=counts.acknowledged - counts.rejected,
        rejected=counts.rejected,
        kept=counts.spooled + adopted,
        lost=counts.lost,
        missing=counts.given - counts.acknowledged - counts.spooled - counts.lost,
        cut_off=0,  # of others it knows nothing
        problem=problem,
    )
