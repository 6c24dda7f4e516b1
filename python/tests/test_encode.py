"""From what Parsl's dicts hold to MonitoringMessages: nothing raises, nothing is lost, nothing is guessed."""

from __future__ import annotations

import datetime
import enum
import os
import pathlib
import zoneinfo
from typing import Any

import numpy
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from parsl.data_provider.files import File
from parsl.monitoring.message_type import MessageType
from support import (
    RUN,
    Unprintable,
    block,
    block_info,
    golden_messages,
    node_info,
    resource_info,
    task_info,
    worker_task_info,
    workflow_end,
    workflow_start,
)

from parsl_collector import _encode
from parsl_collector._encode import MOST_BYTES, encode
from parsl_collector._pb import messages_pb2 as pb


def decoded(thing: object) -> list[tuple[str, Any]]:
    """The kind and the content of each message that comes out of one thing."""
    kinds = []
    for encoded in encode(thing):
        message = pb.MonitoringMessage.FromString(encoded.data)
        kind = message.WhichOneof("kind")
        assert kind is not None
        kinds.append((kind, getattr(message, kind)))
    return kinds


def only(thing: object) -> Any:
    """The content of the only message of a thing, which is none that is unreadable."""
    [(kind, message)] = decoded(thing)
    assert kind != "unreadable_message", message
    return message


def reason(thing: object) -> str:
    """Why a thing is no message."""
    [(kind, message)] = decoded(thing)
    assert kind == "unreadable_message", message
    return message.reason


def micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000


def test_every_field_of_the_golden_messages_arrives(zone):
    zone("UTC")
    not_sent = set()

    for kind, body in golden_messages():
        entries = body if isinstance(body, list) else [body]
        messages = decoded((kind, body))
        assert len(messages) == len(entries)
        for (name, message), entry in zip(messages, entries, strict=True):
            assert name.upper() == kind.name
            if name == "workflow_info":
                message = getattr(message, message.WhichOneof("phase"))
            sent = {field.name: value for field, value in message.ListFields()}
            for field, value in entry.items():
                if field not in message.DESCRIPTOR.fields_by_name:
                    not_sent.add((name, field))
                elif field != "run_id":
                    assert_same(sent.pop(field, None), value, field)
            assert not sent

    assert {name for name, _ in not_sent} <= {"workflow_info"}  # whose run is in the envelope
    assert {field for _, field in not_sent} == {"run_id"}


def assert_same(sent: object, given: object, field: str) -> None:
    if isinstance(sent, Timestamp):
        if isinstance(given, float):
            assert micros(sent) == round(given * 1_000_000), field
        else:
            assert isinstance(given, datetime.datetime)
            assert sent.ToDatetime() == given, field
    elif given in (None, [], {}):
        assert not sent, field
    elif isinstance(given, (list, dict)):
        assert type(given)(sent) == given, field
    elif isinstance(sent, str):
        assert sent == str(given), field
    else:
        assert sent == given, field


@pytest.mark.parametrize(
    "value",
    [
        *("text", "h\xe9", "\udcff", "", b"text", b"\xff", pathlib.Path("/a"), ("/a", "w"), File("/a")),
        *(3, -1, 2**63, 2.0, 2.5, numpy.int64(3), numpy.float32(2.5), [1], {"a": 1}),
    ],
    ids=ascii,
)
@pytest.mark.parametrize(
    ("field", "convert"),
    [
        ("task_id", _encode._int),
        ("task_fail_cost", _encode._double),
        ("task_func_name", _encode._text),
        ("task_stdout", _encode._path),
    ],
)
def test_protobuf_takes_as_it_is_only_what_conversion_leaves_as_it_is(field, convert, value):
    assert convert in _encode._CHECKED_BY_PROTOBUF
    try:
        message = pb.TaskInfo(**{field: value})
    except Exception:
        return  # and so it is converted

    assert message == pb.TaskInfo(**{field: convert(value)})


def test_all_kinds_are_in_the_golden_messages():
    assert {kind for kind, _ in golden_messages()} == set(MessageType)


def test_the_run_is_kept_beside_the_message():
    for thing in (
        workflow_start(),
        task_info(),
        worker_task_info(),
        resource_info(),
        node_info(),
        block_info(block()),
    ):
        [encoded] = encode(thing)
        assert encoded.run_id == RUN


