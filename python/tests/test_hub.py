"""CollectorHub: what goes into its queue is in the database, whatever else goes in, and whoever is killed."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
import pathlib
import re
import socket
import sqlite3
import time
import urllib.request

import numpy as np
import pytest
from parsl.data_provider.files import File
from parsl.monitoring import MonitoringHub
from parsl.monitoring.message_type import MessageType
from support import (
    block,
    block_info,
    children_of_ours,
    collector,
    count,
    free_address,
    golden_messages,
    golden_rows,
    has_rows,
    in_order,
    query,
    replay,
    rows_of,
    running_hub,
    task_info,
    wait_until,
    workflow_start,
)

from parsl_collector import CollectorHub, CollectorStartError
from parsl_collector._priority import NICENESS
from parsl_collector._queue import MessageQueue


def of_run(messages: list[tuple], run_id: str) -> list[tuple]:
    """The same messages, said of another run."""

    def renamed(body):
        return [renamed(entry) for entry in body] if isinstance(body, list) else {**body, "run_id": run_id}

    return [(tag, renamed(body)) for tag, body in messages]


def golden_of_run(run_id: str) -> dict[str, list[dict]]:
    return {t: in_order({**row, "run_id": run_id} for row in rows) for t, rows in golden_rows().items()}


def test_a_replayed_workflow_gives_the_rows_of_parsls_own_hub(tmp_path, capfd):
    messages = golden_messages()

    database = replay(tmp_path, messages)

    (run_id,) = {row["run_id"] for row in golden_rows()["workflow"]}
    assert rows_of(database, run_id) == golden_of_run(run_id)
    total = sum(len(body) if isinstance(body, list) else 1 for _, body in messages)
    line = f"parsl-collector: {total} of {total} messages stored in {database}"
    assert capfd.readouterr().err.splitlines()[-1] == line


def test_a_file_is_continued_from_parsls_hub_to_ours_and_back(tmp_path):
    database = tmp_path / "monitoring.db"
    for run_id, hub_class in (("a", MonitoringHub), ("b", CollectorHub), ("c", MonitoringHub)):
        hub = hub_class(logging_endpoint=f"sqlite:///{database}")
        hub.start(str(tmp_path / run_id), str(tmp_path), None)
        for message in of_run(golden_messages(), run_id):
            hub.resource_msgs.put(message)
        hub.close()

    for run_id in "abc":
        assert rows_of(database, run_id) == golden_of_run(run_id)


class Unpickleable:
    """Raises where it is unpickled."""

    def __reduce__(self):
        return (int, ("no number",))


def test_a_bad_thing_in_the_queue_costs_only_itself(tmp_path, capfd):
    tag, without_state = task_info(1)
    del without_state["task_status_name"]
    bad = [
        None,
        (MessageType.TASK_INFO, {}, 3),
        (99, {}),
        (tag, without_state),
        (MessageType.BLOCK_INFO, block()),
        Unpickleable(),
        task_info(2, timestamp="yesterday"),
        block_info(block("1"), "no block", block("2")),
    ]
    messages = [workflow_start()]
    for n, thing in enumerate(bad):
        messages += [task_info(100 + n), thing]

    database = replay(tmp_path, [*messages, task_info(200)])

    assert query(database, "SELECT task_id FROM task ORDER BY 1") == [(100 + n,) for n in range(len(bad))] + [
        (200,)
    ]
    assert query(database, "SELECT block_id FROM block ORDER BY 1") == [("1",), ("2",)]
    assert count(database, "collector_rejected") == len(bad)
    assert "; 8 that no table takes are kept in its table collector_rejected" in capfd.readouterr().err


def test_names_and_paths_of_any_kind_are_stored(tmp_path):
    name = "\"q\" 'q' <b> \N{PARTY POPPER}" + "x" * 100_000
    streams = [("/d/o", "w"), b"/d/o", pathlib.Path("/d/o"), File("/d/o"), os.fsdecode(b"/d/o\xff")]
    messages = [task_info(n, task_func_name=name, task_stdout=s) for n, s in enumerate(streams)]

    database = replay(tmp_path, [workflow_start(), *messages, task_info(np.int64(9))])

    stored = query(database, "SELECT task_stdout FROM task WHERE task_id < 9 ORDER BY task_id")
    assert [path for (path,) in stored] == ["/d/o"] * 4 + ["/d/o\\udcff"]
    assert query(database, "SELECT DISTINCT task_func_name FROM task WHERE task_id < 9") == [(name,)]
    assert count(database, "task") == 6


class QueueWithoutSize(MessageQueue):
    """As on macOS."""

    def qsize(self):
        raise NotImplementedError


def test_case_87_the_queue_is_never_asked_for_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr("parsl_collector.hub.MessageQueue", QueueWithoutSize)

    assert count(replay(tmp_path, [workflow_start(), task_info()]), "task") == 1


def test_a_hub_that_is_closed_again_says_nothing_more(tmp_path, capfd):
    with running_hub(tmp_path) as hub:
        hub.close()
        hub.close()

    assert capfd.readouterr().err.count("parsl-collector:") == 1


def test_a_locked_database_is_told_in_the_programs_log_and_costs_nothing(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "parsl")
    database = tmp_path / "monitoring.db"
    with running_hub(tmp_path) as hub:
        hub.resource_msgs.put(workflow_start())
        wait_until(lambda: has_rows(database, "workflow", 1), "the first row")
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            hub.resource_msgs.put(task_info())
            wait_until(lambda: "messages wait" in caplog.text, "the warning")
        wait_until(lambda: "messages are stored again" in caplog.text, "the end of the warning")

    assert count(database, "task") == 1


def test_close_is_bounded_when_the_database_stays_locked(tmp_path, capfd):
    database = tmp_path / "monitoring.db"
    with running_hub(tmp_path, close_timeout=0.5) as hub:
        hub.resource_msgs.put(workflow_start())
        wait_until(lambda: has_rows(database, "workflow", 1), "the first row")
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            hub.resource_msgs.put(task_info())
            hub.close()

    assert "1 of 2 messages stored" in (told := capfd.readouterr().err)
    spool = tmp_path / "000" / "spool"
    assert (
        f'1 are kept in {spool}: send them with "parsl-collector spool {spool} --database {database}"' in told
    )
    assert "the collector acknowledged nothing for 0.5 s" in told
    assert len(list(spool.iterdir())) == 1
    assert children_of_ours() == []


def test_the_drain_lets_the_tasks_go_first(tmp_path):
    with running_hub(tmp_path) as hub:
        hub.resource_msgs.put(workflow_start())
        wait_until(lambda: count(tmp_path / "monitoring.db", "workflow") == 1, "a drain that works")
        niceness = {
            ("serve" in process.cmdline(), os.getpriority(os.PRIO_PROCESS, thread.id))
            for process in children_of_ours()
            for thread in process.threads()
        }
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        # The collector does not: a worker that is killed takes with it what is on its way there.
        assert niceness == {(False, max(ours, NICENESS)), (True, ours)}


def test_a_hub_may_use_a_collector_that_runs_already(tmp_path, capfd):
    with collector(tmp_path / "m.db") as running:
        replay(tmp_path, [workflow_start(), task_info()], address=running.address)

        assert running.process.poll() is None
        assert count(running.database, "task") == 1
    assert f"2 of 2 messages stored in the collector at {running.address}" in capfd.readouterr().err


def test_two_hubs_with_one_config_run_side_by_side(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    with running_hub(tmp_path / "a") as a, running_hub(tmp_path / "b") as b:
        for hub in (a, b):
            hub.resource_msgs.put(workflow_start())

    assert [count(tmp_path / name / "monitoring.db", "workflow") for name in "ab"] == [1, 1]


def fake_node(tmp_path: pathlib.Path, version: str) -> str:
    path = tmp_path / "node"
    path.write_text(f"#!/bin/sh\necho {version}\n")
    path.chmod(0o755)
    return str(path)


def start_error(tmp_path: pathlib.Path, **options) -> str:
    began = time.monotonic()
    with pytest.raises((CollectorStartError, ValueError)) as raised:
        with running_hub(tmp_path, **options):
            pass
    assert time.monotonic() - began < 5
    assert children_of_ours() == []
    return str(raised.value)


def test_a_node_that_is_too_old_is_named_with_its_version(tmp_path):
    told = start_error(tmp_path, node=fake_node(tmp_path, "v20.1.0"))

    assert "Node 20.1.0, too old" in told and "Node 22 or newer" in told


def test_a_node_that_is_missing_is_named(tmp_path):
    assert "/nowhere/node: there is no such program" in start_error(tmp_path, node="/nowhere/node")


def test_where_no_node_is_found_the_error_says_how_to_get_one(tmp_path, monkeypatch):
    monkeypatch.setattr("parsl_collector._node._REPOSITORY", tmp_path)
    fake_node(tmp_path, "v18.0.0")
    monkeypatch.setenv("PATH", str(tmp_path))

    told = start_error(tmp_path)

    assert "no Node 22 or newer found" in told and "Node 18.0.0" in told
    assert "pip install 'parsl-collector[node]'" in told


def test_a_node_named_by_the_environment_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("PARSL_COLLECTOR_NODE", fake_node(tmp_path, "v21.0.0"))

    assert "PARSL_COLLECTOR_NODE" in (told := start_error(tmp_path)) and "Node 21.0.0" in told


def test_a_collector_that_is_not_built_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("parsl_collector._node._REPOSITORY", tmp_path)
    from parsl_collector._node import find_server

    with pytest.raises(CollectorStartError, match="npm run build"):
        find_server()


def test_a_database_that_is_a_directory_is_named(tmp_path):
    told = start_error(tmp_path, logging_endpoint=f"sqlite:///{tmp_path}")

    assert str(tmp_path) in told and "directory" in told


def test_a_database_in_a_folder_that_does_not_exist_is_named(tmp_path):
    told = start_error(tmp_path, logging_endpoint=f"sqlite:///{tmp_path}/missing/monitoring.db")

    assert f"{tmp_path}/missing" in told


@pytest.mark.parametrize("endpoint", ["mysql://host/db", "sqlite://", "sqlite:///:memory:", "monitoring.db"])
def test_an_endpoint_that_is_no_database_of_ours_is_an_error(tmp_path, endpoint):
    assert "sqlite:////absolute/monitoring.db" in start_error(tmp_path, logging_endpoint=endpoint)


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"

        assert listen in start_error(tmp_path, listen=listen)


def test_without_tls_and_token_an_address_that_others_reach_must_be_wanted(tmp_path):
    with running_hub(tmp_path, listen="0.0.0.0:0", insecure=True) as hub:
        assert not (tmp_path / "000" / "secrets").exists()
        hub.resource_msgs.put(workflow_start())
    assert count(tmp_path / "monitoring.db", "workflow") == 1


def test_a_hub_serves_metrics_where_it_is_told_to(tmp_path):
    address = free_address()
    with running_hub(tmp_path, metrics=address) as hub:
        hub.resource_msgs.put(workflow_start())
        stored = re.compile(r'^parsl_collector_messages_total\{.*"WORKFLOW_INFO".*"stored".*\} 1$', re.M)

        def shows() -> bool:
            with urllib.request.urlopen(f"http://{address}/metrics") as answer:
                return stored.search(answer.read().decode()) is not None

        wait_until(shows, "the message in the metrics")


def test_a_hub_tells_where_its_page_is(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with running_hub(tmp_path, web="127.0.0.1:0") as hub:
        hub.resource_msgs.put(workflow_start())
        told = re.search(r"watch the run at (http://127\.0\.0\.1:\d+/)", caplog.text)
        assert told is not None

        def shows() -> bool:
            with urllib.request.urlopen(f"{told[1]}api/runs") as answer:
                return len(json.load(answer)) == 1

        wait_until(shows, "the run on the page")


def test_a_relative_endpoint_is_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    replay(tmp_path, [workflow_start()], logging_endpoint="sqlite:///relative.db")

    assert count(tmp_path / "relative.db", "workflow") == 1


def test_a_hub_shows_its_parameters_and_warns_of_old_ones():
    with pytest.deprecated_call(match="hub_port"):
        hub = CollectorHub(hub_port=55055, workflow_name="w")

    assert "workflow_name='w'" in repr(hub) and "close_timeout=60" in repr(hub)
    assert isinstance(hub, MonitoringHub)


def test_the_second_of_two_hubs_with_one_fixed_port_names_it(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    with running_hub(tmp_path / "a") as first:
        listen = first.resource_msgs.parsl_collector_ways["grpc"].address
        with pytest.raises(CollectorStartError, match=listen):
            with running_hub(tmp_path / "b", listen=listen):
                pass
        first.resource_msgs.put(workflow_start())

    assert count(tmp_path / "a" / "monitoring.db", "workflow") == 1


def test_a_program_of_the_collector_that_does_not_exist_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PARSL_COLLECTOR_SERVER", "/nowhere/main.js")

    told = start_error(tmp_path)

    assert "/nowhere/main.js" in told and "PARSL_COLLECTOR_SERVER" in told


def test_a_collector_whose_node_crashes_is_told_by_its_error(tmp_path, monkeypatch):
    broken = tmp_path / "main.js"
    broken.write_text('throw new Error("out of luck");\n')
    monkeypatch.setenv("PARSL_COLLECTOR_SERVER", str(broken))

    assert start_error(tmp_path) == "Error: out of luck"


def test_without_an_endpoint_the_database_is_in_the_run_directory(tmp_path):
    replay(tmp_path, [workflow_start()], logging_endpoint=None)

    assert count(tmp_path / "monitoring.db", "workflow") == 1


def test_a_hub_takes_the_parameters_of_parsls_hub_and_its_own_by_name():
    parsls = inspect.signature(MonitoringHub).parameters
    ours = inspect.signature(CollectorHub).parameters

    assert list(ours)[: len(parsls)] == list(parsls)
    assert [ours[name].default for name in parsls] == [parameter.default for parameter in parsls.values()]
    added = [ours[name] for name in ours if name not in parsls]
    assert {parameter.kind for parameter in added} == {inspect.Parameter.KEYWORD_ONLY}
    assert all(f"{name}=" in repr(CollectorHub()) for name in ours)
