"""How what a source has gets to the collector: by one route after the other, until all is sent.

It knows nothing of messages: a source says what is to be sent, and hears what became of it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from parsl_collector._log import logger_of
from parsl_collector._pb import envelope_pb2 as pb

logger = logger_of(__name__)

MOST_IN_FLIGHT = 8
"""Envelopes that wait for their acknowledgement at once. More would only wait in the collector."""

MOST_UNANSWERED = 100_000
"""The same by a route that takes over what it is given; the sender's buffer is the bound."""

FIRST_BACKOFF_S = 0.05
MOST_BACKOFF_S = 5.0

FALLBACK_AFTER_S = 10.0
"""A route that has failed for so long gives way to the next."""

PROBE_EVERY_S = 5.0
"""How often the first route is tried again meanwhile."""


class Source(Protocol):
    """What a link sends. The link calls it with its condition held."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come: the link then ends."""

    def next(self, waits: bool) -> bytes | None:
        """The next envelope; None when nothing is to be sent now. It is in flight then. With `waits`, what is
        not urgent is gathered until what is in flight is acknowledged."""

    def pause_s(self, waits: bool) -> float | None:
        """Seconds until `next` is to be asked again; None when an event decides that."""

    def acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        """The first that is in flight is on the collector's disk, or gone by a route that hears no more."""

    def refuse(self, details: str) -> None:
        """The first that is in flight will never be taken."""

    def heartbeat(self) -> bytes:
        """An envelope that says nothing new, to try a route with."""

    def rewind(self, reason: str, was_heard: bool) -> None:
        """The route broke or never worked: what was in flight is to be sent again. `was_heard` says whether
        anything got through."""


class Flow:
    """A source as its routes see it: one envelope after the other, and what became of it."""

    def __init__(
        self,
        source: Source,
        changed: threading.Condition,
        on_acknowledgement: Callable[[pb.Acknowledgement], None] | None = None,
        ends_when_shut_out: bool = False,
    ) -> None:
        self.changed = changed
        self._source = source
        self._on_acknowledgement = on_acknowledgement
        self._ends_when_shut_out = ends_when_shut_out
        # All below is guarded by changed.
        self._in_flight = 0
        self._is_one_by_one = False
        """Whether one is in flight at a time, to find the one that is refused."""
        self.answers = 0
        self.is_stopped = False
        self.shut_out: str | None = None
        """Why no attempt can succeed, when that ended it."""

    @property
    def is_ended(self) -> bool:
        return self.is_stopped or self._source.is_over

    def take(self, is_left: Callable[[], bool], waits: bool = True) -> bytes | None:
        """Waits for the next envelope; None when the route is left or all is sent. A route that does not
        want to wait for acknowledgements gets as many as there are."""
        most = MOST_IN_FLIGHT if waits else MOST_UNANSWERED
        with self.changed:
            while True:
                if is_left() or self.is_ended:
                    return None
                is_full = self._in_flight >= (1 if self._is_one_by_one else most)
                envelope = None if is_full else self._source.next(waits)
                if envelope is not None:
                    self._in_flight += 1
                    return envelope
                self.changed.wait(None if is_full else self._source.pause_s(waits))

    def acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        if self._on_acknowledgement is not None:
            # Before anybody learns that it is settled, and without the condition: it calls what is not ours.
            self._on_acknowledgement(acknowledgement)
        with self.changed:
            self._source.acknowledge(acknowledgement)
            self._in_flight -= 1
            self._is_one_by_one = False
            self.answers += 1
            self.changed.notify_all()

    def refuse(self, details: str) -> None:
        """Something in flight will never be taken: sending that again would block all others for ever. Which
        one it was is known when only one was in flight, so the next attempt sends them one by one."""
        with self.changed:
            if self._in_flight == 0:
                return
            self.answers += 1
            if self._in_flight > 1:
                self._is_one_by_one = True
            else:
                self._source.refuse(details)
                self._in_flight = 0
            self.changed.notify_all()

    def shut(self, reason: str) -> None:
        """The peer takes nothing from this sender, and will not until somebody changes something."""
        with self.changed:
            if self._ends_when_shut_out:
                self.shut_out = reason
                self.is_stopped = True
                self.changed.notify_all()

    def heartbeat(self) -> bytes:
        with self.changed:
            return self._source.heartbeat()

    def rewind(self, reason: str, was_heard: bool) -> None:
        """The condition is held."""
        self._in_flight = 0
        self._source.rewind(reason, was_heard)


