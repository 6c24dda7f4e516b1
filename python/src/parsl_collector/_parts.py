"""The parts of an envelope that is refused as a whole: each message alone, and a word in the place of the one
that is to blame."""

from __future__ import annotations

from parsl_collector._encode import length_delimited, unreadable
from parsl_collector._pb import envelope_pb2 as pb


def alone(whole: pb.Envelope) -> list[bytes]:
    """Each message in an envelope of its own, then the closing note and the losses."""
    parts = []
    head = pb.Envelope()
    head.CopyFrom(whole)
    for field in ("messages", "closing_note", "losses"):
        head.ClearField(field)
    for sequence, message in enumerate(whole.messages, whole.first_sequence):
        head.first_sequence = sequence
        parts.append(_with_message(head, message.SerializeToString()))
    if whole.losses or whole.HasField("closing_note"):
        del whole.messages[:]
        whole.ClearField("first_sequence")
        parts.append(whole.SerializeToString())
    return parts


def refused(whole: pb.Envelope, reason: str) -> bytes:
    """The same sequence with the reason in the message's place: the collector keeps it as rejected."""
    [message] = whole.messages
    run_id = getattr(message, message.WhichOneof("kind") or "task_info").run_id or whole.run_id
    instead = unreadable(f"refused on its way: {reason}", message.WhichOneof("kind"), run_id)
    del whole.messages[:]
    return _with_message(whole, instead.data)


def _with_message(head: pb.Envelope, message: bytes) -> bytes:
    return head.SerializeToString() + length_delimited(_MESSAGES, message)


_MESSAGES = pb.Envelope.DESCRIPTOR.fields_by_name["messages"].number
