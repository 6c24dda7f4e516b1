"""Every page of the unchanged parsl-visualize answers 200 on files that the collector wrote."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from messages import recorded_run, run_that_began
from viewer import Viewer

from parsl_collector import CollectorHub

RECORDED = recorded_run()[0][1]["run_id"]
RECORDED_TASKS = {body["task_id"] for _, body in recorded_run() if "task_status_name" in body}
BEGUN = "00000000-0000-4000-8000-000000000000"

DAG_PAGES = ["dag_group_by_apps", "dag_group_by_states"]
needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None,
    reason="Parsl draws this page with graphviz's dot; install it with `sudo apt-get install graphviz`",
)


def viewer_of(directory: pathlib.Path, messages: list[Any]) -> Viewer:
    """A viewer on what the collector makes of these messages."""
    endpoint = f"sqlite:///{directory}/monitoring.db"
    hub = CollectorHub(logging_endpoint=endpoint)
    hub.start(str(directory / "000"), directory)
    for message in messages:
        hub.resource_msgs.put(message)
    hub.close()
    return Viewer(endpoint, directory / "parsl-visualize.log")


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    viewer = viewer_of(tmp_path_factory.mktemp("whole"), recorded_run())
    yield viewer
    viewer.close()


@pytest.fixture(scope="module")
def begun_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    viewer = viewer_of(tmp_path_factory.mktemp("began"), run_that_began(BEGUN))
    yield viewer
    viewer.close()


def pages_from(viewer: Viewer, run_id: str) -> dict[str, str]:
    """Text of each page that can be reached, by path; those which need dot are for tests of their own."""
    pages: dict[str, str] = {}
    # No link leads to the second.
    waiting = ["/", f"/workflow/{run_id}/task/"]
    while waiting:
        path = waiting.pop()
        if path in pages or path.rpartition("/")[2] in DAG_PAGES:
            continue
        status, pages[path] = viewer.get(path)
        assert status == 200, f"{path}: {viewer.log()}"
        waiting += viewer.local_links(path, pages[path])
    return pages


def test_every_page_of_a_whole_run_answers(whole_run: Viewer) -> None:
    pages = pages_from(whole_run, RECORDED)

    run = f"/workflow/{RECORDED}/"
    tasks = {f"{run}task/{task_id}" for task_id in RECORDED_TASKS}
    assert {"/", run, f"{run}resource_usage", f"{run}app/sleeper", f"{run}task/"} | tasks <= set(pages)
    assert "golden" in pages["/"]
    assert "Completed" in pages["/"]
    assert "could not be found" not in "".join(pages.values())


@needs_dot
@pytest.mark.parametrize("page", DAG_PAGES)
def test_the_graph_of_a_whole_run_is_drawn(whole_run: Viewer, page: str) -> None:
    status, text = whole_run.get(f"/workflow/{RECORDED}/{page}")

    assert status == 200, whole_run.log()
    assert "Workflow DAG" in text


def test_every_page_of_a_run_that_has_just_begun_answers(begun_run: Viewer) -> None:
    pages = pages_from(begun_run, BEGUN)

    assert {"/", f"/workflow/{BEGUN}/", f"/workflow/{BEGUN}/task/0"} <= set(pages)
    assert "Running" in pages["/"]


@needs_dot
@pytest.mark.parametrize("page", DAG_PAGES)
def test_the_graph_of_a_run_that_has_just_begun_is_drawn(begun_run: Viewer, page: str) -> None:
    status, _ = begun_run.get(f"/workflow/{BEGUN}/{page}")

    assert status == 200, begun_run.log()