class Route(Protocol):
    """One way to the collector."""

    name: str
    """For a person."""

    def run(self) -> str:
        """Sends what the flow has until it breaks, is left, or all is done. Returns why it ended."""

    def leave(self) -> None:
        """Ends `run`, from any thread."""

    def works(self) -> bool:
        """Whether it works now, as far as can be told without sending a message."""


class Link:
    """Sends what `source` has, from a thread of its own, until the source is over or `stop`: by the first of
    the routes, and when that has failed for `fallback_after` seconds by the next, until the first works
    again. `changed` guards the source; its owner notifies it when there is something to send.

    `on_acknowledgement` hears each acknowledgement first, without the condition. With `ends_when_shut_out`
    it ends when the peer says that it takes nothing from this sender, as for a wrong token; without, it goes
    on trying: somebody may set that right."""

    def __init__(
        self,
        openers: Sequence[Callable[[Flow], Route]],
        source: Source,
        changed: threading.Condition,
        fallback_after: float = FALLBACK_AFTER_S,
        *,
        on_acknowledgement: Callable[[pb.Acknowledgement], None] | None = None,
        ends_when_shut_out: bool = False,
    ) -> None:
        self._flow = Flow(source, changed, on_acknowledgement, ends_when_shut_out)
        self._routes = [opener(self._flow) for opener in openers]
        self._fallback_after = fallback_after
        self._is_back = False
        """Whether the first route was found to work again. Guarded by the condition."""
        self._thread = threading.Thread(target=self._run, name="parsl-collector-link", daemon=True)
        self._thread.start()

    @property
    def shut_out(self) -> str | None:
        """Why no attempt can succeed, when that ended it. The condition is held."""
        return self._flow.shut_out

    def stop(self, timeout: float = 1.0) -> None:
        """Ends it whatever is in flight, and waits for its thread, `timeout` seconds at most."""
        with self._flow.changed:
            self._flow.is_stopped = True
            self._flow.changed.notify_all()
        for route in self._routes:
            route.leave()
        self._thread.join(timeout)

    def _run(self) -> None:
        flow = self._flow
        place, failures = 0, 0
        failing_since: float | None = None
        while True:
            began, answers = time.monotonic(), flow.answers
            reason = self._run_once(place)
            with flow.changed:
                was_heard = flow.answers > answers
                if not flow.is_ended:
                    flow.rewind(reason, was_heard)
                    flow.changed.notify_all()
                if self._is_back:
                    logger.warning("monitoring: messages go by %s again", self._routes[0].name)
                    place, failures, failing_since, self._is_back = 0, 0, None, False
                    continue
                failures = 0 if was_heard else failures + 1
                failing_since = None if was_heard else failing_since or began
                is_late = failing_since and time.monotonic() - failing_since >= self._fallback_after
                if is_late and place + 1 < len(self._routes) and not flow.is_ended:
                    place, failures, failing_since = place + 1, 0, None
                    logger.warning(
                        "monitoring: messages go by %s until %s works again (%s)",
                        self._routes[place].name,
                        self._routes[0].name,
                        reason,
                    )
                    continue
                backoff = min(MOST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(failures, 10))
                if flow.is_ended or flow.changed.wait_for(
                    lambda: flow.is_ended, backoff * random.uniform(0.5, 1.0)
                ):
                    return

    def _run_once(self, place: int) -> str:
        route = self._routes[place]
        if place == 0:
            return route.run()
        is_over = threading.Event()
        probe = threading.Thread(
            target=self._probe, args=(route, is_over), name="parsl-collector-probe", daemon=True
        )
        probe.start()
        try:
            return route.run()
        finally:
            is_over.set()

    def _probe(self, present: Route, is_over: threading.Event) -> None:
        while not is_over.wait(PROBE_EVERY_S):
            if self._routes[0].works():
                with self._flow.changed:
                    # A route that was left meanwhile is not called back.
                    self._is_back = not is_over.is_set()
                present.leave()
                return
