"""What runs around an app on its worker, in place of Parsl's `monitor_wrapper`.

Parsl's makes a new nested function for each task, which is serialized by value each time; here one object
stands for an app on an executor, so that Parsl's caches of serialized callables work as they do without
monitoring. And where the node has an agent, no monitor is forked: the agent samples.
"""

from __future__ import annotations

import datetime
import functools
import inspect
import os
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from parsl.dataflow import dflow
from parsl.monitoring.message_type import MessageType
from parsl.monitoring.remote import monitor_wrapper as parsls_wrapper

from parsl_collector._log import logger_of
from parsl_collector.radio import CollectorRadio

logger = logger_of(__name__)

_KNOWN_PARAMETERS = (
    "f",
    "args",
    "kwargs",
    "x_try_id",
    "x_task_id",
    "radio_config",
    "run_id",
    "logging_level",
    "sleep_dur",
    "monitor_resources",
    "run_dir",
)
"""Of Parsl's monitor_wrapper, all of them by name (parsl 2026.10.26)."""

_TASK_ID = "_parsl_monitoring_task_id"
_TRY_ID = "_parsl_monitoring_try_id"
"""How Parsl hands both to the worker, among the app's keyword arguments."""

MOST_APPS = 128
"""Callables that are kept, as many as Parsl's cache of serialized ones has."""


class MonitoredApp:
    """An app that says when it starts and ends. Called with the app's arguments and Parsl's two ids."""

    def __init__(
        self,
        f: Callable[..., Any],
        radio_config: CollectorRadio,
        run_id: str,
        logging_level: int,
        sleep_dur: float,
        monitor_resources: bool,
        run_dir: str,
    ) -> None:
        functools.update_wrapper(self, f)  # executors ask for its name
        self._f = f
        self._radio = radio_config
        self._run_id = run_id
        self._interval = sleep_dur if monitor_resources and sleep_dur > 0 else None
        """Seconds between samples; None when there are none."""
        self._parsls = {"logging_level": logging_level, "run_dir": run_dir}
        """What only Parsl's own wrapper needs."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        sender = self._radio.create_sender()
        # In the process that has the hub's queue there is no agent to ask.
        if self._interval is not None and not getattr(sender, "is_sampled", lambda: False)():
            return self._call_as_parsl_does(args, kwargs)
        said = {
            "run_id": self._run_id,
            "try_id": kwargs.pop(_TRY_ID),
            "task_id": kwargs.pop(_TASK_ID),
            "hostname": platform.node(),
            "block_id": os.environ.get("PARSL_WORKER_BLOCK_ID"),
        }
        started = {**said, "first_msg": True, "last_msg": False, "timestamp": datetime.datetime.now()}
        if self._interval is not None:
            started["process_pid"] = os.getpid()
            started["resource_monitoring_interval"] = self._interval
        sender.send((MessageType.WORKER_TASK_INFO, started))
        try:
            return self._f(*args, **kwargs)
        finally:
            ended = {**said, "first_msg": False, "last_msg": True, "timestamp": datetime.datetime.now()}
            sender.send((MessageType.WORKER_TASK_INFO, ended))

    def _call_as_parsl_does(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wrapped, args, kwargs = parsls_wrapper(
            f=self._f,
            args=args,
            kwargs=kwargs,
            x_try_id=kwargs.pop(_TRY_ID),
            x_task_id=kwargs.pop(_TASK_ID),
            radio_config=self._radio,
            run_id=self._run_id,
            sleep_dur=self._interval,
            monitor_resources=True,
            **self._parsls,
        )
        return wrapped(*args, **kwargs)


def monitor_wrapper(
    *, f: Any, args: Sequence[Any], kwargs: Mapping[str, Any], x_try_id: int, x_task_id: int, **constant: Any
) -> tuple[Callable[..., Any], Sequence[Any], dict[str, Any]]:
    """As Parsl's, with one callable for an app on an executor."""
    try:
        wrapped = _wrapped(f, **constant)
    except TypeError:  # of no use in a cache
        wrapped = _wrapped.__wrapped__(f, **constant)
    return wrapped, args, {**kwargs, _TASK_ID: x_task_id, _TRY_ID: x_try_id}


@functools.lru_cache(MOST_APPS)
def _wrapped(f: Callable[..., Any], *, radio_config: Any, **constant: Any) -> Callable[..., Any]:
    if isinstance(radio_config, CollectorRadio):
        return MonitoredApp(f, radio_config, **constant)
    # Workers may not have this package. Parsl's own callable knows nothing of a single task either, so one
    # for all serves as well.
    nothing: dict[str, Any] = {}
    return parsls_wrapper(
        f=f, args=(), kwargs=nothing, x_try_id=0, x_task_id=0, radio_config=radio_config, **constant
    )[0]


_lock = threading.Lock()
_users = 0


def install(module: ModuleType = dflow) -> bool:
    """Puts `monitor_wrapper` in the place of Parsl's, until each call has had its `uninstall`. Returns False,
    and leaves Parsl's, when that has not the parameters that are known here."""
    global _users
    with _lock:
        if _users == 0:
            if module.monitor_wrapper is not parsls_wrapper or not _is_known(parsls_wrapper):
                logger.warning(
                    "monitoring: this Parsl's monitor_wrapper is not the one that parsl-collector knows, so "
                    "it is used as it is: a monitor is forked for each task"
                )
                return False
            module.monitor_wrapper = monitor_wrapper
        _users += 1
        return True


def uninstall(module: ModuleType = dflow) -> None:
    """Takes it out again when nobody needs it any more."""
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            _wrapped.cache_clear()
            if module.monitor_wrapper is monitor_wrapper:
                module.monitor_wrapper = parsls_wrapper


def _is_known(wrapper: Callable[..., Any]) -> bool:
    parameters = inspect.signature(wrapper).parameters.values()
    return tuple(p.name for p in parameters) == _KNOWN_PARAMETERS and all(
        p.kind is p.KEYWORD_ONLY for p in parameters
    )
