"""From Parsl's messages, (MessageType, dict) tuples, to encoded MonitoringMessages.

Pure. Nothing that comes in raises: what is no message comes out as an UnreadableMessage with the reason, so
that it is kept and costs no other message. Required values that are merely missing are sent as they are; the
collector says which table lacks what.
"""

from __future__ import annotations

import datetime
import operator
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import Message

from parsl_collector._pb import messages_pb2 as pb


class Encoded(NamedTuple):
    """One MonitoringMessage on its way."""

    run_id: str
    """The run; empty where the message does not say. The envelope carries it."""
    data: bytes
    """The encoded MonitoringMessage, without its run."""


MOST_BYTES = 32 * 1024 * 1024
"""Largest message that is sent whole, in bytes; the collector's limit for a request is twice that."""

_MOST_TEXT = 4096
"""Characters of something unreadable that are kept for a person to read."""

_MOST_MARK = 100
"""Bytes that the mark of a cut takes at most."""

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
_SECOND = datetime.timedelta(seconds=1)


def encode(tagged: object) -> list[Encoded]:
    """The messages in one thing out of Parsl's queue: one, but for BLOCK_INFO one for each entry."""
    try:
        kind, body = _parts(tagged)
        if kind == "BLOCK_INFO":
            if not isinstance(body, (list, tuple)):
                raise _Unreadable(f"BLOCK_INFO: expected a list of blocks, got {type(body).__name__}")
            return [_encode_one(kind, entry) for entry in body]
    except Exception as e:  # a tag may be anything too
        return [unreadable(_reason(e), tagged)]
    return [_encode_one(kind, body)]


def kind_name(tagged: object) -> str:
    """The kind of one thing out of Parsl's queue, as Parsl names it; empty where it says none."""
    try:
        return _parts(tagged)[0]
    except Exception:  # a tag may be anything
        return ""


def unreadable(reason: str, thing: object, run_id: str = "") -> Encoded:
    """What is sent in place of something that is no message."""
    return unreadable_text(reason, text_of(thing), run_id)


def text_of(thing: object) -> str:
    """What a thing is, for a person."""
    try:
        return repr(thing)
    except Exception as e:
        return f"<{type(thing).__name__} whose repr raises {type(e).__name__}>"


def unreadable_text(reason: str, text: str, run_id: str = "") -> Encoded:
    """The same for a thing of which there is only the text."""
    if len(text) > _MOST_TEXT:
        text = f"{text[:_MOST_TEXT]}... [{len(text)} characters]"
    message = pb.UnreadableMessage(reason=_visible(reason), text=_visible(text))
    return Encoded(run_id, pb.MonitoringMessage(unreadable_message=message).SerializeToString())


class _Unreadable(ValueError):
    """Why something is no message."""


def _parts(tagged: object) -> tuple[str, object]:
    if not isinstance(tagged, tuple):
        raise _Unreadable(f"expected a tuple of type and body, got {type(tagged).__name__}")
    if len(tagged) != 2:
        raise _Unreadable(f"expected a tuple of type and body, got a tuple of {len(tagged)}")
    tag, body = tagged
    # By name: whoever unpickled it may have another MessageType than the one here.
    name = getattr(tag, "name", None)
    if not isinstance(name, str) or name not in _KINDS:
        raise _Unreadable(f"unknown message type {tag!r:.200}")
    return name, body


def _encode_one(kind: str, body: object) -> Encoded:
    run_id = ""
    try:
        if not isinstance(body, Mapping):
            raise _Unreadable(f"expected a dict, got {type(body).__name__}")
        if (run := body.get("run_id")) is not None:
            run_id = _text(run)
        field, make = _KINDS[kind]
        message = make(body)
        data = message.SerializeToString()
        if len(data) > MOST_BYTES:
            data = _cut(message, len(data)).SerializeToString()
        # The MonitoringMessage around it is this one field: written here it costs no copy of the message.
        return Encoded(run_id, length_delimited(_NUMBERS[field], data))
    except Exception as e:  # a dict may hold anything, and raise anything
        return unreadable(f"{kind}: {_reason(e)}", body, run_id)


