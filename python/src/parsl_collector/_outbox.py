"""What a sender was given and the collector has not acknowledged: numbered, put into envelopes, kept.

In order: the spool, then the envelopes in memory, then the messages that are in none yet. docs/WIRE.md has
the rules of the numbers.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from typing import NamedTuple

from google.protobuf.message import DecodeError

from parsl_collector._encode import Encoded, length_delimited
from parsl_collector._log import logger_of
from parsl_collector._losses import Loss, as_lost, losses_in, tell
from parsl_collector._parts import alone, refused
from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._spool import Entry, Spool, Spooled

logger = logger_of(__name__)

MOST_MESSAGES = 500
MOST_ENVELOPE_BYTES = 256 * 1024
GATHER_S = 0.1
"""Least time between two envelopes, in seconds, where the sender says no other. An envelope costs about 1 ms
of CPU where gRPC for Python sends it, and a transaction at the collector."""


class Gathering(NamedTuple):
    """When messages are put into envelopes: at once when none was for `most_s`, and else together, when none
    has come for `pause_s`, or after `most_s` all the same, or when they are `messages` or `size`."""

    most_s: float = GATHER_S
    pause_s: float = GATHER_S
    messages: int = MOST_MESSAGES
    size: int = MOST_ENVELOPE_BYTES
    """Bytes."""


GATHERING = Gathering()
"""Of a sender that says no other."""


_MOST_REASONS = 20
"""Different reasons of rejections that are logged; the collector's table has them all."""


class Outgoing:
    """A numbered envelope that is not yet acknowledged."""

    __slots__ = ("count", "entry", "envelope", "first", "is_heartbeat", "is_last", "is_substitute", "size")

    def __init__(
        self,
        envelope: bytes,
        first: int = 0,
        count: int = 0,
        size: int = 0,
        *,
        is_last: bool = False,
        is_heartbeat: bool = False,
        is_substitute: bool = False,
    ) -> None:
        self.envelope = envelope
        """Its bytes; none while it is in the spool."""
        self.first = first
        """Sequence of its first message."""
        self.count = count
        """Messages in it."""
        self.size = size
        """Bytes that its messages take in the buffer."""
        self.is_last = is_last
        """Whether it is the closing note."""
        self.is_heartbeat = is_heartbeat
        self.is_substitute = is_substitute
        """Whether it stands in the place of a message that was refused."""
        self.entry: Entry | None = None
        """Where it is in the spool."""


