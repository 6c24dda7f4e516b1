"""The package as who installs it gets it: the wheel in environments of its own, without this repository.

Pip fills them from a package registry. Where none can be reached these tests are skipped.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from support import HERE, collector, count, query, wait_until

pytestmark = pytest.mark.slow

ROOT = HERE.parent.parent
EXAMPLES = HERE.parent / "examples"
DEADLINE_S = 240
"""Only a failure takes so long."""

TOOLS = ("bash", "getconf", "seq", "sh")
"""All of the system's that Parsl's provider wants: no Node and no npm, which may lie beside them."""


class Venv(NamedTuple):
    """An environment with nothing of this one and of the repository in it."""

    directory: pathlib.Path

    @property
    def python(self) -> pathlib.Path:
        return self.directory / "bin" / "python"

    def run(self, program: str, *args: str | os.PathLike) -> str:
        """What a program of the environment prints."""
        path = f"{self.directory / 'bin'}:{self.directory / 'tools'}"
        options = {"cwd": self.directory, "env": {"PATH": path, "HOME": str(self.directory)}}
        return run(self.directory / "bin" / program, *args, **options)


def run(*command: str | os.PathLike, **options) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, **options)
    assert ended.returncode == 0, f"{command}:\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    target = tmp_path_factory.mktemp("dist")
    node = ROOT / "node_modules" / ".bin" / "node"
    run(node if node.exists() else "node", ROOT / "scripts" / "build-python.mjs", target)
    [path] = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def venvs(wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> list[Venv]:
    """One with Parsl, Node and the newest of everything that the package takes, and one with nothing but the
    oldest gRPC and protobuf that it takes."""
    made = [Venv(tmp_path_factory.mktemp(name)) for name in ("newest", "oldest")]
    wanted = [[f"{wheel}[parsl,node]"], [str(wheel), *oldest_of(HERE.parent / "pyproject.toml")]]
    with ThreadPoolExecutor() as pool:
        list(pool.map(fill, made, wanted))
    return made


def fill(venv: Venv, wanted: Sequence[str]) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", venv.directory)
    (venv.directory / "tools").mkdir()
    for name in TOOLS:
        (venv.directory / "tools" / name).symlink_to(shutil.which(name) or pytest.fail(f"no {name} here"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(venv.python)]
    # Nothing is compiled here; what has no wheel for this Python is not for it.
    command = [*pip, "install", "--quiet", "--only-binary=:all:", "--no-compile", *wanted]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    if re.search(r"NewConnectionError|ConnectTimeoutError|NameResolutionError", ended.stderr):
        pytest.skip(f"no package registry can be reached: {ended.stderr.strip().splitlines()[-1]}")
    assert ended.returncode == 0, ended.stderr


def oldest_of(project: pathlib.Path) -> list[str]:
    """The lower end of each of its dependencies' ranges."""
    [dependencies] = re.findall(r"^dependencies = (\[.*\])$", project.read_text(), re.MULTILINE)
    return [re.sub(r">=([^,]*).*", r"==\1", dependency) for dependency in json.loads(dependencies)]


def test_a_workflow_runs_with_what_pip_installs(venvs):
    newest, _ = venvs

    told = json.loads(newest.run("python", HERE / "programs" / "packaged.py"))

    # All of it is of the environment.
    assert [told[name].startswith(str(newest.directory)) for name in ("package", "program", "node")] == [
        True
    ] * 3
    assert told["results"] == [0, 1, 4]
    database = newest.directory / "runinfo" / "monitoring.db"
    assert query(database, "SELECT count(*) FROM task WHERE task_time_returned IS NOT NULL") == [(3,)]
    assert query(database, "SELECT count(*) FROM try WHERE task_try_time_running IS NOT NULL") == [(3,)]
    # The hub, the worker, and the agent, which samples the tasks and also wants a Node.
    assert count(database, "collector_sender") == 3
    assert query(database, "SELECT count(DISTINCT task_id) FROM resource") == [(3,)]
    assert (
        json.loads(newest.run("parsl-collector", "rejected", "list", "--database", database, "--json")) == []
    )
    assert_shown_on_a_page(newest, database)


def assert_shown_on_a_page(venv: Venv, database: pathlib.Path) -> None:
    program = venv.directory / "bin" / "parsl-collector"
    command = [program, "view", database]
    env = {"PATH": f"{venv.directory / 'bin'}", "HOME": str(venv.directory)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as page:
        try:
            url = json.loads(page.stdout.readline())["url"]

            def get(path: str) -> str:
                with urllib.request.urlopen(url + path, timeout=DEADLINE_S) as answer:
                    return answer.read().decode()

            [script] = re.findall(r'<script type="module" src="/([^"]+)"', get(""))
            assert "react" in get(script)
            wait_until(lambda: [run["tasks"] for run in json.loads(get("api/runs"))] == [3], "the tasks")
            [run_id] = [run["runId"] for run in json.loads(get("api/runs"))]
            assert json.loads(get(f"api/runs/{run_id}/why"))["runId"] == run_id
        finally:
            page.terminate()


@pytest.mark.parametrize("end", ["newest", "oldest"])
def test_a_client_delivers_with_both_ends_of_the_range_of_grpc_and_protobuf(venvs, end, tmp_path):
    venv = venvs[end == "oldest"]
    versions = venv.run("python", "-c", _VERSIONS).split()
    assert (versions == ["1.59.5", "6.30.0"]) == (end == "oldest"), versions

    with collector(tmp_path / "m.db") as running:
        sent = json.loads(
            venv.run("python", EXAMPLES / "interop.py", running.address, "run", "2000", "Python")
        )
        assert (sent["acknowledged"], sent["rejected"]) == (2000, 0)
        assert count(running.database, "resource") == 1998
        told = query(running.database, "SELECT last_sequence FROM collector_sender")
        assert told == [(2000,)]


_VERSIONS = "import importlib.metadata as m; print(m.version('grpcio'), m.version('protobuf'))"


def test_mypy_passes_what_is_right_and_finds_what_is_wrong(venvs, tmp_path):
    _, without_stubs = venvs
    wrong = tmp_path / "wrong.py"
    wrong.write_text(_WRONG)
    mypy = ["-m", "mypy", "--strict", "--python-executable", without_stubs.python, "--cache-dir", tmp_path]

    ended = subprocess.run(
        [sys.executable, *mypy, *EXAMPLES.glob("*.py"), wrong], capture_output=True, text=True, cwd=tmp_path
    )

    found = re.findall(r"^(.*?):(\d+): error: .* \[(.*)\]$", ended.stdout, re.MULTILINE)
    assert found == [
        ("wrong.py", "4", "call-arg"),
        ("wrong.py", "5", "arg-type"),
        ("wrong.py", "6", "arg-type"),
    ], ended.stdout


_WRONG = """\
from parsl_collector import Client
from parsl_collector.messages import ResourceInfo

with Client("host:1") as client:
    client.send("text")
    client.send(ResourceInfo(task_id="0"))
"""
