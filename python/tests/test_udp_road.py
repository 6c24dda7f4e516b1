"""The sending half of the UDP radio."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from support import HERE, RUN, collector, has_rows, resource_info, task_info, wait_until

from parsl_collector import _udp_road
from parsl_collector._encode import encode
from parsl_collector._node import find_node, find_server
from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._road import EnvelopeRefusedError, RoadError
from parsl_collector._udp_road import Road, seal, split

VECTORS = json.loads((HERE.parent.parent / "tests" / "vectors" / "datagram.json").read_text())
"""What every sender's datagrams are held against."""

KEY = b"a secret of thirty-two bytes ..."
HEAD = 60


class Listener:
    """A collector's port, without the collector."""

    def __init__(self, family: socket.AddressFamily, host: str) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(60)  # only a failure waits so long
        name = f"[{host}]" if family == socket.AF_INET6 else host
        self.address = f"{name}:{self.socket.getsockname()[1]}"

    def take(self, count: int) -> list[bytes]:
        return [self.socket.recv(65_536) for _ in range(count)]

    def envelopes(self, count: int) -> list[pb.Envelope]:
        return [pb.Envelope.FromString(datagram[HEAD:]) for datagram in self.take(count)]

    @property
    def is_empty(self) -> bool:
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.socket.recv(1, socket.MSG_PEEK)
            return False
        return True


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener(socket.AF_INET, "127.0.0.1")
    yield one
    one.socket.close()


def envelope(*messages: tuple, last: int | None = None, first: int = 1) -> bytes:
    note = None if last is None else pb.ClosingNote(last_sequence=last)
    first = first if messages else 0
    head = pb.Envelope(sender_id="0" * 32, first_sequence=first, run_id=RUN, closing_note=note)
    encoded = b"".join(b"\x32" + _length(one.data) + one.data for m in messages for one in encode(m))
    return head.SerializeToString() + encoded


def _length(data: bytes) -> bytes:
    return _udp_road.varint(len(data))


@pytest.mark.parametrize("vector", VECTORS["sealed"])
def test_a_datagram_is_made_as_it_stands_in_the_vector(vector):
    key, stream, inside = (bytes.fromhex(vector[name]) for name in ("key", "stream", "envelope"))

    assert seal(key, stream, vector["counter"], inside).hex() == vector["datagram"]


@pytest.mark.parametrize("vector", VECTORS["split"])
def test_an_envelope_is_split_as_it_stands_in_the_vector(vector):
    parts = split(bytes.fromhex(vector["envelope"]), vector["most_bytes"])

    assert [part.hex() for part in parts.envelopes] == vector["parts"]
    assert (parts.note and parts.note.hex()) == vector["note"]


@pytest.mark.parametrize("data", [b"\xff", b"\x32\x05ab", b"\x0b", b"\x32\xff\xff\xff"])
def test_bytes_that_are_no_envelope_are_refused_when_they_would_have_to_be_split(data):
    with pytest.raises(EnvelopeRefusedError, match="its bytes are none"):
        split(data, 0)


def test_each_datagram_has_the_next_counter_of_the_sockets_stream(listener):
    road = Road(listener.address, KEY)
    for n in range(3):
        road.send(envelope(task_info(n)))
    road.close()
    other = Road(listener.address, KEY)
    other.send(envelope(task_info()))
    other.close()

    datagrams = listener.take(4)
    assert [int.from_bytes(one[52:60], "big") for one in datagrams] == [1, 2, 3, 1]
    assert len({one[36:52] for one in datagrams[:3]}) == 1
    assert datagrams[0][36:52] != datagrams[3][36:52]


def test_an_envelope_of_many_messages_is_split_into_datagrams_of_16_kib(listener):
    road = Road(listener.address, KEY)
    road.send(envelope(*(resource_info(n) for n in range(500)), first=7))
    road.close()

    expected = 7
    while expected < 507:
        [datagram] = listener.take(1)
        assert len(datagram) <= 16 * 1024
        part = pb.Envelope.FromString(datagram[HEAD:])
        assert part.first_sequence == expected
        expected += len(part.messages)
    assert listener.is_empty


def test_a_closing_note_is_sent_alone_and_five_times(listener):
    road = Road(listener.address, KEY)
    road.send(envelope(task_info(), last=1))
    began = time.monotonic()
    road.close()

    assert time.monotonic() - began >= 0.2
    parts = listener.envelopes(6)
    assert [(len(part.messages), part.HasField("closing_note")) for part in parts] == [(1, False)] + [
        (0, True)
    ] * 5
    assert listener.is_empty


def test_a_message_up_to_what_udp_carries_goes_and_a_larger_one_is_refused_for_ever(listener):
    road = Road(listener.address, KEY)
    overhead = HEAD + len(envelope(task_info(task_stdout="x" * 65_000))) - 65_000

    road.send(envelope(task_info(task_stdout="x" * (65_507 - overhead))))
    with pytest.raises(EnvelopeRefusedError, match="65508 bytes, and 65507 are the most"):
        road.send(envelope(task_info(task_stdout="x" * (65_508 - overhead))))
    road.close()

    assert [len(one) for one in listener.take(1)] == [65_507]
    assert listener.is_empty


