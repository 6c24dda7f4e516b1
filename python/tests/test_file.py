"""One database file with several writers."""

from __future__ import annotations

from parsl.monitoring import MonitoringHub
from support import DEADLINE_S, collector, query, resource_info, task_info, workflow_start

from parsl_collector._encode import encode
from parsl_collector._sender import MessageSender

OURS, THEIRS = "ours", "theirs"
TASKS = 500


def messages(run_id: str):
    yield workflow_start(run_id)
    for task_id in range(TASKS):
        yield task_info(task_id, run_id=run_id)
        yield resource_info(task_id, run_id=run_id)


def test_a_collector_and_parsls_own_hub_write_one_file_at_the_same_time(tmp_path):
    database = tmp_path / "monitoring.db"
    with collector(database) as ours:
        hub = MonitoringHub(logging_endpoint=f"sqlite:///{database}")
        hub.start(str(tmp_path / "000"), str(tmp_path), None)
        sender = MessageSender(ours.address)
        for of_theirs, of_ours in zip(messages(THEIRS), messages(OURS), strict=True):
            hub.resource_msgs.put(of_theirs)
            for message in encode(of_ours):
                assert sender.add(message)
        assert sender.close(DEADLINE_S)
        hub.close()
        ours.stop()

    for table in ("task", "status", "resource"):
        counted = query(database, f"SELECT run_id, count(*) FROM {table} GROUP BY run_id ORDER BY run_id")
        assert counted == [(OURS, TASKS), (THEIRS, TASKS)], table
    assert query(database, "PRAGMA integrity_check") == [("ok",)]
