from google.protobuf import timestamp_pb2 as _timestamp_pb2
from parsl_collector._pb import envelope_pb2 as _envelope_pb2
from parsl_collector._pb import messages_pb2 as _messages_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STATE_UNSPECIFIED: _ClassVar[RunState]
    RUN_STATE_RUNNING: _ClassVar[RunState]
    RUN_STATE_COMPLETED: _ClassVar[RunState]
    RUN_STATE_LOST: _ClassVar[RunState]
RUN_STATE_UNSPECIFIED: RunState
RUN_STATE_RUNNING: RunState
RUN_STATE_COMPLETED: RunState
RUN_STATE_LOST: RunState

class StreamMessagesRequest(_message.Message):
    __slots__ = ("envelope", "more_envelopes")
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    MORE_ENVELOPES_FIELD_NUMBER: _ClassVar[int]
    envelope: _envelope_pb2.Envelope
    more_envelopes: _containers.RepeatedCompositeFieldContainer[_envelope_pb2.Envelope]
    def __init__(self, envelope: _Optional[_Union[_envelope_pb2.Envelope, _Mapping]] = ..., more_envelopes: _Optional[_Iterable[_Union[_envelope_pb2.Envelope, _Mapping]]] = ...) -> None: ...

class StreamMessagesResponse(_message.Message):
    __slots__ = ("acknowledgements",)
    ACKNOWLEDGEMENTS_FIELD_NUMBER: _ClassVar[int]
    acknowledgements: _containers.RepeatedCompositeFieldContainer[_envelope_pb2.Acknowledgement]
    def __init__(self, acknowledgements: _Optional[_Iterable[_Union[_envelope_pb2.Acknowledgement, _Mapping]]] = ...) -> None: ...

