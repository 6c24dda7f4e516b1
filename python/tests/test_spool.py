"""The spool: what nobody takes is on disk, is sent later, also by another process, and is stored once."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest
from support import (
    DEADLINE_S,
    HERE,
    RUN,
    collector,
    count,
    free_address,
    has_rows,
    query,
    resource_info,
    running_hub,
    task_info,
    wait_until,
    workflow_end,
    workflow_start,
)
from test_radio import answers_of, worker

from parsl_collector import CollectorRadio
from parsl_collector._adopt import left_segments
from parsl_collector._channel import get_status, open_channel
from parsl_collector._encode import encode
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._road import RoadSpec
from parsl_collector._segment import ForeignFileError, envelope_record, opening, owner_here, read_segment
from parsl_collector._sender import MessageSender

SENDER = """
import sys, threading
from parsl_collector._encode import encode
from parsl_collector._sender import MessageSender
from support import DEADLINE_S, resource_info, task_info, wait_until, workflow_start

address, directory = sys.argv[1:]
sender = MessageSender(address, spool=directory)

def add(*messages):
    for message in messages:
        for encoded in encode(message):
            assert sender.add(encoded, DEADLINE_S)

def spill():
    wait_until(lambda: sender.counts.spooled == sender.counts.given, "the messages to be on disk")
"""


def left_by_a_killed_sender(directory: pathlib.Path, address: str, program: str) -> list[pathlib.Path]:
    """The segments of a process that ran `program` and was killed."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{SENDER}\n{textwrap.dedent(program)}\nprint('done', flush=True)\nthreading.Event().wait()",
            address,
            str(directory),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(HERE)},
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    process.kill()
    _, errors = process.communicate()
    assert said == "done\n", errors
    assert process.returncode == -signal.SIGKILL
    return segments_in(directory)


