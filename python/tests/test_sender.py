"""The reliable sender against a real collector that is killed, absent, silent or refuses."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from concurrent import futures

import grpc
import pytest
from support import (
    RUN,
    collector,
    count,
    free_address,
    has_rows,
    query,
    resource_info,
    task_info,
    wait_until,
    workflow_start,
)

from parsl_collector import _stream
from parsl_collector._channel import get_status, open_channel
from parsl_collector._encode import Encoded, encode
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._road import RoadSpec
from parsl_collector._sender import MessageSender


def add(sender: MessageSender, *messages: tuple) -> None:
    for message in messages:
        for encoded in encode(message):
            assert sender.add(encoded, 30)


@contextlib.contextmanager
def sender_to(address: str, **options):
    sender = MessageSender(address, **options)
    try:
        yield sender
    finally:
        sender.close(0)


def test_a_flushed_message_is_a_row_and_a_closed_sender_has_said_so(tmp_path):
    with collector(tmp_path / "m.db") as running, sender_to(running.address, hostname="node1") as sender:
        add(sender, workflow_start(), task_info())

        assert sender.flush(30)
        assert count(running.database, "task") == 1
        assert sender.close(30)
        assert sender.counts == (2, 2, 0, 0, 0)
        told = query(running.database, "SELECT hostname, last_sequence FROM collector_sender")
        assert told == [("node1", 2)]


def test_each_message_is_stored_once_when_the_collector_is_killed_on_the_way(tmp_path):
    database = tmp_path / "m.db"
    with collector(database) as first, sender_to(first.address) as sender:
        add(sender, workflow_start())
        for n in range(10_000):
            add(sender, resource_info(seconds=n))
        wait_until(lambda: has_rows(database, "resource", 1), "the first rows")
        first.kill()
        with collector(database, first.address):
            for n in range(10_000, 20_000):
                add(sender, resource_info(seconds=n))

            assert sender.close(60)
    assert sender.counts == (20_001, 20_001, 0, 0, 0)
    assert query(database, "SELECT count(*), count(DISTINCT timestamp) FROM resource") == [(20_000, 20_000)]


def test_messages_wait_for_a_collector_that_starts_later(tmp_path):
    address = free_address()
    with sender_to(address) as sender:
        add(sender, workflow_start())
        wait_until(lambda: sender.trouble is not None, "the sender to notice")
        with collector(tmp_path / "m.db", address) as running:
            assert sender.flush(30)
            assert count(running.database, "workflow") == 1
        assert sender.trouble is None


def test_add_waits_while_the_buffer_is_full_and_not_longer_than_it_may():
    with sender_to(free_address(), buffer_bytes=1000) as sender:
        message = Encoded("run", b"x" * 600)

        assert sender.add(message, 0)
        assert not sender.add(message, 0.05)
        assert sender.counts.given == 1


def test_one_that_waits_for_room_is_let_go_when_the_sender_closes():
    with sender_to(free_address(), buffer_bytes=1000) as sender:
        sender.add(Encoded("run", b"x" * 600))
        taken = futures.Future()
        threading.Thread(
            target=lambda: taken.set_result(sender.add(Encoded("run", b"x" * 600))), daemon=True
        ).start()

        assert not sender.close(0.05)
        assert taken.result(10) == 0


def test_a_message_larger_than_the_buffer_is_sent_alone(tmp_path):
    with (
        collector(tmp_path / "m.db") as running,
        sender_to(running.address, buffer_bytes=1000) as sender,
    ):
        add(sender, workflow_start(), task_info(task_inputs="x" * 5_000_000), task_info(1))

        assert sender.flush(30)
        assert query(running.database, "SELECT max(length(task_inputs)) FROM task") == [(5_000_000,)]


def test_lost_messages_are_numbered_so_that_the_ledger_misses_them(tmp_path):
    with collector(tmp_path / "m.db") as running, sender_to(running.address) as sender:
        add(sender, workflow_start())
        sender.add_lost("TASK_INFO", 3)
        add(sender, task_info())
        sender.add_lost("TASK_INFO", 2)

        assert sender.close(30)
        assert sender.counts == (7, 2, 0, 5, 0)
        assert query(running.database, "SELECT last_sequence, stored FROM collector_sender") == [(7, 2)]


def test_runs_travel_in_envelopes_of_their_own(tmp_path):
    with collector(tmp_path / "m.db") as running, sender_to(running.address) as sender:
        add(sender, workflow_start("a"), workflow_start("b"))
        for n in range(200):
            add(sender, task_info(n, run_id="ab"[n % 2]))

        assert sender.flush(30)
        assert query(running.database, "SELECT run_id, count(*) FROM task GROUP BY run_id ORDER BY 1") == [
            ("a", 100),
            ("b", 100),
        ]


def test_a_rejected_message_is_counted_and_acknowledged(tmp_path):
    with collector(tmp_path / "m.db") as running, sender_to(running.address) as sender:
        add(sender, workflow_start(), task_info(task_status_name=None), None, task_info(1))

        assert sender.flush(30)
        assert sender.counts == (4, 4, 2, 0, 0)
        assert count(running.database, "collector_rejected") == 2


def test_a_peer_that_accepts_and_never_speaks_holds_nothing_up(tmp_path, monkeypatch):
    monkeypatch.setattr(_stream, "CONNECT_TIMEOUT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with sender_to(f"127.0.0.1:{silent.getsockname()[1]}") as sender:
            add(sender, workflow_start())

            wait_until(lambda: sender.trouble is not None, "the attempt to be given up")
            began = time.monotonic()
            assert not sender.close(0.1)
            assert time.monotonic() - began < 5


class _Refusing(grpc.GenericRpcHandler):
    """Refuses for ever an envelope that holds a poisonous message; takes all others."""

    def __init__(self) -> None:
        self.status = grpc.StatusCode.INVALID_ARGUMENT
        self.details = "poison"
        self.takes_substitutes = True
        self.taken: list[int] = []
        self.substitutes: dict[int, str] = {}
        """By their sequences, why."""

    def service(self, details):
        if not details.method.endswith("/StreamMessages"):
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=service_pb.StreamMessagesRequest.FromString,
            response_serializer=service_pb.StreamMessagesResponse.SerializeToString,
        )

    def _stream(self, requests, context):
        for request in requests:
            envelope = request.envelope
            for sequence, message in enumerate(envelope.messages, envelope.first_sequence):
                is_substitute = message.HasField("unreadable_message")
                if is_substitute and self.takes_substitutes:
                    self.substitutes[sequence] = message.unreadable_message.reason
                elif is_substitute or message.task_info.task_func_name == "poison":
                    context.abort(self.status, self.details)
            last = envelope.first_sequence + len(envelope.messages) - 1
            answer = service_pb.StreamMessagesResponse()
            acknowledgement = answer.acknowledgements.add(sender_id=envelope.sender_id)
            if envelope.messages:
                acknowledgement.committed.first, acknowledgement.committed.last = (
                    envelope.first_sequence,
                    last,
                )
                self.taken.extend(range(envelope.first_sequence, last + 1))
            acknowledgement.closed = envelope.HasField("closing_note")
            yield answer


@pytest.fixture
def refusing():
    handler = _Refusing()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.mark.parametrize(
    ("status", "details"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "poison"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (5 vs. 4)"),
    ],
)
@pytest.mark.parametrize("in_spool", [False, True])
def test_of_an_envelope_that_is_refused_only_the_message_to_blame_is_replaced(
    refusing, tmp_path, status, details, in_spool
):
    handler, address = refusing
    handler.status, handler.details = status, details
    spool = str(tmp_path / "spool") if in_spool else None
    with sender_to(address, spool=spool, buffer_bytes=1000 if in_spool else 2**20) as sender:
        sender.add_lost("TASK_INFO")
        for n in range(30):
            add(sender, task_info(n, task_func_name="poison" if n == 10 else "app"))

        assert sender.close(30)
        assert sender.counts == (31, 30, 0, 1, 0)
        assert set(handler.taken) == set(range(2, 32))
        assert handler.substitutes == {12: f"refused on its way: {details}"}


def test_a_message_that_is_refused_even_when_it_is_replaced_costs_no_other(refusing):
    handler, address = refusing
    handler.takes_substitutes = False
    with sender_to(address) as sender:
        for n in range(30):
            add(sender, task_info(n, task_func_name="poison" if n == 10 else "app"))

        assert sender.close(30)
        assert sender.counts == (30, 29, 0, 1, 0)
        assert set(handler.taken) == set(range(1, 31)) - {11}


def test_a_closing_note_tells_the_collector_that_nothing_more_comes(tmp_path):
    with collector(tmp_path / "m.db") as running, sender_to(running.address) as sender:
        add(sender, workflow_start(), task_info())
        assert sender.flush(30)
        with open_channel(RoadSpec("grpc", running.address)) as channel:
            [before] = get_status(channel, RUN, timeout=30).senders
            assert sender.close(30)
            [after] = get_status(channel, RUN, timeout=30).senders

    assert (before.sender_id, before.closed) == (sender.sender_id, False)
    assert (after.sender_id, after.closed, after.last_sequence) == (sender.sender_id, True, 2)


def test_flush_and_close_are_bounded_where_there_is_no_collector():
    with sender_to(free_address()) as sender:
        add(sender, task_info())

        assert not sender.flush(0.05)
        assert not sender.close(0.05)
        assert sender.counts == (1, 0, 0, 0, 0)


def test_a_sender_that_has_nothing_to_say_lets_itself_be_heard_of_and_can_still_close(tmp_path):
    with collector(tmp_path / "m.db") as running, sender_to(running.address, heartbeat=0.05) as sender:
        add(sender, workflow_start())
        assert sender.flush(30)
        heard = query(running.database, "SELECT last_received_at FROM collector_sender")

        wait_until(
            lambda: query(running.database, "SELECT last_received_at FROM collector_sender") > heard,
            "a heartbeat",
        )
        assert sender.close(30)
        told = query(running.database, "SELECT stored, last_sequence FROM collector_sender")
    assert told == [(1, 1)]