# Times


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]
)
@pytest.mark.parametrize("microsecond", [0, 1, 299, 300, 499_999, 500_000, 999_999])
def test_a_naive_time_is_local_and_exact_to_the_microsecond(zone, name, microsecond):
    zone(name)
    local = datetime.datetime(2026, 7, 14, 23, 59, 59, microsecond)
    instant = local.replace(tzinfo=zoneinfo.ZoneInfo(name))

    sent = only(worker_task_info(timestamp=local)).timestamp

    assert sent.ToDatetime(datetime.timezone.utc) == instant
    assert sent.nanos == microsecond * 1000


def test_the_hour_that_comes_twice_is_told_apart_by_fold(zone):
    zone("Europe/Berlin")
    local = datetime.datetime(2026, 10, 25, 2, 30, 0, 123_457)

    first, second = (
        micros(only(worker_task_info(timestamp=local.replace(fold=fold))).timestamp) for fold in (0, 1)
    )

    assert second - first == 3_600_000_000
    assert first == micros(
        only(worker_task_info(timestamp=local.astimezone(datetime.timezone.utc))).timestamp
    )


def test_a_time_before_1970_is_exact(zone):
    zone("UTC")
    early = datetime.datetime(1969, 12, 31, 23, 59, 58, 700_001)

    for time in (early, early.replace(tzinfo=datetime.timezone.utc)):
        assert only(worker_task_info(timestamp=time)).timestamp == Timestamp(seconds=-2, nanos=700_001_000)


def test_one_instant_from_three_zones_is_one_time(zone):
    zone("Europe/Berlin")
    utc = datetime.datetime(2026, 11, 25, 11, 30, 0, 300, datetime.timezone.utc)
    ahead, behind = (datetime.timezone(datetime.timedelta(hours=hours)) for hours in (5, -8))

    times = [utc, utc.astimezone(ahead), utc.astimezone(behind), utc.astimezone().replace(tzinfo=None)]

    assert {micros(only(worker_task_info(timestamp=time)).timestamp) for time in times} == {
        1_795_606_200_000_300
    }


def test_two_samples_300_microseconds_apart_stay_apart():
    first, second = (micros(only(resource_info(seconds=seconds)).timestamp) for seconds in (1, 1.000_3))

    assert second - first == 300


def test_seconds_since_1970_become_a_time():
    message = only(node_info(start_time=1_795_606_200.000_25, idle_since=None, drain_time=float("inf")))

    assert micros(message.start_time) == 1_795_606_200_000_250
    assert not message.HasField("idle_since")
    assert message.drain_time == float("inf")


# Numbers


def test_numbers_of_numpy_are_numbers():
    message = only(
        resource_info(
            task_id=numpy.int64(7),
            try_id=numpy.uint8(1),
            psutil_process_memory_percent=numpy.float32(0.25),
            psutil_process_disk_read=numpy.float64(3),
        )
    )

    assert (message.task_id, message.try_id) == (7, 1)
    assert (message.psutil_process_memory_percent, message.psutil_process_disk_read) == (0.25, 3.0)
    assert only(task_info(task_memoize=numpy.True_)).task_memoize is True
    assert only(node_info(active=0)).active is False


def test_unset_and_zero_are_told_apart():
    unset, zero = (only(resource_info(psutil_process_disk_read=value)) for value in (None, 0))

    assert not unset.HasField("psutil_process_disk_read")
    assert zero.HasField("psutil_process_disk_read")
    assert zero.psutil_process_disk_read == 0.0


def test_no_block_is_unset():
    assert not only(worker_task_info(block_id=None)).HasField("block_id")


# Texts


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (os.fsdecode(b"log\xff"), "log\\udcff"),
        (b"log\xff", "log\\udcff"),
        ("\ud800 and \U0001f600", "\\ud800 and \U0001f600"),
        ("grün", "grün"),
    ],
)
def test_what_is_not_utf_8_is_escaped_in_sight(given, sent):
    assert only(task_info(task_stdout=given)).task_stdout == sent


def test_an_escaped_name_can_be_turned_back():
    sent = only(task_info(task_stdout=b"log\xff\xfe.txt")).task_stdout

    assert os.fsencode(sent.encode().decode("unicode_escape")) == b"log\xff\xfe.txt"