def length_delimited(number: int, data: bytes) -> bytes:
    """A protobuf field, 15 at most by number, of bytes that are encoded already."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """A protobuf varint."""
    if value < 0x80:
        return _BYTES[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_BYTES = [bytes([value]) for value in range(0x80)]
_NUMBERS = {field.name: field.number for field in pb.MonitoringMessage.DESCRIPTOR.fields}


def _reason(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def _cut(message: Message, size: int) -> Message:
    """Cuts the longest texts of a message until it is small enough, with a mark that a reader sees."""
    texts = {f.name: v for f, v in message.ListFields() if isinstance(v, str)}
    excess = size - MOST_BYTES
    for name, text in sorted(texts.items(), key=lambda item: -len(item[1])):
        if excess <= 0:
            break
        whole = text.encode()
        kept = whole[: max(0, len(whole) - excess - _MOST_MARK)].decode(errors="ignore")
        marked = f"{kept}... [cut by parsl-collector: kept {len(kept)} of {len(text)} characters]"
        setattr(message, name, marked)
        excess -= len(whole) - len(marked.encode())
    if excess > 0:
        raise _Unreadable(f"it has {size} bytes, more than the {MOST_BYTES} that can be sent")
    return message


# Converters: from what Parsl's dicts hold to what protobuf takes. They raise for anything else; the message
# is then unreadable. None never reaches them.

_Timestamp = dict[str, int]
"""Fields of a Timestamp: as its parent takes them, cheaper than the message."""


def _time(value: Any) -> _Timestamp:
    """A naive datetime is in this process's local zone, as datetime.now() is. Exact to the microsecond."""
    if not isinstance(value, datetime.datetime):
        raise _Unreadable(f"expected a datetime, got {type(value).__name__}")
    if value.tzinfo is None:
        micros = value.microsecond
        # A whole number of seconds is exact in a float; the microseconds are not, so they stay aside.
        return {"seconds": round(value.timestamp() - micros / 1_000_000), "nanos": micros * 1000}
    since = value - _EPOCH
    return {"seconds": since // _SECOND, "nanos": since.microseconds * 1000}


def _epoch_time(value: Any) -> _Timestamp:
    """Seconds since 1970, as time.time() gives them."""
    seconds, micros = divmod(round(float(value) * 1_000_000), 1_000_000)
    return {"seconds": seconds, "nanos": micros * 1000}


def _int(value: Any) -> int:
    if type(value) is int:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)  # bool and numpy's integers too


def _double(value: Any) -> float:
    if isinstance(value, (str, bytes)):
        raise _Unreadable(f"expected a number, got {value!r:.100}")
    return float(value)


