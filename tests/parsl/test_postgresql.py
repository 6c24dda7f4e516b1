"""A real workflow into PostgreSQL, by CollectorHub, where the unchanged parsl-visualize reads it."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest
import sqlalchemy
from messages import recorded_run
from parsl.monitoring import MonitoringHub
from postgres_server import postgres_server, programs
from viewer import Viewer

from parsl_collector import CollectorHub

DEADLINE_S = 300
"""Only a failure takes so long, on a busy machine too."""

pytestmark = pytest.mark.skipif(
    programs() is None,
    reason="PostgreSQL is not installed; install it with `sudo apt-get install postgresql`",
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    # Not below pytest's own, which it keeps from other users, and so from the server's. Its name is short,
    # for there is a socket in it.
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        os.chmod(directory, 0o755)
        with postgres_server(pathlib.Path(directory, "s")) as url:
            yield url


def test_a_workflow_is_in_postgresql_and_parsl_visualize_shows_it(
    endpoint: str, tmp_path: pathlib.Path
) -> None:
    program = pathlib.Path(__file__).with_name("postgres_workflow.py")
    # Parsl starts its interchange and its workers by name.
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    ended = subprocess.run(
        [sys.executable, str(program), endpoint, str(tmp_path / "runinfo")],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert ended.returncode == 0, ended.stderr
    run_id = ended.stdout.strip()
    assert "messages stored in postgresql://postgres@/postgres" in ended.stderr.splitlines()[-1]

    engine = sqlalchemy.create_engine(endpoint)
    with engine.connect() as connection:
        states = dict(
            connection.execute(
                sqlalchemy.text(
                    "SELECT task_status_name, count(DISTINCT task_id) FROM status "
                    "WHERE run_id = :run GROUP BY 1"
                ),
                {"run": run_id},
            ).all()
        )
        completed = connection.execute(
            sqlalchemy.text("SELECT tasks_completed_count, time_completed FROM workflow")
        )
        assert [(row[0], row[1] is not None) for row in completed] == [(10, True)]
    engine.dispose()
    assert states["exec_done"] == 10
    assert states["failed"] == 1
    assert states["running_ended"] == 11

    viewer = Viewer(endpoint, tmp_path / "parsl-visualize.log")
    try:
        run = f"/workflow/{run_id}/"
        # Its pages of a whole run ask in SQLite's own words (`AS 'frequency'`): they fail on what
        # Parsl writes itself, too.
        pages = {path: viewer.get(path) for path in ("/", f"{run}task/", f"{run}task/10", f"{run}app/square")}
        assert {path: status for path, (status, _) in pages.items() if status != 200} == {}, viewer.log()
    finally:
        viewer.close()
    assert "Completed" in pages["/"][1]
    assert "square" in pages[f"{run}task/"][1]


def rows_of(endpoint: str) -> dict[str, list[str]]:
    """The rows of Parsl's tables, in an order of their own, without what a node is numbered."""
    engine = sqlalchemy.create_engine(endpoint)
    with engine.connect() as connection:
        tables = {}
        for table in ("workflow", "task", "try", "status", "resource", "node", "block"):
            rows = connection.execute(sqlalchemy.text(f'SELECT * FROM "{table}"')).mappings()
            tables[table] = sorted(str({k: v for k, v in row.items() if k != "id"}) for row in rows)
    engine.dispose()
    return tables


def test_what_parsls_own_hub_writes_into_postgresql_ours_writes_too(
    endpoint: str, tmp_path: pathlib.Path
) -> None:
    told = {}
    for hub_class in (MonitoringHub, CollectorHub):
        engine = sqlalchemy.create_engine(endpoint, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(f"CREATE DATABASE {hub_class.__name__.lower()}"))
        engine.dispose()
        database = endpoint.replace("/postgres?", f"/{hub_class.__name__.lower()}?")
        hub = hub_class(logging_endpoint=database)
        hub.start(str(tmp_path / hub_class.__name__), str(tmp_path), None)
        for message in recorded_run():
            hub.resource_msgs.put(message)
        hub.close()
        told[hub_class] = rows_of(database)

    assert len(told[MonitoringHub]["status"]) > 10
    assert told[CollectorHub] == told[MonitoringHub]