@pytest.mark.parametrize(
    "given",
    [
        "/run/out.txt",
        ("/run/out.txt", "w"),
        ["/run/out.txt", "a"],
        b"/run/out.txt",
        (b"/run/out.txt", "wb"),
        pathlib.PurePosixPath("/run/out.txt"),
        (pathlib.Path("/run/out.txt"), "w"),
        File("/run/out.txt"),
        File("file:///run/out.txt"),
        (File("/run/out.txt"), "w"),
    ],
    ids=repr,
)
def test_of_a_standard_stream_the_path_alone_is_sent(given):
    message = only(task_info(task_stdout=given, task_stderr=given, task_stdin=given))

    assert {message.task_stdout, message.task_stderr, message.task_stdin} == {"/run/out.txt"}


def test_a_file_elsewhere_keeps_its_url():
    assert only(task_info(task_stdout=File("https://host/out.txt"))).task_stdout == "https://host/out.txt"


def test_names_are_sent_as_they_are():
    name = 'it\'s "<b>bold</b>" & \U0001f600; DROP TABLE task;--\x00' + "x" * 100_000

    assert only(task_info(task_func_name=name)).task_func_name == name


# What is no message


class OtherType(enum.Enum):
    """Not Parsl's."""

    TASK_INFO = 1
    SOMETHING = 2


class Hostile:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError("hostile")

    def __repr__(self) -> str:
        raise RuntimeError("hostile")


class HostileMapping(dict):
    def get(self, *args: object) -> object:
        raise RuntimeError("hostile get")


class HostileError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("hostile error")