def segments_in(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(directory.glob("*.spool"))


def envelopes_in(directory: pathlib.Path) -> list[pb.Envelope]:
    return [
        pb.Envelope.FromString(data)
        for path in segments_in(directory)
        for data in read_segment(str(path)).envelopes
    ]


def sequences_in(directory: pathlib.Path) -> list[int]:
    return [
        envelope.first_sequence + n
        for envelope in envelopes_in(directory)
        for n in range(len(envelope.messages))
    ]


@contextlib.contextmanager
def sender_to(address: str, directory: pathlib.Path, **options):
    sender = MessageSender(address, spool=str(directory), **options)
    try:
        yield sender
    finally:
        sender.close(0)


def add(sender: MessageSender, *messages: tuple) -> None:
    for message in messages:
        for encoded in encode(message):
            assert sender.add(encoded, 0), "a sender with a spool never waits"


def await_spooled(sender: MessageSender, least: int) -> None:
    wait_until(lambda: sender.counts.spooled >= least, f"{least} messages on disk")


def status_of(address: str) -> service_pb.GetStatusResponse:
    with open_channel(RoadSpec("grpc", address)) as channel:
        return get_status(channel, "", timeout=DEADLINE_S)


def stored_samples(database: os.PathLike | str) -> list[tuple]:
    return query(database, "SELECT count(*), count(DISTINCT timestamp) FROM resource")


def test_what_nobody_takes_is_on_disk_and_is_stored_once_and_in_order_when_somebody_does(tmp_path):
    directory = tmp_path / "spool"
    with sender_to(free_address(), directory) as sender:
        add(sender, workflow_start(), *(resource_info(seconds=n) for n in range(2000)))
        await_spooled(sender, 2001)
        assert sequences_in(directory) == list(range(1, 2002))
        assert not sender.is_done

        with collector(tmp_path / "m.db", sender.address) as running:
            add(sender, task_info())
            assert sender.close(DEADLINE_S)

        assert sender.counts == (2002, 2002, 0, 0, 0)
        assert stored_samples(running.database) == [(2000, 2000)]
        in_order = query(running.database, "SELECT timestamp FROM resource ORDER BY rowid")
        assert in_order == sorted(in_order)
        assert not directory.exists()


def test_a_collector_that_answers_costs_no_disk(tmp_path):
    directory = tmp_path / "spool"
    with collector(tmp_path / "m.db") as running, sender_to(running.address, directory) as sender:
        add(sender, workflow_start(), *(task_info(n) for n in range(1000)))
        assert sender.flush(DEADLINE_S)

        assert not directory.exists()


def test_messages_that_fill_the_buffer_wait_on_disk_and_not_in_add(tmp_path):
    directory = tmp_path / "spool"
    with sender_to(free_address(), directory, buffer_bytes=10_000) as sender:
        add(sender, *(task_info(n, task_inputs="x" * 1000) for n in range(200)))

        assert sender.counts.spooled > 180
        with collector(tmp_path / "m.db", sender.address) as running:
            assert sender.close(DEADLINE_S)
        assert query(running.database, "SELECT count(*), max(task_id) FROM task") == [(200, 199)]


def test_messages_on_their_way_to_a_collector_that_stalls_move_to_disk_and_are_stored_once(tmp_path):
    database = tmp_path / "m.db"
    directory = tmp_path / "spool"
    with (
        collector(database) as running,
        sender_to(running.address, directory, buffer_bytes=10_000) as sender,
    ):
        add(sender, workflow_start())
        assert sender.flush(DEADLINE_S)
        os.kill(running.process.pid, signal.SIGSTOP)
        samples = [resource_info(seconds=n, psutil_process_cwd="x" * 1000) for n in range(200)]
        add(sender, samples[0])
        wait_until(lambda: sender._outbox._in_flight, "the first one to be on its way")
        add(sender, *samples[1:])
        assert sequences_in(directory)[:1] == [2]

        os.kill(running.process.pid, signal.SIGCONT)
        assert sender.close(DEADLINE_S)
        assert stored_samples(database) == [(200, 200)]
        total = status_of(running.address).total
    assert (total.stored, total.missing, total.repeated) == (201, 0, 0)


def test_each_message_is_stored_once_when_the_collector_is_killed_while_the_spool_is_sent(tmp_path):
    database = tmp_path / "m.db"
    with sender_to(free_address(), tmp_path / "spool") as sender:
        add(sender, workflow_start(), *(resource_info(seconds=n) for n in range(20_000)))
        await_spooled(sender, 20_001)
        with collector(database, sender.address) as first:
            wait_until(lambda: has_rows(database, "resource", 1), "the first rows")
            first.kill()
        with collector(database, sender.address):
            add(sender, *(resource_info(seconds=n) for n in range(20_000, 21_000)))
            assert sender.close(DEADLINE_S)

    assert stored_samples(database) == [(21_000, 21_000)]
    assert sender.counts == (21_001, 21_001, 0, 0, 0)


def test_closing_leaves_what_was_not_taken_with_the_closing_note_on_disk(tmp_path):
    directory = tmp_path / "spool"
    sender = MessageSender(free_address(), spool=str(directory))
    add(sender, workflow_start(), task_info())

    assert not sender.close(0)

    assert sender.counts == (2, 0, 0, 0, 2)
    envelopes = envelopes_in(directory)
    assert envelopes[-1].closing_note.last_sequence == 2
    assert sequences_in(directory) == [1, 2]


def test_a_sender_that_had_nothing_to_say_leaves_nothing(tmp_path):
    sender = MessageSender(free_address(), spool=str(tmp_path / "spool"))

    sender.close(0)

    assert not (tmp_path / "spool").exists()


def test_the_next_sender_sends_what_a_killed_one_left_under_its_name(tmp_path):
    directory = tmp_path / "spool"
    address = free_address()
    left = left_by_a_killed_sender(directory, address, "add(workflow_start(), task_info()); spill()")
    assert len(left) == 1

    with collector(tmp_path / "m.db", address) as running, sender_to(address, directory) as sender:
        add(sender, task_info(1))
        assert sender.adoption.wait(DEADLINE_S)
        assert sender.close(DEADLINE_S)

        senders = status_of(address).senders
    assert {s.sender_id: (s.counts.stored, s.closed) for s in senders} == {
        left[0].name.partition("-")[0]: (2, False),
        sender.sender_id: (1, True),
    }
    assert count(running.database, "task") == 2
    assert segments_in(directory) == []


def test_the_segments_of_a_sender_that_lives_and_of_another_host_are_left_alone(tmp_path):
    directory = tmp_path / "spool"
    address = free_address()
    with sender_to(address, directory) as living:
        add(living, task_info())
        await_spooled(living, 1)
        foreign = directory / f"{'f' * 32}-000001.spool"
        foreign.write_bytes(opening(owner_here("f" * 32, RUN)._replace(hostname="elsewhere")))

        assert left_segments(str(directory)) == []
        with sender_to(address, directory) as other:
            assert other.adoption.wait(DEADLINE_S)
        assert len(segments_in(directory)) == 2


VECTORS = HERE.parent.parent / "tests" / "vectors"
"""Files that every client's segments are held against."""


@pytest.mark.parametrize("name", ["segment.bin", "segment-torn.bin", "segment-damaged.bin"])
def test_a_segment_of_another_language_is_read_as_it_is_described(name):
    described = json.loads((VECTORS / "segment.json").read_text())[name]

    segment = read_segment(str(VECTORS / name))

    assert segment.owner._asdict() == described["owner"]
    assert [data.hex() for data in segment.envelopes] == described["envelopes"]
    assert segment.is_torn == (described["rest_bytes"] > 0)
    whole = (VECTORS / name).read_bytes()
    assert all(envelope_record(data) in whole for data in segment.envelopes)


def test_a_file_that_does_not_say_whose_it_is_is_foreign():
    with pytest.raises(ForeignFileError, match="whose it is"):
        read_segment(str(VECTORS / "segment-foreign.bin"))


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 20, 100])
def test_what_is_whole_in_a_segment_that_was_cut_short_is_sent(tmp_path, caplog, cut):
    """`cut` is the bytes that are left of the second record; 0: nothing of it."""
    directory = tmp_path / "spool"
    address = free_address()
    program = "add(task_info()); spill(); add(task_info(1)); spill()"
    [left] = left_by_a_killed_sender(directory, address, program)
    data = left.read_bytes()
    second = envelope_record(read_segment(str(left)).envelopes[1])
    left.write_bytes(data[: len(data) - len(second) + cut])

    with collector(tmp_path / "m.db", address) as running, sender_to(address, directory) as sender:
        assert sender.adoption.wait(DEADLINE_S)

        assert query(running.database, "SELECT count(*), max(task_id) FROM task") == [(1, 0)]
    names = [path.name for path in directory.iterdir()]
    assert names == ([f"{left.name}.bad"] if cut > 0 else [])
    assert caplog.text.count("is torn; what is whole in it was sent") == (cut > 0)


