"""A workflow whose workers are on another host, as far as the network can tell, and strangers there.

usage: secured.py DIRECTORY

To be run in a network namespace of its own, in which it may make others. The database is
DIRECTORY/monitoring.db. Prints, as JSON, how many tasks ran, where a secret was seen, and what the strangers
were told.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import parsl
from parsl.launchers import WrappedLauncher
from parsl.providers import LocalProvider
from support import replay, wait_until, workflow_start

from parsl_collector import CollectorHub, CollectorRadio
from parsl_collector._road import RoadSpec

TASKS = 5
SUBMIT, NODE = "10.77.0.1", "10.77.0.2"


def sleep() -> None:
    import time

    time.sleep(0.2)


@contextlib.contextmanager
def other_host() -> Iterator[list[str]]:
    """What comes before a command that is to run there."""
    holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
    here = os.readlink("/proc/self/ns/net")
    wait_until(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != here, "the other network")
    inside = ["nsenter", "-t", str(holder.pid), "-n"]
    for command in (
        f"ip link add submit type veth peer name node netns {holder.pid}",
        f"ip address add {SUBMIT}/24 dev submit",
        "ip link set submit up",
        "ip link set lo up",
        f"{' '.join(inside)} ip address add {NODE}/24 dev node",
        f"{' '.join(inside)} ip link set node up",
        f"{' '.join(inside)} ip link set lo up",
    ):
        subprocess.run(command.split(), check=True)
    try:
        yield inside
    finally:
        holder.kill()
        holder.wait()


def command_lines() -> str:
    lines = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            lines.append((process / "cmdline").read_text().replace("\0", " "))
    return "\n".join(lines)


def files_with(secret: str, directory: pathlib.Path) -> list[str]:
    found = []
    for path in directory.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077 and secret.encode() in path.read_bytes():
            found.append(str(path))
    return found


STRANGER = """
import pickle, sys
from support import wait_until, workflow_start
from parsl_collector._encode import encode
from parsl_collector._sender import MessageSender
sender = MessageSender(pickle.load(sys.stdin.buffer))
sender.add(next(iter(encode(workflow_start()))))
wait_until(lambda: sender.trouble is not None, "trouble")
print(sender.trouble)
sender.close(0)
"""


def ask_as_strangers(inside: list[str], ways: dict[str, RoadSpec]) -> dict[str, str]:
    """What each hears who comes by one of these ways."""
    command = [*inside, sys.executable, "-c", STRANGER]
    strangers = {}
    for name, way in ways.items():
        stranger = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert stranger.stdin is not None
        with stranger.stdin:
            stranger.stdin.write(pickle.dumps([way]))
        strangers[name] = stranger
    told = {}
    for name, stranger in strangers.items():
        with stranger:
            assert stranger.stdout is not None
            told[name] = stranger.stdout.read().decode()
        assert stranger.returncode == 0, name
    return told


def main(directory: str) -> None:
    with other_host() as inside:
        replay(pathlib.Path(directory), [workflow_start()])  # of an earlier run, in the same file
        hub = CollectorHub(
            logging_endpoint=f"sqlite:///{directory}/monitoring.db",
            listen=f"{SUBMIT}:0",
            resource_monitoring_interval=0.1,
        )
        radio = CollectorRadio()
        config = parsl.Config(
            executors=[
                parsl.HighThroughputExecutor(
                    label="htex",
                    address=SUBMIT,
                    max_workers_per_node=1,
                    encrypted=False,
                    provider=LocalProvider(
                        init_blocks=1, max_blocks=1, launcher=WrappedLauncher(prepend=" ".join(inside))
                    ),
                    remote_monitoring_radio=radio,
                )
            ],
            monitoring=hub,
            run_dir=f"{directory}/runinfo",
            strategy="none",
        )
        with parsl.load(config):
            app = parsl.python_app(sleep, cache=False)
            futures = [app() for _ in range(TASKS)]
            futures[0].result()
            [way] = radio._specs
            assert way.security is not None
            token = way.security.token
            assert token is not None
            seen = {
                "in a command line": token in command_lines(),
                "in a repr": token in repr(config) + repr(radio) + repr(hub) + repr(way),
                "in a file": files_with(token, pathlib.Path(directory))
                + files_with(token, pathlib.Path(tempfile.gettempdir()) / f"parsl-collector-{os.getuid()}"),
            }
            told = ask_as_strangers(
                inside,
                {
                    "no token": way._replace(security=way.security._replace(token=None)),
                    "another token": way._replace(security=way.security._replace(token="x" * 43)),
                    "no TLS": way._replace(security=way.security._replace(tls=False)),
                    "another run": way,
                },
            )
            for future in futures:
                future.result()
        left = sorted(str(path) for path in pathlib.Path(directory).rglob("secrets"))
    print(json.dumps({"tasks": TASKS, "seen": seen, "told": told, "left": left}))


if __name__ == "__main__":
    main(sys.argv[1])
