"""What a hub is given: one recorded run, and a run that has just begun."""

from __future__ import annotations

import datetime
import json
import pathlib
from typing import Any

from parsl.monitoring.message_type import MessageType

_GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden" / "messages.jsonl"


def recorded_run() -> list[tuple[MessageType, Any]]:
    """The messages of one real workflow, as they came out of its hub's queue."""
    lines = [json.loads(line) for line in _GOLDEN.read_text().splitlines()]
    return [(MessageType[line["type"]], _value(line["body"])) for line in lines]


def run_that_began(run_id: str) -> list[tuple[MessageType, Any]]:
    """The first two messages of it: its start, and one task that waits."""
    start, pending = recorded_run()[:2]
    return [(kind, {**body, "run_id": run_id}) for kind, body in (start, pending)]


def _value(value: Any) -> Any:
    """JSON has no times and no infinity: they are ISO text and {"float": "inf"} there."""
    if isinstance(value, list):
        return [_value(entry) for entry in value]
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return float(value["float"])
        return {name: _value(entry) for name, entry in value.items()}
    if isinstance(value, str) and value[:2] == "20":
        try:
            return datetime.datetime.fromisoformat(value)
        except ValueError:
            return value
    return value