def test_a_damaged_record_ends_what_is_read_of_a_segment(tmp_path):
    directory = tmp_path / "spool"
    program = "add(task_info()); spill(); add(task_info(1)); spill()"
    [left] = left_by_a_killed_sender(directory, free_address(), program)
    data = bytearray(left.read_bytes())
    first, _ = read_segment(str(left)).envelopes
    data[-1] ^= 1
    left.write_bytes(data)

    assert read_segment(str(left)).envelopes == [first]
    assert read_segment(str(left)).is_torn


DAMAGED = opening(owner_here("d" * 32, RUN)).replace(b"ddd", b"ddc", 1)
NO_PROCESS = [
    opening(owner_here("d" * 32, RUN)._replace(pid=pid, process_started=None)) for pid in ("1", -1, 2**80)
]


@pytest.mark.parametrize(
    "content", [b"", b"PCSPOOL1", b"no segment", b"PCSPOOL1" + bytes(100), DAMAGED, *NO_PROCESS]
)
def test_a_foreign_file_is_set_aside_once_and_stops_nobody(tmp_path, caplog, content):
    directory = tmp_path / "spool"
    directory.mkdir()
    (directory / "x.spool").write_bytes(content)
    with collector(tmp_path / "m.db") as running:
        for n in range(2):
            with sender_to(running.address, directory) as sender:
                add(sender, task_info(n))
                assert sender.adoption.wait(DEADLINE_S)
                assert sender.close(DEADLINE_S)

        assert count(running.database, "task") == 2
    assert [path.name for path in directory.iterdir()] == ["x.spool.bad"]
    assert (directory / "x.spool.bad").read_bytes() == content
    assert caplog.text.count("x.spool.bad") == 1


def test_two_that_adopt_at_once_store_nothing_twice(tmp_path):
    directory = tmp_path / "spool"
    address = free_address()
    program = "add(workflow_start(), *(resource_info(seconds=n) for n in range(20_000))); spill()"
    left_by_a_killed_sender(directory, address, program)

    with sender_to(address, directory) as one, sender_to(address, directory) as other:
        with collector(tmp_path / "m.db", address) as running:
            assert one.adoption.wait(DEADLINE_S) and other.adoption.wait(DEADLINE_S)

            assert stored_samples(running.database) == [(20_000, 20_000)]
    assert segments_in(directory) == []


