from parsl_collector._pb import messages_pb2 as _messages_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Envelope(_message.Message):
    __slots__ = ("sender_id", "first_sequence", "run_id", "hostname", "utc_offset_seconds", "messages", "closing_note", "losses")
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    UTC_OFFSET_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    CLOSING_NOTE_FIELD_NUMBER: _ClassVar[int]
    LOSSES_FIELD_NUMBER: _ClassVar[int]
    sender_id: str
    first_sequence: int
    run_id: str
    hostname: str
    utc_offset_seconds: int
    messages: _containers.RepeatedCompositeFieldContainer[_messages_pb2.MonitoringMessage]
    closing_note: ClosingNote
    losses: _containers.RepeatedCompositeFieldContainer[Loss]
    def __init__(self, sender_id: _Optional[str] = ..., first_sequence: _Optional[int] = ..., run_id: _Optional[str] = ..., hostname: _Optional[str] = ..., utc_offset_seconds: _Optional[int] = ..., messages: _Optional[_Iterable[_Union[_messages_pb2.MonitoringMessage, _Mapping]]] = ..., closing_note: _Optional[_Union[ClosingNote, _Mapping]] = ..., losses: _Optional[_Iterable[_Union[Loss, _Mapping]]] = ...) -> None: ...

class Loss(_message.Message):
    __slots__ = ("sequences", "kind")
    SEQUENCES_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    sequences: SequenceRange
    kind: str
    def __init__(self, sequences: _Optional[_Union[SequenceRange, _Mapping]] = ..., kind: _Optional[str] = ...) -> None: ...

class ClosingNote(_message.Message):
    __slots__ = ("last_sequence",)
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    last_sequence: int
    def __init__(self, last_sequence: _Optional[int] = ...) -> None: ...

class SequenceRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("sequence", "reason")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    reason: str
    def __init__(self, sequence: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("sender_id", "committed", "rejections", "closed")
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    sender_id: str
    committed: SequenceRange
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    closed: bool
    def __init__(self, sender_id: _Optional[str] = ..., committed: _Optional[_Union[SequenceRange, _Mapping]] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., closed: bool = ...) -> None: ...
