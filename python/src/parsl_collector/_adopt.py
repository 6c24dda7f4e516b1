"""What senders that died left in a spool directory, sent in the background under their own sender ids."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque

from google.protobuf.message import DecodeError

from parsl_collector._link import Link
from parsl_collector._log import logger_of
from parsl_collector._losses import as_lost
from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._road import RoadSpec
from parsl_collector._segment import (
    BAD_SUFFIX,
    SUFFIX,
    TEMPORARY_SUFFIX,
    ForeignFileError,
    read_owner,
    read_segment,
)
from parsl_collector._stream import StreamRoute

logger = logger_of(__name__)


class _Left:
    """A segment on its way."""

    def __init__(self, path: str, is_torn: bool, envelopes: int) -> None:
        self.path = path
        self.is_torn = is_torn
        self.envelopes = self.unacknowledged = envelopes


class Adoption:
    """Sends left segments to the collector that `way` leads to and removes them, from threads of its own.
    Reads the directory once: what is left later is for the next sender. Never raises."""

    def __init__(self, directory: str, way: RoadSpec) -> None:
        self._directory = directory
        self._way = way
        self._changed = threading.Condition()
        # All below is guarded by _changed.
        self.acknowledged = 0
        """Envelopes that are on the collector's disk."""
        self._paths: deque[str] = deque()
        self._unsent: deque[tuple[_Left, bytes]] = deque()
        self._in_flight: deque[tuple[_Left, bytes]] = deque()
        self._is_listed = False
        self._is_stopped = False
        self._link: Link | None = None
        threading.Thread(target=self._begin, name="parsl-collector-adopt", daemon=True).start()

    def wait(self, timeout: float) -> bool:
        """Waits until nothing is left, `timeout` seconds at most; returns whether it is so."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or self.is_over, timeout)
            return self.is_over

    def messages_left(self) -> int:
        """How many are in the segments that are not all acknowledged, as far as these can be read."""
        with self._changed:
            under_way = {left.path for left, _ in (*self._in_flight, *self._unsent)}
            return sum(_messages_in(path) for path in (*under_way, *self._paths))

    def stop(self) -> None:
        """Leaves the rest where it is."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
            link = self._link
        if link is not None:
            link.stop()

    def _begin(self) -> None:
        """Looks at the directory, which may be a slow one; most often nothing is there."""
        paths = left_segments(self._directory)
        with self._changed:
            self._paths.extend(paths)
            self._is_listed = True
            if self._paths and not self._is_stopped:
                self._link = Link([lambda flow: StreamRoute(self._way, flow)], self, self._changed)
            self._changed.notify_all()

    # What the link asks and says.

    @property
    def is_over(self) -> bool:
        return self._is_listed and not self._paths and not self._unsent and not self._in_flight

    def next(self, waits: bool) -> bytes | None:
        while not self._unsent and self._paths:
            self._read(self._paths.popleft())
        if not self._unsent:
            return None
        self._in_flight.append(self._unsent.popleft())
        return self._in_flight[-1][1]

    def heartbeat(self) -> bytes:
        return self._in_flight[0][1] if self._in_flight else b""  # one route has nothing to try

    def pause_s(self, waits: bool) -> float | None:
        return None

    def acknowledge(self, acknowledgement: pb.Acknowledgement) -> None:
        left, _ = self._in_flight.popleft()
        self._settle(left)

    def refuse(self, details: str) -> None:
        left, envelope = self._in_flight.popleft()
        logger.error("monitoring: messages in %s lost: the collector refuses them: %s", left.path, details)
        told = as_lost(envelope)
        if told is None:
            self._settle(left)
        else:
            self._unsent.appendleft((left, told.SerializeToString()))

    def rewind(self, reason: str, was_heard: bool) -> None:
        self._unsent.extendleft(reversed(self._in_flight))
        self._in_flight.clear()

    def _read(self, path: str) -> None:
        try:
            segment = read_segment(path)
        except FileNotFoundError:
            return  # another that adopts was faster
        except (ForeignFileError, OSError) as e:
            logger.warning("monitoring: what is left in a spool cannot be sent: %s", e)
            return
        left = _Left(path, segment.is_torn, len(segment.envelopes))
        self._unsent.extend((left, envelope) for envelope in segment.envelopes)
        if not segment.envelopes:
            _put_away(left)

    def _settle(self, left: _Left) -> None:
        self.acknowledged += 1
        left.unacknowledged -= 1
        if left.unacknowledged == 0:
            _put_away(left)


def left_segments(directory: str) -> list[str]:
    """The segments of dead senders of this host, in the order in which each of them wrote them. Sets aside
    what is no segment."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(SUFFIX))
    except FileNotFoundError:
        return []
    except OSError as e:
        logger.warning("monitoring: the spool cannot be looked at for what was left there: %s", e)
        return []
    return [path for name in names if _is_left(path := os.path.join(directory, name))]


def _is_left(path: str) -> bool:
    try:
        owner = read_owner(path)
    except FileNotFoundError:
        return False  # its owner, or another that adopts, was faster
    except ForeignFileError as e:
        _set_aside(path, str(e))
        return False
    except OSError as e:
        logger.warning("monitoring: what is left in a spool cannot be sent: %s", e)
        return False
    return owner.is_of_this_host and not owner.is_alive


def _messages_in(path: str) -> int:
    try:
        return sum(len(pb.Envelope.FromString(data).messages) for data in read_segment(path).envelopes)
    except (OSError, ForeignFileError, DecodeError):
        return 0


def _put_away(left: _Left) -> None:
    if left.is_torn:
        _set_aside(left.path, f"{left.path} is torn; what is whole in it was sent")
        return
    try:
        with contextlib.suppress(FileNotFoundError):  # two that adopt at once are harmless
            os.unlink(left.path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(left.path + TEMPORARY_SUFFIX)
        logger.info("monitoring: sent %d envelopes that were left in %s", left.envelopes, left.path)
    except OSError as e:
        logger.warning("monitoring: a segment that was sent cannot be removed: %s", e)


def _set_aside(path: str, reason: str) -> None:
    try:
        os.rename(path, path + BAD_SUFFIX)
    except FileNotFoundError:
        return
    except OSError as e:
        logger.warning("monitoring: %s; it cannot be set aside: %s", reason, e)
        return
    logger.warning("monitoring: %s; it is set aside as %s%s", reason, path, BAD_SUFFIX)