def test_that_nobody_listens_is_told_each_time_and_the_next_envelope_goes_when_somebody_does():
    address = free_udp_address()
    road = Road(address, KEY)

    for _ in range(3):
        with pytest.raises(RoadError, match=f"^send by udp to {address}: nobody listens there$"):
            road.send(envelope(task_info()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(("127.0.0.1", int(address.split(":")[1])))
        road.send(envelope(task_info()))
        assert late.recv(65_536).startswith(b"PCU1")
    road.close()


def test_a_name_that_is_not_known_is_told_for_now():
    with pytest.raises(RoadError, match="nowhere.invalid"):
        Road("nowhere.invalid:7000", KEY).send(b"")


def test_an_address_of_ipv6_is_written_in_brackets():
    listener = Listener(socket.AF_INET6, "::1")
    road = Road(listener.address, KEY)
    road.send(envelope(task_info()))
    road.close()

    assert len(listener.take(1)) == 1
    listener.socket.close()


@pytest.mark.parametrize("key", [None, b""])
def test_a_road_without_a_key_is_not_opened_and_says_how_to_give_one(key):
    with pytest.raises(ValueError, match="^send by udp to 127.0.0.1:7000: .*--key-file"):
        Road("127.0.0.1:7000", key)


@pytest.mark.parametrize("address", ["", "host", "host:", ":7000", "::1:7000", "a b:1", "h:65536"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(ValueError, match="expected host:port"):
        Road(address, KEY)


class FullSocket:
    """A system without room for a datagram, so many times."""

    def __init__(self, real: socket.socket, times: int) -> None:
        self._real = real
        self._times = times

    def send(self, datagram: bytes) -> int:
        self._times -= 1
        if self._times >= 0:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return self._real.send(datagram)

    def __getattr__(self, name: str):
        return getattr(self._real, name)


def test_where_the_system_has_no_room_the_datagram_is_sent_a_little_later(listener, monkeypatch):
    monkeypatch.setattr(_udp_road, "_ROOM_PAUSES_S", (0.001, 0.001, 0.001))
    road = Road(listener.address, KEY)
    road.send(envelope(task_info()))
    real = road._socket

    road._socket = FullSocket(real, times=3)  # type: ignore[assignment]
    road.send(envelope(task_info(1)))
    road._socket = FullSocket(real, times=4)  # type: ignore[assignment]
    with pytest.raises(RoadError, match="No buffer space"):
        road.send(envelope(task_info(2)))

    counters = [int.from_bytes(one[52:60], "big") for one in listener.take(2)]
    assert counters == [1, 2]
    assert listener.is_empty


def test_a_burst_goes_at_once_and_then_eight_mib_a_second(listener):
    road = Road(listener.address, KEY)
    listener.socket.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVBUF, 1024
    )  # what is lost here is of no account
    large = envelope(task_info(task_stdout="x" * 60_000))

    began = time.monotonic()
    for _ in range(3):
        road.send(large)
    burst = time.monotonic() - began
    for _ in range(21):
        road.send(large)
    took = time.monotonic() - began
    road.close()

    assert burst < 0.1
    assert took >= 0.9 * (24 * 60_000 - 256 * 1024) / (8 * 1024 * 1024)


def test_a_child_of_a_fork_makes_a_stream_of_its_own(listener):
    road = Road(listener.address, KEY)
    road.send(envelope(task_info()))

    child = os.fork()
    if child == 0:
        mine = Road(listener.address, KEY)
        mine.send(envelope(task_info(1)))
        mine.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    road.send(envelope(task_info(2)))
    road.close()

    first, childs, second = listener.take(3)
    assert first[36:52] == second[36:52] != childs[36:52]
    assert [int.from_bytes(one[52:60], "big") for one in (first, childs, second)] == [1, 1, 2]


def test_what_reaches_a_collector_is_stored_and_the_rest_is_missing(tmp_path):
    """An envelope that is never sent stands for datagrams that were lost."""
    key_file = tmp_path / "key"
    key_file.write_bytes(KEY)
    database = tmp_path / "monitoring.db"
    options = ["--radio", "udp=127.0.0.1:0", "--key-file", str(key_file)]
    with collector(database, "127.0.0.1:0", *options) as running:
        road = Road(running.radios["udp"], KEY)
        tasks = [task_info(n) for n in range(600)]
        road.send(envelope(*tasks[:300]))
        road.send(envelope(*tasks[310:], first=311, last=600))
        road.close()
        wait_until(lambda: has_rows(database, "task", 590), "the rows of what came")
        running.stop()

    status = [find_node(None), find_server(), "status", "--database", str(database), "--json"]
    [sender] = json.loads(subprocess.run(status, stdout=subprocess.PIPE).stdout)["senders"]
    assert sender["closed"]
    assert sender["missing"] == [{"first": 301, "last": 310}]
    assert [(one["radio"], one["received"]) for one in sender["radios"]] == [("udp", 590)]


def free_udp_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
