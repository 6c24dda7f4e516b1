"""Senders with other radios than gRPC, and with several: by which way messages come, and when it changes."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import pickle
import subprocess
import sys
import textwrap

import pytest
from parsl.multiprocessing import SpawnQueue
from support import (
    DEADLINE_S,
    HERE,
    collector,
    count,
    free_address,
    query,
    resource_info,
    running_hub,
    task_info,
    wait_until,
    workflow_start,
)

from parsl_collector import CollectorRadio, _link
from parsl_collector._channel import get_status, open_channel
from parsl_collector._encode import encode
from parsl_collector._roads import ENTRY_POINTS, RoadSpec, find_radio
from parsl_collector._sender import MessageSender

KEY = bytes(range(32))


def add(sender: MessageSender, *messages: tuple) -> None:
    for message in messages:
        for encoded in encode(message):
            assert sender.add(encoded, DEADLINE_S)


@contextlib.contextmanager
def sender_by(*specs: RoadSpec, **options):
    sender = MessageSender(specs, hostname="node1", **options)
    try:
        yield sender
    finally:
        sender.close(0)


def received(address: str) -> dict[str, int]:
    """Messages that came, by radio."""
    with open_channel(RoadSpec("grpc", address)) as channel:
        status = get_status(channel, "", DEADLINE_S)
    return {by.radio: by.received for sender in status.senders for by in sender.radios}


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(KEY)
    return str(path)


def test_what_goes_by_files_is_stored_when_a_collector_comes(tmp_path):
    directory = str(tmp_path / "messages")
    with sender_by(RoadSpec("filesystem", directory)) as sender:
        add(sender, workflow_start(), *(resource_info(0, n) for n in range(1200)))
        assert sender.close(DEADLINE_S)
        assert sender.counts.acknowledged == 1201
    with collector(tmp_path / "m.db", "127.0.0.1:0", "--radio", f"filesystem={directory}") as running:
        wait_until(lambda: received(running.address) == {"filesystem": 1201}, "the messages")
        assert query(running.database, "SELECT stored, last_sequence FROM collector_sender") == [(1201, 1201)]


def test_datagrams_need_the_key_and_their_sender_is_complete(tmp_path, key_file):
    options = ("--radio", "udp=127.0.0.1:0", "--key-file", key_file)
    with collector(tmp_path / "m.db", "127.0.0.1:0", *options) as running:
        with sender_by(RoadSpec("udp", running.radios["udp"], KEY)) as sender:
            add(sender, workflow_start(), *(resource_info(0, n) for n in range(500)))
            assert sender.close(DEADLINE_S)
        with sender_by(RoadSpec("udp", running.radios["udp"], bytes(32))) as stranger:
            add(stranger, task_info())
            assert stranger.close(DEADLINE_S)  # nobody told it

        complete = "SELECT stored, last_sequence FROM collector_sender"
        wait_until(lambda: query(running.database, complete) == [(501, 501)], "the messages")
        with open_channel(RoadSpec("grpc", running.address)) as channel:
            [udp] = [one for one in get_status(channel, "", DEADLINE_S).receivers if one.radio == "udp"]
        assert udp.refused["forged"] > 0


def test_when_grpc_fails_files_take_over_and_grpc_gets_it_back(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(_link, "PROBE_EVERY_S", 0.1)
    directory = str(tmp_path / "messages")
    radio = ("--radio", f"filesystem={directory}")
    with collector(tmp_path / "m.db", "127.0.0.1:0", *radio) as first:
        specs = (RoadSpec("grpc", first.address), RoadSpec("filesystem", directory))
        with sender_by(*specs, fallback_after=0.5) as sender:
            add(sender, workflow_start(), *(resource_info(0, n) for n in range(10)))
            assert sender.flush(DEADLINE_S)
            first.kill()
            add(sender, *(resource_info(1, n) for n in range(10)))
            assert sender.flush(DEADLINE_S), "the files take them"
            assert any((tmp_path / "messages").rglob("*.batch"))

            with collector(tmp_path / "m.db", first.address, *radio) as second:
                wait_until(lambda: "messages go by grpc" in caplog.text, "the way back")
                add(sender, *(resource_info(2, n) for n in range(10)))
                assert sender.close(DEADLINE_S)
                wait_until(lambda: count(second.database, "resource") == 30, "all rows")
                by = received(second.address)
                assert by["filesystem"] >= 10
                assert by["grpc"] >= 21
                stored = "SELECT stored, last_sequence FROM collector_sender"
                assert query(second.database, stored) == [(31, 31)]
    assert caplog.text.count("until grpc") == 1


def test_a_first_way_that_fails_for_less_than_the_time_is_waited_for(tmp_path):
    directory = tmp_path / "messages"
    address = free_address()
    with sender_by(RoadSpec("grpc", address), RoadSpec("filesystem", str(directory))) as sender:
        add(sender, workflow_start())
        wait_until(lambda: sender.trouble is not None, "a failed attempt")
        with collector(tmp_path / "m.db", address):
            assert sender.close(DEADLINE_S)
    assert not directory.exists()


def test_what_no_datagram_carries_goes_by_the_next_way_or_is_kept_as_rejected(tmp_path, key_file):
    directory = str(tmp_path / "messages")
    options = ("--radio", "udp=127.0.0.1:0", "--radio", f"filesystem={directory}", "--key-file", key_file)
    large = task_info(7, task_inputs="x" * 100_000)
    with collector(tmp_path / "m.db", "127.0.0.1:0", *options) as running:
        udp = RoadSpec("udp", running.radios["udp"], KEY)
        with sender_by(udp, RoadSpec("filesystem", directory)) as sender:
            add(sender, task_info(6), large, task_info(8))
            assert sender.close(DEADLINE_S)
            wait_until(lambda: count(running.database, "task") == 3, "the tasks")
        with sender_by(udp) as sender:
            add(sender, task_info(10), large, task_info(11))
            assert sender.close(DEADLINE_S)
            wait_until(lambda: count(running.database, "collector_rejected") == 1, "the rejected message")
            wait_until(lambda: count(running.database, "task") == 5, "the tasks beside it")
        [(reason,)] = query(running.database, "SELECT reason FROM collector_rejected")
        assert "refused on its way" in reason
        assert "datagram" in reason


def test_a_socket_is_acknowledged_and_found_again(tmp_path):
    path = str(tmp_path / "socket")
    with sender_by(RoadSpec("unix", path)) as sender:
        add(sender, workflow_start(), *(resource_info(0, n) for n in range(700)))
        wait_until(lambda: sender.trouble is not None, "a failed attempt")
        assert sender.counts.acknowledged == 0
        with collector(tmp_path / "m.db", "127.0.0.1:0", "--radio", f"unix={path}") as running:
            assert sender.flush(DEADLINE_S)
            running.kill()
            add(sender, *(resource_info(1, n) for n in range(100)))
            with collector(tmp_path / "m.db", "127.0.0.1:0", "--radio", f"unix={path}") as again:
                assert sender.close(DEADLINE_S)
                stored = "SELECT stored, last_sequence FROM collector_sender"
                assert query(again.database, stored) == [(801, 801)]
                assert received(again.address)["unix"] >= 801


class Pigeon:
    """A radio of a user's own."""

    def __init__(self, address: str, key: bytes | None = None) -> None:
        self.address = address

    def send(self, envelope: bytes) -> None:
        with open(self.address, "ab") as roof:
            roof.write(envelope + b"\n--\n")

    def close(self) -> None:
        pass