class Outbox:
    """The source of a sender's link. Its sender guards it, and notifies the link of what is new."""

    def __init__(
        self,
        where: str,
        sender_id: str,
        *,
        hostname: str,
        buffer_bytes: int,
        heartbeat: float | None,
        spool: Spool | None,
        gathering: Gathering,
    ) -> None:
        self._where = where
        """The collector, for a person."""
        self._sender_id = sender_id
        self._hostname = hostname
        self._buffer_bytes = buffer_bytes
        self._heartbeat = heartbeat
        self._spool = spool
        self._gathering = gathering
        self._waiting: deque[Encoded | Counter[str]] = deque()
        """Without numbers yet. A Counter stands for messages that were given up, by kind."""
        self._waiting_bytes = 0
        self._unsent: deque[Outgoing] = deque()
        self._in_flight: deque[Outgoing] = deque()
        self._untold: list[Loss] = []
        self._buffered_bytes = 0
        self._next_sequence = 1
        self._due = 0
        """Sequence that the last message whose time has come gets."""
        self._sent_at = 0.0
        self._came_at = 0.0
        self._has_note = False
        """Whether the closing note is made."""
        self._reasons: set[str] = set()
        """Of rejections, those that were logged."""
        self._disk_trouble = False
        self.given = 0
        self.acknowledged = 0
        self.rejected = 0
        self.lost = 0
        """Without those that the spool gave up."""
        self.run_id = ""
        self.trouble: str | None = None
        self.flushing = 0
        """Callers who wait for all to be acknowledged: nothing is gathered meanwhile."""
        self.is_closing = False
        self.is_over = False
        """Whether the closing note is acknowledged."""

    @property
    def is_done(self) -> bool:
        """Whether all that was given is acknowledged or lost, and told so."""
        in_memory = self._waiting or self._unsent or self._in_flight or self._untold
        return not in_memory and (self._spool is None or self._spool.is_empty)

    def has_room(self, size: int) -> bool:
        return self._buffered_bytes == 0 or self._buffered_bytes + size <= self._buffer_bytes

    def put(self, message: Encoded) -> bool:
        """Takes a message; returns whether the link is to be told."""
        self.given += 1
        size = len(message.data)
        self._waiting.append(message)
        self._waiting_bytes += size
        self._came_at = time.monotonic()
        self._buffered_bytes += size
        if message.run_id:
            self.run_id = message.run_id
        # The first one wakes the link; while it gathers it knows when to go, unless an envelope is full.
        return len(self._waiting) == 1 or self._is_full()

    def put_lost(self, kind: str, count: int) -> None:
        """Numbers messages that will never be sent, behind those that wait."""
        self.given += count
        self.lost += count
        if not self._waiting or not isinstance(self._waiting[-1], Counter):
            self._waiting.append(Counter())
        self._waiting[-1][kind] += count

    def spill(self, is_rest: bool = False) -> bool:
        """Moves what is in memory to the spool; the closing note only when nothing else will be sent from
        here. Returns False where there is no spool, or its disk fails; then all stays where it is."""
        if self._spool is None:
            return False
        self._cut_all()
        sent, unsent = (
            [o for o in line if o.entry is None and not o.is_heartbeat and (is_rest or not o.is_last)]
            for line in (self._in_flight, self._unsent)
        )
        moving = [*sent, *unsent]
        if not moving:
            return True
        envelopes = (Spooled(o.envelope, o.first, o.count, i < len(sent)) for i, o in enumerate(moving))
        given_up = self._spool.given_up
        try:
            entries = self._spool.append(envelopes, self.run_id)
        except OSError as e:
            self._tell_disk_trouble(e)
            return False
        for outgoing, entry in zip(moving, entries, strict=True):
            outgoing.envelope, outgoing.entry, outgoing.count = b"", entry, entry.count
        self._unsent = deque(o for o in self._unsent if o.entry is None)
        self._buffered_bytes = 0
        if self._disk_trouble:
            self._disk_trouble = False
            logger.warning("monitoring: the spool %s can be used again", self._spool.directory)
        if given_up == 0 and self._spool.given_up > 0:
            logger.warning(
                "monitoring: the spool %s is full; the oldest samples are given up, then the oldest messages",
                self._spool.directory,
            )
        return True

    def spill_rest(self) -> None:
        """Moves what is in memory to the spool, with the closing note: the sender ends."""
        if self._spool is not None and not self._has_note and self.given > 0:
            self._cut_all()
            self._unsent.append(self._closing_note())
        self.spill(is_rest=True)

    # What the link asks and says.

    def next(self, waits: bool) -> bytes | None:
        request = self._next_spooled()
        if request is not None:
            return request
        outgoing = self._unsent.popleft() if self._unsent else self._make_next(waits)
        return None if outgoing is None else self._send(outgoing.envelope, outgoing)

    def heartbeat(self) -> bytes:
        return self._head(tells=False).SerializeToString()

    def pause_s(self, waits: bool) -> float | None:
        silence = self._silence_left_s()
        return self._gathering_s(waits) if silence is None else silence

    def acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        outgoing = self._in_flight.popleft()
        self.acknowledged += outgoing.count
        self._settle(outgoing)
        self.rejected += len(acknowledgement.rejections)
        if self.trouble is not None:
            self.trouble = None
            logger.warning("monitoring: the collector at %s takes messages again", self._where)
        for rejection in acknowledgement.rejections:
            if rejection.reason not in self._reasons and len(self._reasons) < _MOST_REASONS:
                self._reasons.add(rejection.reason)
                logger.warning("monitoring: the collector keeps a message as rejected: %s", rejection.reason)

    def refuse(self, details: str) -> None:
        outgoing = self._in_flight.popleft()
        parts = self._parts(outgoing, details)
        if not parts:
            logger.error(
                "monitoring: %d messages lost: the collector refuses them: %s", outgoing.count, details
            )
            self._lose(outgoing)
            return
        self._settle(outgoing)
        self._unsent.extendleft(reversed(parts))
        self._buffered_bytes += sum(part.size for part in parts)

    def _parts(self, outgoing: Outgoing, details: str) -> list[Outgoing]:
        """What is sent in the place of an envelope that is refused: its messages one by one, and for the one
        that is to blame the reason. Nothing where that cannot help."""
        if outgoing.count == 0 or outgoing.is_substitute:
            return []
        try:
            data = outgoing.envelope
            if self._spool is not None and outgoing.entry is not None:
                data = self._spool.read(outgoing.entry)
            whole = pb.Envelope.FromString(data)
        except (OSError, DecodeError):
            return []
        parts = alone(whole)
        if len(parts) > 1:
            # Behind the messages come the losses that it tells, if any.
            singles = [
                Outgoing(part, outgoing.first + n, 1, len(part))
                for n, part in enumerate(parts[: outgoing.count])
            ]
            return singles + [Outgoing(part) for part in parts[outgoing.count :]]
        logger.warning("monitoring: a message is kept as rejected, the collector refuses it: %s", details)
        substitute = refused(whole, details)
        return [Outgoing(substitute, outgoing.first, 1, len(substitute), is_substitute=True)]

    def rewind(self, reason: str, was_heard: bool) -> None:
        again = [o for o in self._in_flight if o.entry is None and not o.is_heartbeat]
        self._in_flight.clear()
        self._unsent.extendleft(reversed(again))
        if self._spool is not None:
            self._spool.rewind()
        self._tell_trouble(reason)
        if not was_heard:
            self.spill()

    def _send(self, envelope: bytes, outgoing: Outgoing) -> bytes:
        self._in_flight.append(outgoing)
        return envelope

    def _next_spooled(self) -> bytes | None:
        while self._spool is not None and (entry := self._spool.take()) is not None:
            outgoing = Outgoing(b"", entry.first, entry.count)
            outgoing.entry = entry
            try:
                envelope = self._spool.read(entry)
            except FileNotFoundError as e:
                logger.error("monitoring: %d messages lost: %s", entry.count, e)
                self._lose(outgoing)
            except OSError as e:
                self._tell_disk_trouble(e)  # offered again after the next rewind
            else:
                return self._send(envelope, outgoing)
        return None

    def _make_next(self, waits: bool) -> Outgoing | None:
        """Sends at once when nothing is in flight and nothing was sent just now; else gathers until an
        acknowledgement comes, or it is time, or an envelope is full. With `waits` false it asks the
        clock alone."""
        self._number_lost()
        is_awaiting = waits and bool(self._in_flight)
        if self._waiting:
            if self._is_full() or self.is_closing or not (is_awaiting or self._gathering_s(waits)):
                self._due = self.given
            return self._cut() if self._next_sequence <= self._due else None
        if self._untold and not is_awaiting:
            return Outgoing(self._head().SerializeToString())
        if self.is_closing and not is_awaiting and not self._has_note:
            return self._closing_note()
        if self._silence_left_s() == 0:
            self._sent_at = time.monotonic()
            return Outgoing(self._head().SerializeToString(), is_heartbeat=True)
        return None

    def _silence_left_s(self) -> float | None:
        """Seconds until the next heartbeat, 0 when it is time; None while there is something to send, or
        nothing was ever sent."""
        if self._heartbeat is None or self._waiting or self._in_flight or not self._sent_at:
            return None
        return max(0.0, self._sent_at + self._heartbeat - time.monotonic())

    def _gathering_s(self, waits: bool) -> float | None:
        """Seconds until what waits is to be sent; None when an event decides that, or when it is now."""
        if self.flushing or (waits and self._in_flight) or not self._waiting:
            return None
        times = self._sent_at + self._gathering.most_s, self._came_at + self._gathering.pause_s
        left = min(times) - time.monotonic()
        return left if left > 0 else None

    def _is_full(self) -> bool:
        most = self._gathering
        return len(self._waiting) >= most.messages or self._waiting_bytes >= most.size

    def _number_lost(self) -> None:
        while self._waiting and isinstance(self._waiting[0], Counter):
            # All of them are lost, so which of the numbers is of which kind makes no difference.
            for kind, count in self._waiting.popleft().items():
                self._untold.append(Loss(kind, self._next_sequence, self._next_sequence + count - 1))
                self._next_sequence += count

    def _cut(self) -> Outgoing:
        """As many waiting messages of one run as an envelope may have, one at least."""
        run_id = ""
        parts: list[bytes] = []
        size = 0
        while self._waiting and len(parts) < MOST_MESSAGES:
            message = self._waiting[0]
            if isinstance(message, Counter):
                break
            if parts and (
                size + len(message.data) > MOST_ENVELOPE_BYTES
                or message.run_id not in ("", run_id or message.run_id)
            ):
                break
            run_id = run_id or message.run_id
            parts.append(length_delimited(_MESSAGES, message.data))
            size += len(message.data)
            self._waiting.popleft()
        self._waiting_bytes -= size
        first = self._next_sequence
        self._next_sequence += len(parts)
        self._sent_at = time.monotonic()
        head = self._head(run_id)
        head.first_sequence = first
        return Outgoing(head.SerializeToString() + b"".join(parts), first, len(parts), size)

    def _cut_all(self) -> None:
        self._number_lost()
        while self._waiting:
            self._unsent.append(self._cut())
            self._number_lost()
        if self._untold:
            self._unsent.append(Outgoing(self._head().SerializeToString()))

    def _closing_note(self) -> Outgoing:
        self._has_note = True
        note = self._head()
        note.closing_note.last_sequence = self._next_sequence - 1
        return Outgoing(note.SerializeToString(), is_last=True)

    def _head(self, run_id: str = "", tells: bool = True) -> pb.Envelope:
        """An envelope without messages. It tells the losses that are not yet told, unless it is not to be
        relied on."""
        head = pb.Envelope(
            sender_id=self._sender_id,
            run_id=run_id or self.run_id,
            hostname=self._hostname,
            utc_offset_seconds=time.localtime().tm_gmtoff,
        )
        if tells and self._untold:
            tell(head, self._untold)
            self._untold = []
        return head

    def _settle(self, outgoing: Outgoing) -> None:
        """An envelope needs no more sending."""
        self._buffered_bytes -= outgoing.size if outgoing.entry is None else 0
        if outgoing.is_last:
            self.is_over = True
        if self._spool is not None and outgoing.entry is not None:
            try:
                self._spool.acknowledge(outgoing.entry)
            except OSError as e:
                self._tell_disk_trouble(e)

    def _lose(self, outgoing: Outgoing) -> None:
        """Gives up an envelope, and tells its messages as lost, by kind as far as it can still be read."""
        self.lost += outgoing.count
        if outgoing.count > 0:
            told = None
            with contextlib.suppress(OSError):
                if self._spool is not None and outgoing.entry is not None:
                    outgoing.envelope = self._spool.read(outgoing.entry)
                told = as_lost(outgoing.envelope)
            unknown = Loss("", outgoing.first, outgoing.first + outgoing.count - 1)
            self._untold += [unknown] if told is None else losses_in(told)
        self._settle(outgoing)

    def _tell_trouble(self, reason: str) -> None:
        is_new = self.trouble is None and not self.is_done
        if is_new or self.trouble is not None:
            self.trouble = reason
        if is_new:
            logger.warning(
                "monitoring: the collector at %s takes no messages (%s); they are kept and sent when it does",
                self._where,
                reason,
            )

    def _tell_disk_trouble(self, error: OSError) -> None:
        if not self._disk_trouble and self._spool is not None:
            self._disk_trouble = True
            logger.warning(
                "monitoring: the spool %s cannot be used, and messages are kept in memory meanwhile: %s",
                self._spool.directory,
                error,
            )


_MESSAGES = pb.Envelope.DESCRIPTOR.fields_by_name["messages"].number
