"""What is told of messages that their sender gives up: their sequences, by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from google.protobuf.message import DecodeError

from parsl_collector._pb import envelope_pb2 as pb
from parsl_collector._pb import messages_pb2

SAMPLE = "RESOURCE_INFO"
"""The kind that is given up first: one sample less costs a point of a curve, not the state of a task."""

_MOST_RANGES = 4096
"""Ranges that are told with their kinds; beyond them neighbours are told together, without."""


class Loss(NamedTuple):
    """Consecutive sequences of one kind that were given up, both ends included."""

    kind: str
    """As Parsl names it; empty when they are of several or unknown."""
    first: int
    last: int


_KINDS = [f for f in messages_pb2.MonitoringMessage.DESCRIPTOR.fields if f.name != "unreadable_message"]
_NAME_OF_NUMBER = {field.number: field.name.upper() for field in _KINDS}
_NAME_OF_FIELD = {field.name: field.name.upper() for field in _KINDS}


def kind_of(data: bytes) -> str:
    """The kind of an encoded MonitoringMessage, whose first byte is the tag of its only field."""
    return _NAME_OF_NUMBER.get(data[0] >> 3, "") if data else ""


def losses_in(envelope: pb.Envelope) -> list[Loss]:
    """What an envelope tells as lost."""
    return [Loss(loss.kind, loss.sequences.first, loss.sequences.last) for loss in envelope.losses]


def tell(envelope: pb.Envelope, losses: Iterable[Loss]) -> None:
    """Adds losses to an envelope."""
    for kind, first, last in merged(losses):
        envelope.losses.add(kind=kind, sequences=pb.SequenceRange(first=first, last=last))


def as_lost(data: bytes) -> pb.Envelope | None:
    """An envelope that tells the messages of another one as lost; None where that has none, or numbers them
    so that no field holds their sequences."""
    try:
        envelope = pb.Envelope.FromString(data)
        _, lost = split(envelope)
        told = pb.Envelope(sender_id=envelope.sender_id, run_id=envelope.run_id)
        tell(told, [*losses_in(envelope), *lost])
    except (DecodeError, ValueError):
        return None
    return told if lost else None


def split(
    envelope: pb.Envelope, is_given_up: Callable[[str], bool] = lambda kind: True
) -> tuple[list[pb.Envelope], list[Loss]]:
    """What is left of an envelope without the messages of the kinds that are given up, and these as losses.
    Several envelopes, since the messages of one follow each other without a gap. What it tells as lost itself
    is in neither."""
    kept: list[pb.Envelope] = []
    lost: list[Loss] = []
    head = pb.Envelope()
    head.CopyFrom(envelope)
    for name in ("first_sequence", "messages", "losses", "closing_note"):
        head.ClearField(name)
    follows = False
    for sequence, message in enumerate(envelope.messages, envelope.first_sequence):
        kind = _NAME_OF_FIELD.get(message.WhichOneof("kind"), "")
        if is_given_up(kind):
            lost.append(Loss(kind, sequence, sequence))
            follows = False
            continue
        if not follows:
            kept.append(pb.Envelope())
            kept[-1].CopyFrom(head)
            kept[-1].first_sequence = sequence
            follows = True
        kept[-1].messages.append(message)
    if envelope.HasField("closing_note"):
        head.closing_note.CopyFrom(envelope.closing_note)
        kept.append(head)
    return kept, merged(lost)


def merged(losses: Iterable[Loss]) -> list[Loss]:
    """The same sequences in as few ranges as may be."""
    ranges = _joined(sorted(losses, key=lambda loss: loss.first), lambda a, b: a == b)
    return ranges if len(ranges) <= _MOST_RANGES else _joined(ranges, lambda a, b: True)


def _joined(losses: Iterable[Loss], may_join: Callable[[str, str], bool]) -> list[Loss]:
    ranges: list[Loss] = []
    for loss in losses:
        before = ranges[-1] if ranges else None
        if before is not None and loss.first <= before.last + 1 and may_join(before.kind, loss.kind):
            kind = loss.kind if loss.kind == before.kind else ""
            ranges[-1] = Loss(kind, before.first, max(before.last, loss.last))
        else:
            ranges.append(loss)
    return ranges