def test_a_radio_of_ones_own_is_a_class_or_an_entry_point(tmp_path, monkeypatch):
    roof = tmp_path / "roof"
    with sender_by(RoadSpec(Pigeon, str(roof))) as sender:
        add(sender, task_info())
        assert sender.close(DEADLINE_S)
    assert roof.read_bytes().count(b"\n--\n") == 2  # the message, and the last word

    entry_point = importlib.metadata.EntryPoint("pigeon", f"{__name__}:Pigeon", ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry_point])
    assert find_radio("pigeon") is Pigeon
    with pytest.raises(
        ValueError, match="no radio has this name; known are grpc, filesystem, udp, unix, pigeon"
    ):
        find_radio("pidgeon")


def test_a_radio_that_raises_what_it_should_not_stops_nothing(tmp_path, caplog):
    class Broken(Pigeon):
        def send(self, envelope: bytes) -> None:
            raise ZeroDivisionError("no roof")

    directory = str(tmp_path / "messages")
    specs = (RoadSpec(Broken, "roof"), RoadSpec("filesystem", directory))
    with sender_by(*specs, fallback_after=0.2) as sender:
        add(sender, task_info())
        assert sender.close(DEADLINE_S)
    assert caplog.text.count("messages cannot go by Broken to roof") == 1
    assert any((tmp_path / "messages").rglob("*.batch"))


