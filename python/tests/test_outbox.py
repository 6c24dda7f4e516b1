"""When a sender's messages are put into envelopes."""

from __future__ import annotations

import types

import pytest

from parsl_collector import _outbox
from parsl_collector._encode import Encoded
from parsl_collector._outbox import Gathering, Outbox


class Line:
    """An outbox whose clock is turned by hand, with nobody who acknowledges."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, gathering: Gathering) -> None:
        self.now = 1000.0
        # Its clock alone: time as a whole is everybody's.
        clock = types.SimpleNamespace(monotonic=lambda: self.now, localtime=_outbox.time.localtime)
        monkeypatch.setattr(_outbox, "time", clock)
        self._outbox = Outbox(
            "here",
            "a" * 32,
            hostname="",
            buffer_bytes=10_000_000,
            heartbeat=None,
            spool=None,
            gathering=gathering,
        )

    def put(self, messages: int = 1, run_id: str = "run") -> None:
        for _ in range(messages):
            self._outbox.put(Encoded(run_id, b"x" * 100))

    def after(self, seconds: float) -> list[int]:
        """Of the envelopes that go then, how many messages each has."""
        self.now += seconds
        envelopes = []
        while self._outbox.next(waits=False) is not None:
            envelopes.append(self._outbox._in_flight[-1].count)
        pause = self._outbox.pause_s(waits=False)
        assert pause is None or pause > 0
        return envelopes


def test_what_comes_after_an_envelope_waits_for_a_pause_or_its_time(monkeypatch):
    line = Line(monkeypatch, Gathering(most_s=1, pause_s=0.25))
    line.put()
    assert line.after(0) == [1]  # after a silence at once

    line.put(2)
    assert line.after(0.2) == []
    line.put()
    assert line.after(0.2) == []
    assert line.after(0.1) == [3]  # in a pause

    for _ in range(4):
        line.put()
        assert line.after(0.2) == []
    line.put()
    assert line.after(0.15) == []
    assert line.after(0.06) == [5]  # in the midst of a stream


def test_all_whose_time_has_come_go_and_no_others(monkeypatch):
    line = Line(monkeypatch, Gathering(most_s=1, pause_s=0.25, messages=2000))
    line.put()
    assert line.after(0) == [1]

    line.put(1400)
    line.put(10, run_id="another")
    assert line.after(0.1) == []
    assert line.after(0.2) == [500, 500, 400, 10]
    line.put()
    assert line.after(0.1) == []
    line.put(1999)
    assert line.after(0) == [500] * 4  # they are much


def test_a_sender_that_says_no_other_has_a_tenth_of_a_second_and_full_envelopes(monkeypatch):
    line = Line(monkeypatch, _outbox.GATHERING)
    line.put()
    assert line.after(0) == [1]
    line.put(502)
    assert line.after(0) == [500, 2]
    line.put(2)
    assert line.after(0.09) == []
    assert line.after(0.02) == [2]