def _bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    if type(value).__name__ in ("bool", "bool_") or value in (0, 1):  # numpy's, and SQL's
        return bool(value)
    raise _Unreadable(f"expected a bool, got {value!r:.100}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return _visible(value)
    if isinstance(value, bytes):
        return _visible(os.fsdecode(value))
    if isinstance(value, (int, float)):
        return str(value)
    raise _Unreadable(f"expected text, got {type(value).__name__}")


def _visible(text: str) -> str:
    """File names that are no UTF-8 come as lone surrogates, which protobuf and SQLite refuse: they become
    escapes that a person sees and a program can turn back (the byte 0xff becomes \\udcff)."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def _path(value: Any) -> str:
    """The path alone of all that Parsl takes for a standard stream: text, bytes, a path object, a File, or a
    tuple of one of these and a mode."""
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    if isinstance(value, str):
        return _visible(value)
    # A File is a path object too, but one elsewhere has no path here, and raises when it is asked for it.
    if hasattr(value, "scheme") and hasattr(value, "path"):
        return _visible(value.path if value.scheme == "file" else value.url)
    if isinstance(value, os.PathLike):
        return _visible(os.fsdecode(value))
    return _text(value)


def _ids(value: Any) -> list[int]:
    return [_int(entry) for entry in value]


def _versions(value: Any) -> dict[str, str]:
    return {_text(name): _text(version) for name, version in value.items()}


_Converters = dict[str, Callable[[Any], Any]]


_CHECKED_BY_PROTOBUF = (_int, _double, _text, _path)
"""What these leave as it is protobuf takes, and refuses all that they change."""


def _maker(message: type[Message], converters: _Converters) -> Callable[[Mapping[str, Any]], Message]:
    checked = {name: convert for name, convert in converters.items() if convert in _CHECKED_BY_PROTOBUF}
    others = {name: convert for name, convert in converters.items() if name not in checked}

    def make(body: Mapping[str, Any]) -> Message:
        values = _converted(body, others)
        try:
            # Parsl's own messages need no more, and this takes a third of the time.
            return message(**values, **{name: body.get(name) for name in checked})
        except Exception:
            return message(**values, **_converted(body, checked))

    return make


def _converted(body: Mapping[str, Any], converters: _Converters) -> dict[str, Any]:
    values = {}
    for name, convert in converters.items():
        value = body.get(name)
        if value is not None:
            try:
                values[name] = convert(value)
            except Exception as e:
                raise _Unreadable(f"{name}: {e}") from e
    return values


_make_start = _maker(
    pb.WorkflowStart,
    {
        "python_version": _text,
        "parsl_version": _text,
        "time_began": _time,
        "workflow_name": _text,
        "workflow_version": _text,
        "rundir": _text,
        "tasks_completed_count": _int,
        "tasks_failed_count": _int,
        "user": _text,
        "host": _text,
    },
)

_make_end = _maker(
    pb.WorkflowEnd,
    {
        "tasks_completed_count": _int,
        "tasks_failed_count": _int,
        "time_completed": _time,
        "rundir": _text,
    },
)


def _make_workflow(body: Mapping[str, Any]) -> Message:
    # As Parsl's database manager tells them apart.
    if "python_version" in body:
        return pb.WorkflowInfo(start=_make_start(body))
    return pb.WorkflowInfo(end=_make_end(body))


_KINDS: dict[str, tuple[str, Callable[[Mapping[str, Any]], Message]]] = {
    "WORKFLOW_INFO": ("workflow_info", _make_workflow),
    "TASK_INFO": (
        "task_info",
        _maker(
            pb.TaskInfo,
            {
                "task_id": _int,
                "try_id": _int,
                "timestamp": _time,
                "task_status_name": _text,
                "task_status": _int,
                "task_func_name": _text,
                "task_memoize": _bool,
                "task_hashsum": _text,
                "task_fail_count": _int,
                "task_fail_cost": _double,
                "task_time_invoked": _time,
                "task_try_time_launched": _time,
                "task_time_returned": _time,
                "task_try_time_returned": _time,
                "task_executor": _text,
                "tasks_failed_count": _int,
                "tasks_completed_count": _int,
                "tasks_memo_completed_count": _int,
                "from_memo": _bool,
                "task_inputs": _text,
                "task_outputs": _text,
                "task_stdin": _path,
                "task_stdout": _path,
                "task_stderr": _path,
                "task_fail_history": _text,
                "task_depends": _text,
                "task_joins": _text,
            },
        ),
    ),
    "WORKER_TASK_INFO": (
        "worker_task_info",
        _maker(
            pb.WorkerTaskInfo,
            {
                "task_id": _int,
                "try_id": _int,
                "hostname": _text,
                "block_id": _text,
                "first_msg": _bool,
                "last_msg": _bool,
                "timestamp": _time,
                "process_pid": _int,
                "resource_monitoring_interval": _double,
            },
        ),
    ),
    "RESOURCE_INFO": (
        "resource_info",
        _maker(
            pb.ResourceInfo,
            {
                "task_id": _int,
                "try_id": _int,
                "timestamp": _time,
                "hostname": _text,
                "resource_monitoring_interval": _double,
                "psutil_process_pid": _int,
                "psutil_process_memory_percent": _double,
                "psutil_process_children_count": _double,
                "psutil_process_time_user": _double,
                "psutil_process_time_system": _double,
                "psutil_process_memory_virtual": _double,
                "psutil_process_memory_resident": _double,
                "psutil_process_disk_read": _double,
                "psutil_process_disk_write": _double,
                "psutil_process_status": _text,
                "psutil_cpu_num": _int,
                "psutil_process_num_ctx_switches_voluntary": _double,
                "psutil_process_num_ctx_switches_involuntary": _double,
                "psutil_cpu_count": _int,
                "psutil_process_cpu_num": _int,
                "psutil_process_create_time": _double,
                "psutil_process_cwd": _text,
                "psutil_process_exe": _text,
                "psutil_process_name": _text,
                "psutil_process_nice": _int,
                "psutil_process_num_threads": _int,
                "psutil_process_ppid": _int,
                "psutil_process_username": _text,
            },
        ),
    ),
    "NODE_INFO": (
        "node_info",
        _maker(
            pb.NodeInfo,
            {
                "timestamp": _time,
                "hostname": _text,
                "uid": _text,
                "block_id": _text,
                "cpu_count": _int,
                "total_memory": _int,
                "active": _bool,
                "worker_count": _int,
                "python_v": _text,
                "last_heartbeat": _time,
                "start_time": _epoch_time,
                "idle_since": _epoch_time,
                "drain_time": _double,
                "draining": _bool,
                "tasks": _ids,
                "max_capacity": _int,
                "prefetch_capacity": _int,
                "type": _text,
                "os": _text,
                "dir": _text,
                "parsl_version": _text,
                "python_version": _text,
                "parsl_v": _text,
                "packages": _versions,
            },
        ),
    ),
    "BLOCK_INFO": (
        "block_info",
        _maker(
            pb.BlockInfo,
            {
                "executor_label": _text,
                "block_id": _text,
                "job_id": _text,
                "timestamp": _time,
                "status": _text,
            },
        ),
    ),
}
