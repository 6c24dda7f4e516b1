"""The messages that a Client sends: protobuf classes. They are made from messages.proto, which says what each
field means, in which unit, and which ones are required."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from parsl_collector._pb.messages_pb2 import (
    BlockInfo,
    MonitoringMessage,
    NodeInfo,
    NodeUsage,
    ResourceInfo,
    TaskInfo,
    WorkerTaskInfo,
    WorkflowEnd,
    WorkflowInfo,
    WorkflowStart,
)

__all__ = [
    "BlockInfo",
    "MonitoringMessage",
    "NodeInfo",
    "NodeUsage",
    "ResourceInfo",
    "TaskInfo",
    "Timestamp",
    "WorkerTaskInfo",
    "WorkflowEnd",
    "WorkflowInfo",
    "WorkflowStart",
]
