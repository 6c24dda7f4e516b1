"""attach: records an executor that no DataFlowKernel drives, as the one in Globus Compute's engine."""

from __future__ import annotations

import datetime
import getpass
import platform
import socket
import threading
import uuid
from concurrent.futures import Future
from typing import Any

from parsl.executors import HighThroughputExecutor
from parsl.monitoring.message_type import MessageType
from parsl.utils import get_version

from parsl_collector._log import logger_of
from parsl_collector._queue import ExecutorQueue
from parsl_collector.hub import CollectorHub

logger = logger_of(__name__)

_HOOKED = ("start", "submit_payload", "shutdown")
"""Methods of the executor around which an attachment does what a DataFlowKernel does there."""


def attach(
    executor: HighThroughputExecutor, *, run_id: str | None = None, hub: CollectorHub | None = None
) -> Attachment:
    """Records an executor from its start() to the end of its shutdown(). To be called before start(), and
    before a program that becomes a daemon does so: nothing runs until then.

    Parameters
    ----------
    executor : HighThroughputExecutor
        One that no DataFlowKernel has: of Globus Compute that is `engine.executor`. What is recorded is a
        run of its own, in whose directory, the executor's run_dir, are logs and spool.
    run_id : str, optional
        The run in the database. Default: the executor's run_id, or a new one.
    hub : CollectorHub, optional
        Where the messages go, for this executor alone. Its workflow_name and workflow_version name the run;
        resource_monitoring_* mean nothing here. Default: CollectorHub(), which writes monitoring.db in the
        executor's run_dir.

    Raises TypeError for what is no HighThroughputExecutor, and ValueError for one that has been started or is
    recorded already. What keeps the collector from starting is raised by executor.start().
    """
    if not isinstance(executor, HighThroughputExecutor):
        inner = getattr(executor, "executor", None)
        hint = "its .executor" if isinstance(inner, HighThroughputExecutor) else "one"
        kind = type(executor).__name__
        raise TypeError(f"attach to {kind}: it is no HighThroughputExecutor; attach to {hint}")
    if executor.interchange_proc is not None:
        raise ValueError(
            f"attach to executor {executor.label!r}: it has been started, which is when it opens a way for "
            "its messages; call attach before start()"
        )
    if executor.monitoring_messages is not None or _is_attached(executor):
        raise ValueError(f"attach to executor {executor.label!r}: it is recorded already; attach once")
    return Attachment(executor, run_id or executor.run_id or str(uuid.uuid4()), hub or CollectorHub())


class Attachment:
    """What `attach` returns. As a context manager it detaches at its end."""

    def __init__(self, executor: HighThroughputExecutor, run_id: str, hub: CollectorHub) -> None:
        self.run_id = run_id
        self._executor = executor
        self._hub = hub
        self._detaching = threading.Lock()
        self._is_recording = False
        self._is_shut_down = False
        self._engines_queue: Any = None
        self._counting = threading.Lock()
        self._completed = 0
        self._failed = 0
        executor.run_id = run_id
        self._originals = {name: getattr(executor, name) for name in _HOOKED}
        for name in _HOOKED:
            setattr(executor, name, getattr(self, f"_{name}"))

    def detach(self) -> None:
        """Records the end of the run, and returns when everything is committed, at once when that is so;
        else as CollectorHub.close. The executor's shutdown() has done it already: of an executor that still
        runs the rest goes unrecorded, and is kept by its interchange in memory."""
        with self._detaching:  # a second call waits for the first
            for name, original in self._originals.items():
                setattr(self._executor, name, original)
            if not self._is_recording:
                return
            self._is_recording = False
            if not self._is_shut_down:
                self._cut_off()
            self._hub.resource_msgs.put((MessageType.WORKFLOW_INFO, self._end_of_run()))
            self._hub.close()

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.detach()

    # In place of the executor's methods.

    def _start(self) -> None:
        executor, hub = self._executor, self._hub
        act = f"start executor {executor.label!r} of run {self.run_id}"
        if executor.run_id != self.run_id:
            raise ValueError(
                f"{act}: a DataFlowKernel has made it part of run {executor.run_id}; use "
                "Config(monitoring=CollectorHub(...)) in place of attach"
            )
        if hub.monitoring_hub_active:
            raise ValueError(f"{act}: its hub records another run; give each executor a hub of its own")
        hub.start(executor.run_dir, executor.run_dir, executor.log_config)
        self._is_recording = True
        try:
            hub.resource_msgs.put((MessageType.WORKFLOW_INFO, self._start_of_run()))
            assert executor.remote_monitoring_radio is not None, "htex always has a radio"
            executor.monitoring_receiver = executor.remote_monitoring_radio.create_receiver(
                run_dir=executor.run_dir, resource_msgs=hub.resource_msgs
            )
            # Globus Compute's engine, when it audits, has put its own queue there since.
            self._engines_queue = executor.monitoring_messages
            executor.monitoring_messages = ExecutorQueue(hub.resource_msgs, self._engines_queue)
            self._originals["start"]()
        except BaseException:
            self.detach()
            raise

    def _submit_payload(self, context: dict, buffer: bytes) -> Future:
        future = self._originals["submit_payload"](context, buffer)
        future.add_done_callback(self._count)
        return future

    def _shutdown(self, *args: Any, **kwargs: Any) -> None:
        self._originals["shutdown"](*args, **kwargs)
        if self._is_recording:
            self._is_shut_down = True
            self.detach()

    def _count(self, future: Future) -> None:
        is_failed = future.cancelled() or future.exception() is not None
        with self._counting:
            self._failed += is_failed
            self._completed += not is_failed

    def _cut_off(self) -> None:
        """Ends what would put messages into a queue that nobody reads, and then wait for a reader."""
        executor = self._executor
        logger.warning(
            "monitoring: detached from executor %r before its shutdown: the rest of it is not recorded",
            executor.label,
        )
        executor.submit_monitoring_radio = None
        executor.monitoring_messages = self._engines_queue
        if executor.zmq_monitoring is not None:
            executor.zmq_monitoring.close()
            executor.zmq_monitoring = None
        if executor.monitoring_receiver is not None:
            executor.monitoring_receiver.shutdown()
            executor.monitoring_receiver = None

    def _start_of_run(self) -> dict[str, Any]:
        began = datetime.datetime.now()
        return {
            "run_id": self.run_id,
            "workflow_name": self._hub.workflow_name or self._executor.label,
            "workflow_version": self._hub.workflow_version or str(began.replace(microsecond=0)),
            "time_began": began,
            "rundir": self._executor.run_dir,
            "python_version": platform.python_version(),
            "parsl_version": get_version(),
            "user": getpass.getuser(),
            "host": socket.gethostname(),
            "tasks_completed_count": 0,
            "tasks_failed_count": 0,
        }

    def _end_of_run(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "time_completed": datetime.datetime.now(),
            "rundir": self._executor.run_dir,
            "tasks_completed_count": self._completed,
            "tasks_failed_count": self._failed,
        }


def _is_attached(executor: HighThroughputExecutor) -> bool:
    return isinstance(getattr(executor.start, "__self__", None), Attachment)
