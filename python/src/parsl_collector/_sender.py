"""The reliable sender: keeps each message until the collector has acknowledged it.

Messages are numbered 1, 2, 3, ..., travel in envelopes, and are sent again with the same numbers after every
broken connection; the collector stores each number once.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from parsl_collector._adopt import Adoption
from parsl_collector._encode import Encoded
from parsl_collector._link import FALLBACK_AFTER_S, Flow, Link, Route
from parsl_collector._outbox import GATHERING, Gathering, Outbox
from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._road import GRPC, RoadSpec
from parsl_collector._roads import as_specs, openers_of
from parsl_collector._segment import DEFAULT_SPOOL_BYTES
from parsl_collector._spool import Spool

DEFAULT_BUFFER_BYTES = 32 * 1024 * 1024
"""Bytes of messages that are kept in memory until they are acknowledged; at the bound `add` moves them to the
spool, or waits where there is none."""


class Counts(NamedTuple):
    """What became of a sender's messages so far."""

    given: int
    """Messages that have a number, lost ones included."""
    acknowledged: int
    """Those on the collector's disk, rejected ones included."""
    rejected: int
    lost: int
    """Those that were never sent, that the collector refused to take, or that found no room in the spool."""
    spooled: int
    """Those that are in the spool and not yet acknowledged."""


class MessageSender:
    """One numbered sequence of messages to the collector at `where`: a gRPC address, or several ways to it,
    of which the first is used until it has failed for `fallback_after` seconds. Safe to use from several
    threads; not across a fork.

    `hostname` is said for all messages that name none, so it is for a sender whose messages are of its own
    host; one that relays those of others says none. After `heartbeat` seconds of silence (None: never) it
    lets itself be heard of all the same: a run of which nothing is heard for 90 s is taken for lost.
    `gathering` says when messages go, where nobody waits for them.

    `spool` is a directory for what nobody takes, `spool_bytes` at most (None: all stays in memory). It is
    made when it is first needed. What dead senders of this host left there is sent too, under their own
    names.

    `agent` makes the route by an agent of the node, which comes before all of `where`. For
    `on_acknowledgement` and `ends_when_shut_out` see Link.
    """

    def __init__(
        self,
        where: str | Sequence[RoadSpec],
        *,
        hostname: str = "",
        buffer_bytes: int = DEFAULT_BUFFER_BYTES,
        heartbeat: float | None = None,
        gathering: Gathering = GATHERING,
        spool: str | None = None,
        spool_bytes: int = DEFAULT_SPOOL_BYTES,
        fallback_after: float = FALLBACK_AFTER_S,
        agent: Callable[[Flow], Route] | None = None,
        on_acknowledgement: Callable[[pb.Acknowledgement], None] | None = None,
        ends_when_shut_out: bool = False,
    ) -> None:
        specs = as_specs(where)
        self.address = specs[0].address
        """Of the first way."""
        self.sender_id = secrets.token_hex(16)
        way = next((spec for spec in specs if spec.radio == GRPC), None)
        adopts = spool is not None and way is not None and agent is None
        self.adoption = Adoption(spool, way) if adopts else None
        """What dead senders left in the spool's directory, on its way; None without a spool, without gRPC,
        whose acknowledgements it takes, or with an agent, which does it."""
        self._changed = threading.Condition()
        # All below is guarded by _changed.
        self._spool = None if spool is None else Spool(spool, self.sender_id, spool_bytes)
        self._outbox = Outbox(
            self.address,
            self.sender_id,
            hostname=hostname,
            buffer_bytes=buffer_bytes,
            heartbeat=heartbeat,
            spool=self._spool,
            gathering=gathering,
        )
        self._is_stopped = False
        first = [] if agent is None else [agent]
        self._link = Link(
            [*first, *openers_of(specs)],
            self._outbox,
            self._changed,
            fallback_after,
            on_acknowledgement=on_acknowledgement,
            ends_when_shut_out=ends_when_shut_out,
        )

    @property
    def counts(self) -> Counts:
        with self._changed:
            outbox, spool = self._outbox, self._spool
            given_up, spooled = (0, 0) if spool is None else (spool.given_up, spool.messages)
            return Counts(outbox.given, outbox.acknowledged, outbox.rejected, outbox.lost + given_up, spooled)

    @property
    def run_id(self) -> str:
        """The run of the last message that named one."""
        return self._outbox.run_id

    @property
    def trouble(self) -> str | None:
        """Why messages are not getting through now; None while they are."""
        return self._outbox.trouble

    @property
    def shut_out(self) -> str | None:
        """Why no attempt can succeed, when that ended it."""
        with self._changed:
            return self._link.shut_out

    @property
    def is_done(self) -> bool:
        """Whether all that was given so far is acknowledged or lost."""
        with self._changed:
            return self._outbox.is_done

    def add(self, message: Encoded, timeout: float | None = None) -> int:
        """Takes a message. While the buffer is full and there is no spool it waits, `timeout` seconds at most
        (None: as long as it takes). Returns the message's sequence; 0 when it was not taken, as after
        `close`."""
        outbox = self._outbox
        size = len(message.data)
        with self._changed:
            if not outbox.has_room(size):
                if outbox.spill():
                    self._changed.notify_all()
                self._changed.wait_for(lambda: self._takes_none or outbox.has_room(size), timeout)
                if not outbox.has_room(size):
                    return 0
            if self._takes_none:
                return 0
            if outbox.put(message):
                self._changed.notify_all()
            # Messages get their numbers later, in the order in which they were given.
            return outbox.given

    def add_lost(self, kind: str = "", count: int = 1) -> None:
        """Tells the collector of messages that it will never get. `kind` is as Parsl names it; empty when
        they are of several or unknown."""
        with self._changed:
            self._outbox.put_lost(kind, count)
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that was taken is acknowledged, `timeout` seconds at most; returns whether so."""
        with self._changed:
            self._outbox.flushing += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_ended or self._outbox.is_done, timeout)
            self._outbox.flushing -= 1
            return self._outbox.is_done

    def close(self, timeout: float | None = None) -> bool:
        """Flushes, sends the closing note, and ends. Returns whether all is acknowledged; what is not after
        `timeout` seconds is left in the spool, or given up where there is none."""
        with self._changed:
            self._outbox.is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_ended or self._outbox.is_over, timeout)
            if not self._outbox.is_over:
                self._outbox.spill_rest()
            self._is_stopped = True
            self._changed.notify_all()
        self._link.stop()
        if self.adoption is not None:
            self.adoption.stop()
        with self._changed:
            if self._spool is not None:
                self._spool.close()
            return self._outbox.is_over and self._outbox.is_done

    @property
    def _is_ended(self) -> bool:
        return self._is_stopped or self._link.shut_out is not None

    @property
    def _takes_none(self) -> bool:
        return self._is_ended or self._outbox.is_closing