class RaisesHostileError(dict):
    def get(self, *args: object) -> object:
        raise HostileError


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (None, "expected a tuple of type and body, got NoneType"),
        ({}, "expected a tuple of type and body, got dict"),
        ([MessageType.TASK_INFO, {}], "expected a tuple of type and body, got list"),
        ((99, {}), "unknown message type 99"),
        (("TASK_INFO", {}), "unknown message type 'TASK_INFO'"),
        ((OtherType.SOMETHING, {}), "unknown message type <OtherType.SOMETHING: 2>"),
        ((MessageType.TASK_INFO, {}, 1), "expected a tuple of type and body, got a tuple of 3"),
        ((MessageType.TASK_INFO,), "expected a tuple of type and body, got a tuple of 1"),
        ((), "expected a tuple of type and body, got a tuple of 0"),
        ((MessageType.TASK_INFO, None), "TASK_INFO: expected a dict, got NoneType"),
        ((MessageType.TASK_INFO, "text"), "TASK_INFO: expected a dict, got str"),
        ((MessageType.BLOCK_INFO, block()), "BLOCK_INFO: expected a list of blocks, got dict"),
        (task_info(task_id="seven"), "TASK_INFO: task_id: 'str' object cannot be interpreted as an integer"),
        (task_info(task_id=1.5), "TASK_INFO: task_id: 'float' object cannot be interpreted as an integer"),
        (task_info(timestamp="2026-11-25"), "TASK_INFO: timestamp: expected a datetime, got str"),
        (task_info(task_memoize="yes"), "TASK_INFO: task_memoize: expected a bool, got 'yes'"),
        (task_info(task_func_name=["f"]), "TASK_INFO: task_func_name: expected text, got list"),
        (
            resource_info(psutil_process_disk_read="3"),
            "RESOURCE_INFO: psutil_process_disk_read: expected a number, got '3'",
        ),
        (node_info(packages=["numpy"]), "NODE_INFO: packages: 'list' object has no attribute 'items'"),
        ((MessageType.TASK_INFO, HostileMapping(run_id=RUN)), "TASK_INFO: hostile get"),
        ((MessageType.TASK_INFO, RaisesHostileError()), "TASK_INFO: HostileError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_message_becomes_one_that_says_why(thing, expected):
    assert reason(thing) == expected


@pytest.mark.parametrize(
    "thing",
    [
        task_info(task_id=-1),
        task_info(task_id=2**32),
        task_info(task_fail_count=10**30),
        node_info(total_memory=2**63),
        node_info(start_time=float("nan")),
        workflow_end(time_completed=0),
        Unprintable(),
        (MessageType.TASK_INFO, Unprintable()),
        task_info(task_func_name=Unprintable()),
        (Unprintable(), Unprintable()),
        task_info(run_id=[]),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_whatever_comes_has_a_reason_in_place_of_an_exception(thing):
    assert reason(thing)


def test_a_thing_that_cannot_even_be_looked_at_has_a_reason():
    # Not parameters: pytest looks at those.
    assert reason(Hostile()) == "hostile"
    assert reason((Hostile(), {})) == "hostile"
    assert "hostile" in reason((MessageType.TASK_INFO, Hostile()))
    assert "hostile" in reason(task_info(task_func_name=Hostile()))


def test_a_thing_is_kept_as_text_that_a_person_can_read():
    [(_, short)] = decoded((99, {"run_id": "x"}))
    [(_, long)] = decoded("x" * 100_000)
    [(_, unprintable)] = decoded(Unprintable())

    assert short.text == "(99, {'run_id': 'x'})"
    assert long.text.startswith("'xxx") and long.text.endswith("... [100002 characters]")
    assert len(long.text) < 5_000
    assert unprintable.text == "<Unprintable whose repr raises RuntimeError>"


def test_a_thing_that_names_its_run_keeps_it():
    [encoded] = encode(task_info(task_id="seven"))

    assert encoded.run_id == RUN


def test_a_missing_status_is_for_the_collector_to_refuse():
    kind, body = task_info()
    del body["task_status_name"]

    assert not only((kind, body)).HasField("task_status_name")


def test_a_bad_block_costs_only_itself():
    messages = decoded(block_info(block("0"), None, block("1", timestamp="now"), block("2", job_id=None)))

    assert [kind for kind, _ in messages] == [
        "block_info",
        "unreadable_message",
        "unreadable_message",
        "block_info",
    ]
    assert messages[1][1].reason == "BLOCK_INFO: expected a dict, got NoneType"
    assert messages[2][1].reason == "BLOCK_INFO: timestamp: expected a datetime, got str"
    assert not messages[3][1].HasField("job_id")


def test_no_blocks_are_no_messages():
    assert encode(block_info()) == []


def test_a_type_of_another_parsl_counts_by_its_name():
    _, body = task_info()

    assert only((OtherType.TASK_INFO, body)).task_id == 0


# Size


@pytest.fixture
def limit(monkeypatch) -> int:
    """A limit of its own: the real one takes seconds to fill."""
    monkeypatch.setattr(_encode, "MOST_BYTES", 100_000)
    return 100_000


def encoded_task(**changes: Any) -> tuple[int, pb.TaskInfo]:
    """The size of a message and its content."""
    [encoded] = encode(task_info(3, **changes))
    return len(encoded.data), pb.MonitoringMessage.FromString(encoded.data).task_info


def test_a_message_that_is_too_large_is_cut_in_sight(limit):
    size, message = encoded_task(task_inputs="x" * 2 * limit, task_outputs="short")

    kept = len(message.task_inputs.split("...")[0])
    assert limit - 200 < size < limit + 10
    assert message.task_inputs.endswith(
        f"... [cut by parsl-collector: kept {kept} of {2 * limit} characters]"
    )
    assert (message.task_id, message.task_outputs) == (3, "short")


@pytest.mark.parametrize("surplus", range(4))
def test_a_cut_falls_between_two_characters(limit, surplus):
    size, message = encoded_task(task_inputs="x" * surplus + "\U0001f600" * limit)

    assert size < limit + 10
    assert set(message.task_inputs.split("...")[0][surplus:]) == {"\U0001f600"}


def test_several_texts_are_cut_when_one_is_not_enough(limit):
    size, message = encoded_task(task_inputs="x" * limit, task_outputs="y" * limit, task_depends="1,2")

    assert size < limit + 10
    assert "cut by parsl-collector" in message.task_inputs + message.task_outputs
    assert message.task_depends == "1,2"


def test_what_cannot_be_cut_is_unreadable(limit):
    assert "more than the 100000 that can be sent" in reason(node_info(tasks=range(100_000)))


def test_the_real_limit_is_kept():
    size, message = encoded_task(task_inputs="x" * (MOST_BYTES + 1))

    assert MOST_BYTES - 200 < size < MOST_BYTES + 10
    assert len(message.task_inputs) > MOST_BYTES - 1_000


def test_what_is_below_the_limit_is_sent_whole(limit):
    text = "x" * (limit - 1_000)

    assert encoded_task(task_inputs=text)[1].task_inputs == text