def test_a_hubs_radio_knows_its_ways_and_shows_no_key(tmp_path):
    with running_hub(tmp_path, radios=["filesystem", "udp"]) as hub:
        radio = CollectorRadio(radios=["grpc", "udp", "filesystem"])
        radio.create_receiver(run_dir=str(tmp_path), resource_msgs=hub.resource_msgs)
        specs = pickle.loads(pickle.dumps(radio))._specs
        assert [spec.radio for spec in specs] == ["grpc", "udp", "filesystem"]
        key = specs[1].key
        key_path = tmp_path / "000" / "secrets" / "key"
        assert key == key_path.read_bytes()
        assert key_path.stat().st_mode & 0o777 == 0o600
        assert len(key) == 32
        assert repr(key) not in repr(radio) + repr(specs)
        assert key.hex() not in repr(radio) + repr(specs)
        command = " ".join(open(f"/proc/{hub._collector.pid}/cmdline").read().split("\0"))
        assert key.hex() not in command
    assert not key_path.exists()
    assert not (tmp_path / "000" / "messages").exists()


def test_a_way_by_which_the_hub_does_not_listen_is_named_with_the_cure(tmp_path):
    with running_hub(tmp_path) as hub:
        radio = CollectorRadio(radios=["udp"])
        cure = r"not listen by 'udp', only by grpc, filesystem; use CollectorHub\(radios="
        with pytest.raises(ValueError, match=cure):
            radio.create_receiver(run_dir=str(tmp_path), resource_msgs=hub.resource_msgs)
    with pytest.raises(ValueError, match="is no list of radios"):
        CollectorRadio(radios="grpc")
    with pytest.raises(ValueError, match="no radio has this name"):
        CollectorRadio(radios=[("pigeon", "roof")]).create_receiver(
            run_dir=str(tmp_path), resource_msgs=SpawnQueue()
        )


WORKER = """
import json, os, sys
from parsl_collector import CollectorRadio
from support import resource_info, workflow_start

radio = CollectorRadio(radios=[("filesystem", sys.argv[1])])
"""


def test_a_worker_by_files_loads_no_grpc_and_its_forked_children_send_through_it(tmp_path):
    program = """
    radio.create_sender().send(workflow_start())
    for fork in range(5):
        child = os.fork()
        if child == 0:
            for n in range(10):
                radio.create_sender().send(resource_info(fork, n))
            os._exit(0)
        os.waitpid(child, 0)
    print(json.dumps("grpc" in sys.modules))
    """
    directory = str(tmp_path / "messages")
    command = [sys.executable, "-c", WORKER + textwrap.dedent(program), directory]
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert json.loads(said.stdout) is False
    with collector(tmp_path / "m.db", "127.0.0.1:0", "--radio", f"filesystem={directory}") as running:
        account = "SELECT stored, last_sequence FROM collector_sender"
        wait_until(lambda: query(running.database, account) == [(51, 51)], "the samples and the last word")
        assert count(running.database, "resource") == 50


def test_what_workers_left_in_files_is_in_the_last_line_of_the_hub(tmp_path, capfd):
    with running_hub(tmp_path) as hub:
        hub.resource_msgs.put(workflow_start())
        with sender_by(hub.resource_msgs.parsl_collector_ways["filesystem"]) as worker:
            add(worker, *(task_info(n) for n in range(40)))
            assert worker.close(DEADLINE_S)
    assert "41 of 41 messages stored" in capfd.readouterr().err