class SendMessagesRequest(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: _envelope_pb2.Envelope
    def __init__(self, envelope: _Optional[_Union[_envelope_pb2.Envelope, _Mapping]] = ...) -> None: ...

class SendMessagesResponse(_message.Message):
    __slots__ = ("acknowledgement",)
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    acknowledgement: _envelope_pb2.Acknowledgement
    def __init__(self, acknowledgement: _Optional[_Union[_envelope_pb2.Acknowledgement, _Mapping]] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ("run_id",)
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    def __init__(self, run_id: _Optional[str] = ...) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("total", "senders", "open_streams", "queued_bytes", "blocked_reason", "runs", "receivers")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SENDERS_FIELD_NUMBER: _ClassVar[int]
    OPEN_STREAMS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_REASON_FIELD_NUMBER: _ClassVar[int]
    RUNS_FIELD_NUMBER: _ClassVar[int]
    RECEIVERS_FIELD_NUMBER: _ClassVar[int]
    total: MessageCounts
    senders: _containers.RepeatedCompositeFieldContainer[SenderStatus]
    open_streams: int
    queued_bytes: int
    blocked_reason: str
    runs: _containers.RepeatedCompositeFieldContainer[RunStatus]
    receivers: _containers.RepeatedCompositeFieldContainer[ReceiverStatus]
    def __init__(self, total: _Optional[_Union[MessageCounts, _Mapping]] = ..., senders: _Optional[_Iterable[_Union[SenderStatus, _Mapping]]] = ..., open_streams: _Optional[int] = ..., queued_bytes: _Optional[int] = ..., blocked_reason: _Optional[str] = ..., runs: _Optional[_Iterable[_Union[RunStatus, _Mapping]]] = ..., receivers: _Optional[_Iterable[_Union[ReceiverStatus, _Mapping]]] = ...) -> None: ...

class ReceiverStatus(_message.Message):
    __slots__ = ("radio", "address", "refused")
    class RefusedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    RADIO_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    radio: str
    address: str
    refused: _containers.ScalarMap[str, int]
    def __init__(self, radio: _Optional[str] = ..., address: _Optional[str] = ..., refused: _Optional[_Mapping[str, int]] = ...) -> None: ...

class RunStatus(_message.Message):
    __slots__ = ("run_id", "workflow_name", "state", "last_received_at")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    workflow_name: str
    state: RunState
    last_received_at: _timestamp_pb2.Timestamp
    def __init__(self, run_id: _Optional[str] = ..., workflow_name: _Optional[str] = ..., state: _Optional[_Union[RunState, str]] = ..., last_received_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class MessageCounts(_message.Message):
    __slots__ = ("stored", "rejected", "repeated", "duplicate_rows", "missing", "lost")
    STORED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_ROWS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    stored: int
    rejected: int
    repeated: int
    duplicate_rows: int
    missing: int
    lost: int
    def __init__(self, stored: _Optional[int] = ..., rejected: _Optional[int] = ..., repeated: _Optional[int] = ..., duplicate_rows: _Optional[int] = ..., missing: _Optional[int] = ..., lost: _Optional[int] = ...) -> None: ...

class LostCount(_message.Message):
    __slots__ = ("kind", "count")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    count: int
    def __init__(self, kind: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class RadioCount(_message.Message):
    __slots__ = ("radio", "received")
    RADIO_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_FIELD_NUMBER: _ClassVar[int]
    radio: str
    received: int
    def __init__(self, radio: _Optional[str] = ..., received: _Optional[int] = ...) -> None: ...

class SenderStatus(_message.Message):
    __slots__ = ("sender_id", "run_id", "hostname", "counts", "last_sequence", "closed", "missing", "last_received_at", "lost", "radios")
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    LAST_RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    RADIOS_FIELD_NUMBER: _ClassVar[int]
    sender_id: str
    run_id: str
    hostname: str
    counts: MessageCounts
    last_sequence: int
    closed: bool
    missing: _containers.RepeatedCompositeFieldContainer[_envelope_pb2.SequenceRange]
    last_received_at: _timestamp_pb2.Timestamp
    lost: _containers.RepeatedCompositeFieldContainer[LostCount]
    radios: _containers.RepeatedCompositeFieldContainer[RadioCount]
    def __init__(self, sender_id: _Optional[str] = ..., run_id: _Optional[str] = ..., hostname: _Optional[str] = ..., counts: _Optional[_Union[MessageCounts, _Mapping]] = ..., last_sequence: _Optional[int] = ..., closed: bool = ..., missing: _Optional[_Iterable[_Union[_envelope_pb2.SequenceRange, _Mapping]]] = ..., last_received_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., lost: _Optional[_Iterable[_Union[LostCount, _Mapping]]] = ..., radios: _Optional[_Iterable[_Union[RadioCount, _Mapping]]] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("position", "from_oldest", "run_ids", "kinds")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FROM_OLDEST_FIELD_NUMBER: _ClassVar[int]
    RUN_IDS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    position: str
    from_oldest: bool
    run_ids: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, position: _Optional[str] = ..., from_oldest: bool = ..., run_ids: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[str]] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("position", "messages")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    position: str
    messages: _containers.RepeatedCompositeFieldContainer[CommittedMessage]
    def __init__(self, position: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[CommittedMessage, _Mapping]]] = ...) -> None: ...

class CommittedMessage(_message.Message):
    __slots__ = ("sender_id", "sequence", "run_id", "hostname", "committed_at", "message", "rejected_reason")
    SENDER_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_AT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REJECTED_REASON_FIELD_NUMBER: _ClassVar[int]
    sender_id: str
    sequence: int
    run_id: str
    hostname: str
    committed_at: _timestamp_pb2.Timestamp
    message: _messages_pb2.MonitoringMessage
    rejected_reason: str
    def __init__(self, sender_id: _Optional[str] = ..., sequence: _Optional[int] = ..., run_id: _Optional[str] = ..., hostname: _Optional[str] = ..., committed_at: _Optional[_Union[_timestamp_pb2.Timestamp, _Mapping]] = ..., message: _Optional[_Union[_messages_pb2.MonitoringMessage, _Mapping]] = ..., rejected_reason: _Optional[str] = ...) -> None: ...
