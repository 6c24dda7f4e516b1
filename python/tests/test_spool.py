"""The spool: what nobody takes is on disk, is sent later, also by another process, and is stored once."""

from __future__ import annotations

import contextlib
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
    task_info,
    wait_until,
    workflow_start,
)

from parsl_collector._adopt import left_segments
from parsl_collector._channel import get_status, open_channel
from parsl_collector._encode import encode
from parsl_collector._pb import collector_service_pb2 as service_pb
from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._segment import envelope_record, opening, owner_here, read_segment
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
    with open_channel(address) as channel:
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
        add(sender, *(resource_info(seconds=n, psutil_process_cwd="x" * 1000) for n in range(200)))
        assert sequences_in(directory)[:1] == [2]

        os.kill(running.process.pid, signal.SIGCONT)
        assert sender.close(DEADLINE_S)
        assert stored_samples(database) == [(200, 200)]
        assert query(database, "SELECT stored, last_sequence FROM collector_sender") == [(201, 201)]


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


@pytest.mark.parametrize("content", [b"", b"PCSPOOL1", b"no segment", b"PCSPOOL1" + bytes(100)])
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
    # Those that were given up are the oldest.
    [(first, samples)] = query(running.database, "SELECT min(timestamp), count(*) FROM resource")
    assert samples == 3600 - lost
    newest = query(running.database, "SELECT count(*) FROM resource WHERE timestamp >= ?", first)
    assert newest == [(samples,)]
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
        wait_until(lambda: "cannot be kept" in caplog.text, "the warning")
        assert sender.counts == (1, 0, 0, 0, 0)

        directory.unlink()
        await_spooled(sender, 1)
        assert caplog.text.count("cannot be kept") == caplog.text.count("can be kept") == 1
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
            wait_until(lambda: "cannot be kept" in caplog.text, "the warning")
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
        with collector(tmp_path / "m.db", sender.address) as running:
            add(sender, task_info(1))
            assert sender.close(DEADLINE_S)

            assert lost_by_kind(sender.address) == {"": 1}
        assert sender.counts == (2, 1, 0, 1, 0)
        assert count(running.database, "task") == 1
