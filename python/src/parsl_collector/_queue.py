"""The hub's queue: what Parsl puts in, in several processes, for the drain to take out in another.

A plain multiprocessing.Queue wakes a thread for each message, which pickles it by itself. Here what comes
within a moment goes through it together: one wake-up for all, and what messages have in common, as the names
of their fields, is pickled once.
"""

from __future__ import annotations

import datetime
import multiprocessing.queues
import multiprocessing.reduction
import multiprocessing.util
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from parsl.dataflow.states import States
from parsl.monitoring.message_type import MessageType
from parsl.multiprocessing import SpawnContext

from parsl_collector._encode import text_of
from parsl_collector._priority import step_back

GATHER_S = 0.1
"""Least time between two batches, in seconds. A message after a silence goes at once. A batch costs 0.2 ms of
CPU, in a process whose other threads wait meanwhile."""

_MOST_IN_BATCH = 1000
"""Messages. The reader takes a batch as a whole into its memory."""


class Unreadable(NamedTuple):
    """What comes out in place of a message that could not be pickled or unpickled."""

    reason: str
    text: str
    """For a person: what it was."""


class MessageQueue(multiprocessing.queues.Queue):
    """A queue whose `get` gives batches, to be taken apart by `messages_in`. One reader."""

    def __init__(self) -> None:
        super().__init__(ctx=SpawnContext)

    def __setstate__(self, state: Any) -> None:
        """In a process that is given the queue: it records, as the drain does and Parsl's own receivers."""
        super().__setstate__(state)
        step_back(os.getpid())

    def _reset(self, after_fork: bool = False) -> None:
        """Called by Queue wherever one begins: here, in a process that is given one, in a forked child."""
        super()._reset(after_fork)
        self._gathered: deque[Any] = deque()
        self._has_gathered = threading.Event()
        self._handing_on = threading.Lock()
        self._starting = threading.Lock()
        self._gatherer: threading.Thread | None = None
        self._packages: dict[Any, Any] = {}

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        """Takes a message, or what the interchange has gathered (`_interchange`); never waits. Raises
        ValueError when the queue is closed."""
        if self._closed:
            raise ValueError("put a message: the queue is closed")
        if type(obj) is tuple and len(obj) == 2 and obj[0] is MessageType.NODE_INFO and type(obj[1]) is list:
            self._gathered.extend((obj[0], body) for body in obj[1])
        else:
            self._gathered.append(obj)
        if not self._has_gathered.is_set():
            if self._gatherer is None:
                self._start_gatherer()
            self._has_gathered.set()

    def close(self) -> None:
        """Hands on what was put, and takes no more."""
        self._hand_on()
        super().close()

    def _start_gatherer(self) -> None:
        with self._starting:
            if self._gatherer is not None:
                return
            # Before Queue's own end (priority 10), after which it takes nothing.
            multiprocessing.util.Finalize(self, self._hand_on, exitpriority=20)
            self._gatherer = threading.Thread(target=self._gather, name="parsl-collector-queue", daemon=True)
            self._gatherer.start()

    def _gather(self) -> None:
        while not self._closed:
            self._has_gathered.wait()
            self._has_gathered.clear()
            self._hand_on()
            time.sleep(GATHER_S)

    def _hand_on(self) -> None:
        with self._handing_on:  # in the order of the calls
            # What is there now: a program that goes on putting may be as fast as this, and would have no end.
            left = len(self._gathered)
            while left > 0 and not self._closed:
                batch = [self._prepared(self._gathered.popleft()) for _ in range(min(left, _MOST_IN_BATCH))]
                left -= len(batch)
                super().put(batch)

    def _prepared(self, message: Any) -> Any:
        """What goes into a batch: the message itself where that can neither fail to be pickled nor to be
        unpickled, and else its pickle, so that it costs no other message."""
        if not (type(message) is tuple and len(message) == 2 and type(message[0]) is MessageType):
            return _alone(message)
        kind, body = message
        if kind is MessageType.NODE_INFO and type(body) is dict:
            body = self._without_known_packages(body)
            message = (kind, body)
        return message if _is_plain(body) else _alone(message)

    def _without_known_packages(self, body: dict[str, Any]) -> dict[str, Any]:
        """A manager's list of all that is installed, 1 kB, comes with each of its messages, which are two a
        task: it goes on when it is new."""
        packages, manager = body.get("packages"), body.get("uid")
        if packages is None or type(manager) is not str:
            return body
        if self._packages.get(manager) != packages:
            self._packages[manager] = packages
            return body
        return {name: value for name, value in body.items() if name != "packages"}


class ExecutorQueue(multiprocessing.queues.Queue):
    """What an executor without a DataFlowKernel puts its messages into: the hub's queue, and with it that of
    the executor's owner, who reads it by this one. None is the end of that reader, and no message."""

    def __init__(
        self, messages: multiprocessing.queues.Queue, owners: multiprocessing.queues.Queue | None
    ) -> None:
        self.__setstate__((messages, owners))

    def put(self, obj: Any, block: bool = True, timeout: float | None = None) -> None:
        if obj is not None:
            self._messages.put(obj)
        if self._owners is not None:
            self._owners.put(obj, block, timeout)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        assert self._owners is not None, "the hub's queue is read by its drain"
        return self._owners.get(block, timeout)

    def __getstate__(self) -> tuple[multiprocessing.queues.Queue, multiprocessing.queues.Queue | None]:
        return self._messages, self._owners

    def __setstate__(
        self, state: tuple[multiprocessing.queues.Queue, multiprocessing.queues.Queue | None]
    ) -> None:
        self._messages, self._owners = state


def messages_in(batch: Iterable[Any]) -> Iterator[Any]:
    """The messages of a batch as they were put, or Unreadable."""
    for item in batch:
        if not isinstance(item, _Alone):
            yield item
            continue
        try:
            # From a pipe of this run's own processes, which can do all that a pickle can.
            message = pickle.loads(item.pickled)  # noqa: S301
        except Exception as e:  # unpickling may raise anything
            message = Unreadable(f"it cannot be unpickled: {type(e).__name__}: {e}", text_of(None))
        yield message


class _Alone(NamedTuple):
    pickled: bytes


def _alone(message: Any) -> _Alone | Unreadable:
    try:
        return _Alone(bytes(multiprocessing.reduction.ForkingPickler.dumps(message)))
    except Exception as e:  # pickling may raise anything
        return Unreadable(f"it cannot be pickled: {type(e).__name__}: {e}", text_of(message))


_SIMPLE = frozenset((str, int, float, bool, type(None), bytes, States))
"""States is Parsl's, in each of its messages of a task: pickled by its name, which the reader has too."""


def _is_plain(value: Any) -> bool:
    """Whether a value is made of Python's own types and States alone: those have no code that could raise."""
    kind = type(value)
    if kind in _SIMPLE:
        return True
    if kind is dict:
        return all(map(_is_plain, value.values())) and all(type(key) is str for key in value)
    if kind is list or kind is tuple:
        return all(map(_is_plain, value))
    return kind is datetime.datetime and value.tzinfo is None