def test_an_adopted_envelope_that_is_refused_for_ever_costs_no_other(tmp_path):
    directory = tmp_path / "spool"
    address = free_address()
    [left] = left_by_a_killed_sender(directory, address, "add(task_info()); spill()")
    good = read_segment(str(left)).envelopes[0]
    # Beyond the numbers that a collector takes.
    bad = pb.Envelope.FromString(good)
    bad.first_sequence = 2**53
    left.write_bytes(
        opening(read_segment(str(left)).owner)
        + b"".join(envelope_record(data) for data in (bad.SerializeToString(), good))
    )

    with collector(tmp_path / "m.db", address) as running, sender_to(address, directory) as sender:
        assert sender.adoption.wait(DEADLINE_S)

        assert count(running.database, "task") == 1
    assert segments_in(directory) == []


def lost_by_kind(address: str) -> dict[str, int]:
    [sender] = status_of(address).senders
    return {lost.kind: lost.count for lost in sender.lost}


def test_a_full_spool_gives_up_samples_before_states_the_oldest_first_and_says_how_many(tmp_path, caplog):
    directory = tmp_path / "spool"
    caplog.set_level(logging.WARNING, "parsl")
    with sender_to(free_address(), directory, buffer_bytes=5000, spool_bytes=200_000) as sender:
        add(sender, workflow_start())
        for n in range(400):
            add(sender, task_info(n), *(resource_info(n, seconds=9 * n + s) for s in range(9)))
        assert sender.counts.lost > 100
        assert sum(path.stat().st_size for path in segments_in(directory)) <= 200_000

        with collector(tmp_path / "m.db", sender.address) as running:
            assert sender.close(DEADLINE_S)
            lost = sender.counts.lost
            assert lost_by_kind(sender.address) == {"RESOURCE_INFO": lost}
            [told] = status_of(sender.address).senders
    assert (told.counts.missing, told.closed, told.last_sequence) == (0, True, 4001)
    assert sender.counts == (4001, 4001 - lost, 0, lost, 0)
    assert count(running.database, "task") == 400
    # Nine of each task, the oldest given up.
    kept = query(running.database, "SELECT min(task_id), max(task_id), count(*) FROM resource")
    assert kept == [(lost // 9, 399, 3600 - lost)]
    assert caplog.text.count("is full") == 1


def test_a_spool_full_of_states_gives_up_the_oldest_of_them(tmp_path):
    directory = tmp_path / "spool"
    with sender_to(free_address(), directory, buffer_bytes=5000, spool_bytes=100_000) as sender:
        add(sender, *(resource_info(n) for n in range(100)), *(task_info(n) for n in range(2000)))
        with collector(tmp_path / "m.db", sender.address) as running:
            assert sender.close(DEADLINE_S)
            lost = sender.counts.lost
            assert lost_by_kind(sender.address) == {"RESOURCE_INFO": 100, "TASK_INFO": lost - 100}
            [told] = status_of(sender.address).senders
    assert told.counts.missing == 0
    [(first, tasks)] = query(running.database, "SELECT min(task_id), count(*) FROM task")
    assert (first, tasks) == (lost - 100, 2000 - first)


def test_a_spool_that_cannot_be_written_fails_no_sender_and_is_tried_again(tmp_path, caplog):
    directory = tmp_path / "spool"
    directory.write_text("a file is in the way")
    with sender_to(free_address(), directory) as sender:
        add(sender, task_info())
        wait_until(lambda: "cannot be used" in caplog.text, "the warning")
        assert sender.counts == (1, 0, 0, 0, 0)

        directory.unlink()
        await_spooled(sender, 1)
        assert caplog.text.count("cannot be used") == caplog.text.count("can be used again") == 1
        with collector(tmp_path / "m.db", sender.address) as running:
            assert sender.close(DEADLINE_S)
        assert count(running.database, "task") == 1


def test_a_disk_that_fills_up_costs_no_message(tmp_path, caplog):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        with sender_to(free_address(), disk / "spool", buffer_bytes=200_000) as sender:
            add(sender, *(task_info(n, task_inputs="x" * 1000) for n in range(150)))
            await_spooled(sender, 150)
            add(sender, *(task_info(n, task_inputs="x" * 1000) for n in range(150, 300)))
            wait_until(lambda: "cannot be used" in caplog.text, "the warning")
            assert sender.counts == (300, 0, 0, 0, 150)

            subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
            await_spooled(sender, 300)
            assert sequences_in(disk / "spool") == list(range(1, 301))
            with collector(tmp_path / "m.db", sender.address) as running:
                assert sender.close(DEADLINE_S)
            assert count(running.database, "task") == 300
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_spool_that_somebody_removed_is_told_as_lost_and_blocks_nothing(tmp_path):
    directory = tmp_path / "spool"
    with sender_to(free_address(), directory) as sender:
        add(sender, task_info())
        await_spooled(sender, 1)
        for path in segments_in(directory):
            path.unlink()
        add(sender, task_info(1))
        await_spooled(sender, 2)
        with collector(tmp_path / "m.db", sender.address) as running:
            add(sender, task_info(2))
            assert sender.close(DEADLINE_S)

            assert lost_by_kind(sender.address) == {"": 1}
        assert sender.counts == (3, 2, 0, 1, 0)
        assert count(running.database, "task") == 2


def test_what_a_worker_could_not_send_when_it_ended_is_sent_by_the_next_one(tmp_path):
    directory = tmp_path / "spool"
    address = free_address()
    program = f"""
        import pickle
        import parsl_collector._connection as connection
        radio = CollectorRadio(sys.argv[1], spool={str(directory)!r}, agent=False)
        radio = pickle.loads(pickle.dumps(radio))
        connection.CLOSE_TIMEOUT_S = 0.5
        for n in range(100):
            radio.create_sender().send(resource_info(0, n))
        if os.fork() == 0:
            radio.create_sender().send(resource_info(1))
            os._exit(0)
        os.wait()
        """
    assert answers_of(worker(address, program)) == []
    assert sequences_in(directory) == list(range(1, 102))
    assert envelopes_in(directory)[-1].closing_note.last_sequence == 101

    program += """
        [made] = connection._connections.values()
        made.flush(DEADLINE_S)
        say(made._sender.adoption.wait(DEADLINE_S))
        """
    with collector(tmp_path / "m.db", address):
        assert answers_of(worker(address, program)) == [True]

        senders = status_of(address).senders
    assert [(s.counts.stored, s.last_sequence, s.closed) for s in senders] == [(101, 101, True)] * 2
    assert not directory.exists() or list(directory.iterdir()) == []


def test_a_worker_that_is_terminated_leaves_on_disk_what_it_has_not_sent(tmp_path):
    directory = tmp_path / "spool"
    program = f"""
        radio = CollectorRadio(sys.argv[1], spool={str(directory)!r}, agent=False)
        for n in range(1000):
            radio.create_sender().send(resource_info(0, n))
        say("sent")
        wait_to_be_ended()
        """
    process = worker(free_address(), program)
    assert process.stdout.readline() == '"sent"\n'
    process.terminate()

    assert process.wait(DEADLINE_S) == -signal.SIGTERM
    process.communicate()
    assert sequences_in(directory) == list(range(1, 1001))
    assert envelopes_in(directory)[-1].closing_note.last_sequence == 1000


def test_messages_for_which_a_worker_has_no_room_are_told_as_lost_by_kind(tmp_path):
    program = """
        import parsl_collector._connection as connection
        from support import task_info
        connection.MOST_QUEUED = 10
        radio.create_sender()._connection._is_open.wait()  # until then there is room for 10, whatever is sent
        for n in range(500):
            radio.create_sender().send(resource_info(0, n, psutil_process_cwd="x" * 100_000))
        for n in range(50):
            radio.create_sender().send(task_info(n))
        say("sent")
        connection.CLOSE_TIMEOUT_S = DEADLINE_S
        """
    address = free_address()
    process = worker(address, program)
    assert process.stdout.readline() == '"sent"\n'
    with collector(tmp_path / "m.db", address) as running:
        process.communicate(timeout=DEADLINE_S)

        samples = count(running.database, "resource")
        assert 300 < samples < 400
        assert lost_by_kind(address) == {"RESOURCE_INFO": 500 - samples, "TASK_INFO": 50}
        [told] = status_of(address).senders
    assert (told.last_sequence, told.closed, told.counts.missing) == (550, True, 0)


def test_a_message_of_a_forked_child_that_is_too_large_for_its_parent_is_told_as_lost(tmp_path):
    program = """
        radio.create_sender()
        if os.fork() == 0:
            radio.create_sender().send(resource_info(0, psutil_process_cwd="x" * 5_000_000))
            radio.create_sender().send(resource_info(1))
            os._exit(0)
        say(os.wait()[1])
        """
    with collector(tmp_path / "m.db") as running:
        assert answers_of(worker(running.address, program)) == [0]

        assert lost_by_kind(running.address) == {"RESOURCE_INFO": 1}
        assert query(running.database, "SELECT stored, last_sequence FROM collector_sender") == [(1, 2)]


def test_a_radio_says_its_spool_where_it_is_shown():
    shown = repr(CollectorRadio(spool="/tmp/spool", spool_bytes=1000))

    assert "spool='/tmp/spool'" in shown and "spool_bytes=1000" in shown


def test_a_hub_whose_collector_is_away_keeps_all_on_disk_says_where_and_the_next_hub_sends_it(
    tmp_path, capfd
):
    spool = tmp_path / "spool"
    address = free_address()
    with running_hub(tmp_path, address=address, spool=str(spool), close_timeout=0.2) as hub:
        hub.resource_msgs.put(workflow_start())
        for n in range(20_000):
            hub.resource_msgs.put(resource_info(seconds=n))
        hub.resource_msgs.put(workflow_end())
        hub.close()
    told = capfd.readouterr().err
    assert f"0 of 20,002 messages stored in the collector at {address}; 20,002 are kept in {spool}" in told
    assert f'send them with "parsl-collector spool {spool} --to {address}"' in told
    assert envelopes_in(spool)[-1].closing_note.last_sequence == 20_002
    assert sequences_in(spool) == list(range(1, 20_003))

    with collector(tmp_path / "m.db", address) as running:
        with running_hub(tmp_path, address=address, spool=str(spool)) as hub:
            hub.resource_msgs.put(workflow_start("another"))
        assert "1 of 1 messages stored" in capfd.readouterr().err
        assert stored_samples(running.database) == [(20_000, 20_000)]
        status = status_of(address)
    assert sorted((s.counts.stored, s.counts.missing, s.closed) for s in status.senders) == [
        (1, 0, True),
        (20_002, 0, True),
    ]
    assert list(spool.iterdir()) == []


def test_a_drain_sends_what_a_killed_one_has_on_disk_before_the_last_line(tmp_path, caplog, capfd):
    address = free_address()
    with running_hub(tmp_path, address=address) as hub:
        spool = tmp_path / "000" / "spool"
        for n in range(20_000):
            hub.resource_msgs.put(resource_info(seconds=n))
        wait_until(lambda: len(sequences_in(spool)) == 20_000, "the messages to be on disk")
        hub._drain._process.kill()
        wait_until(lambda: "the drain process died" in caplog.text, "its death to be told")
        with collector(tmp_path / "m.db", address) as running:
            hub.resource_msgs.put(task_info())
            hub.close()

            assert stored_samples(running.database) == [(20_000, 20_000)]
            assert count(running.database, "task") == 1
    assert f"20,001 of 20,001 messages stored in the collector at {address}" in capfd.readouterr().err
    assert not spool.exists()


def test_a_drain_whose_program_and_collector_are_gone_leaves_on_disk_what_was_in_the_queue(tmp_path):
    address = free_address()
    program = f"""
import os, signal, sys; sys.path.insert(0, {str(HERE)!r})
from parsl_collector import CollectorHub
from support import task_info
if __name__ == "__main__":
    hub = CollectorHub(address={address!r})
    hub.start({str(tmp_path)!r}, {str(tmp_path)!r})
    for n in range(1000):
        hub.resource_msgs.put(task_info(n))
    hub.resource_msgs.close()
    hub.resource_msgs.join_thread()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "program.py").write_text(program)

    ended = subprocess.run([sys.executable, tmp_path / "program.py"], timeout=DEADLINE_S)

    assert ended.returncode == -signal.SIGKILL
    directory = tmp_path / "spool"
    wait_until(
        lambda: directory.exists() and any(e.HasField("closing_note") for e in envelopes_in(directory)),
        "the drain to give up",
    )
    assert sequences_in(directory) == list(range(1, 1001))
    log = tmp_path / "collector_drain.log"
    wait_until(lambda: f"1000 messages are kept in {directory}" in log.read_text(), "the drain to say so")


def test_what_workers_gave_up_is_in_the_last_line_of_the_hub(tmp_path, capfd):
    with running_hub(tmp_path) as hub:
        hub.resource_msgs.put(workflow_start())
        worker = MessageSender(hub.resource_msgs.parsl_collector_ways["grpc"].address)
        assert worker.add(*encode(task_info()))
        worker.add_lost("TASK_INFO", 2)
        worker.add_lost("RESOURCE_INFO", 3)
        assert worker.close(DEADLINE_S)

    assert "2 of 7 messages stored" in (told := capfd.readouterr().err)
    assert "; 5 were given up by their senders" in told
