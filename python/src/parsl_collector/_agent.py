"""The agent of this node, as its workers see it: found by its socket, or started by the first who looks.

There is one for each way upstream, at home in a directory that belongs to the user alone. Whoever starts it
holds a lock, which the agent then holds until it ends, however it ends: so there is one, and after a crash
the next worker that looks starts another.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import socket
import stat
import subprocess
import tempfile
import time
import weakref
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from parsl_collector._link import FALLBACK_AFTER_S
from parsl_collector._node import CollectorStartError, find_node, find_server
from parsl_collector._priority import step_back
from parsl_collector._road import GRPC, RoadSpec
from parsl_collector._roads import BUILT_IN
from parsl_collector._secret import write_secret
from parsl_collector._security import Security
from parsl_collector._start import environment, last_words, read_ready_line

IDLE_S = 1.0
"""How long the agent stays when its last worker has gone: workers of the next block may come."""

START_TIMEOUT_S = 20.0
"""Longest that a start may take, and that a worker waits for the start by another, or for the end of an agent
that is about to go. On a cold shared filesystem Node takes seconds."""

_MOST_SOCKET_PATH = 90
"""Bytes; Linux takes 107, and the agent makes the socket in a directory beside its place."""

_LOOK_AGAIN_S = 0.02


class AgentError(Exception):
    """There is no agent, and none can be started; the text says why."""


class AgentOptions(NamedTuple):
    """How an agent is started, beside where it forwards to."""

    spool: str | None = None
    """Directory for what nobody upstream takes; None for one in its home."""
    node_interval: float | None = None
    """Seconds between samples of the node as a whole; None for none."""
    fallback_after: float = FALLBACK_AFTER_S
    """Seconds that a way upstream fails before the next takes over."""


class NodeAgent:
    """The agent that forwards to `upstream` on this node. Nothing is started before `reach`."""

    def __init__(self, upstream: Sequence[RoadSpec], options: AgentOptions) -> None:
        self._upstream = tuple(upstream)
        self._options = options
        # Of another host on a shared directory, or of another container, it is another node.
        node = (platform.node(), _pid_namespace())
        ways = [(*spec[:-1], spec.security and tuple(spec.security)) for spec in upstream]
        place = repr((node, options, ways))
        name = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._parent = os.path.join(tempfile.gettempdir(), f"parsl-collector-{os.getuid()}")
        if len(os.fsencode(self._parent)) + len(name) + len("//socket") > _MOST_SOCKET_PATH:
            self._parent = f"/tmp/parsl-collector-{os.getuid()}"
        self._home = os.path.join(self._parent, name)

    @property
    def socket_path(self) -> str:
        return os.path.join(self._home, "socket")

    def reach(self) -> socket.socket:
        """Connects to it, and starts it first where it does not run. Raises AgentError."""
        for spec in self._upstream:
            if spec.radio not in (GRPC, *BUILT_IN):  # one of the user's own is one of Python
                raise AgentError(f"the agent has no radio {spec.radio!r}")
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while time.monotonic() < deadline:
                if (connection := self._connect()) is not None:
                    return connection
                self._make_home()
                with self._locked() as lock:
                    # It may have come up between the look and the lock.
                    if lock is not None and (connection := self._connect()) is not None:
                        return connection
                    if lock is not None:
                        self._start(lock, deadline)
                        continue
                time.sleep(_LOOK_AGAIN_S)
        except (OSError, CollectorStartError) as e:
            raise AgentError(str(e)) from e
        raise AgentError(f"the agent at {self.socket_path} does not come up within {START_TIMEOUT_S:g} s")

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self.socket_path)
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        except BaseException:
            connection.close()
            raise
        _open_connections.add(connection)
        return connection

    def _make_home(self) -> None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._parent, 0o700)
        found = os.lstat(self._parent)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise AgentError(
                f"make {self._parent}: it is there already, and is not this user's alone; "
                "remove it, or set TMPDIR to another directory"
            )
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._home, 0o700)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int | None]:
        """Holds the lock's descriptor; None while an agent, or somebody who starts one, has the lock."""
        try:
            lock = os.open(os.path.join(self._home, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:  # an agent that ended has just removed its home
            yield None
            return
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Or it was the lock of one that has ended: the next one has another.
                is_held = os.fstat(lock).st_nlink > 0
            except BlockingIOError:
                is_held = False
            yield lock if is_held else None
        finally:
            os.close(lock)

    def _start(self, lock: int, deadline: float) -> None:
        """Starts the agent, which keeps the lock, and returns when it listens."""
        command = [find_node(None), find_server(), "agent"]
        for spec in self._upstream:
            command += ["--upstream", f"{spec.radio}={_absolute(spec)}"]
        key = next((spec.key for spec in self._upstream if spec.key is not None), None)
        if key is not None:
            key_path = os.path.join(self._home, "key")
            write_secret(key_path, key)
            command += ["--key-file", key_path]
        for spec in self._upstream:
            if spec.security is not None:
                command += self._secured(spec, spec.security)
                break
        if self._options.spool is not None:
            command += ["--spool", os.path.abspath(self._options.spool)]
        if self._options.node_interval is not None:
            command += ["--node-interval", f"{self._options.node_interval:g}"]
        command += ["--fallback-after", f"{self._options.fallback_after:g}"]
        command += ["--home", self._home, "--exit-when-idle", f"{IDLE_S:g}"]
        log_path = os.path.join(self._home, "log")
        with open(log_path, "ab") as log:
            log_start = log.tell()
            # Started by a shell that ends at once: it is no child of this process, whose children are the
            # task's, and may be waited for by it. In a session of its own: signals to the worker's group are
            # not for it.
            process = subprocess.Popen(
                ["/bin/sh", "-c", '"$@" &', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=self._home,
                env=environment(),
                pass_fds=(lock,),
                start_new_session=True,
            )
        process.wait()
        assert process.stdout is not None
        with process.stdout:
            line = read_ready_line(process.stdout, deadline - time.monotonic())
        try:
            step_back(int(json.loads(line)["pid"]))  # only now: a start is waited for
        except ValueError:
            raise AgentError(
                f"start the agent: {last_words(log_path, log_start) or f'it is not ready; see {log_path}'}"
            ) from None

    def _secured(self, spec: RoadSpec, security: Security) -> list[str]:
        """Options, with files in the agent's home for what they may not say themselves."""
        token = None if security.token is None else f"token {security.token}\n".encode()
        files = {"--token-file": token}
        options = []
        if security.tls:
            files["--ca-file"] = security.ca
            files["--client-cert"], files["--client-key"] = security.certificate, security.key
            options += ["--server-name", security.server_name or spec.address.rpartition(":")[0]]
        for option, content in files.items():
            if content is not None:
                path = os.path.join(self._home, option.lstrip("-"))
                write_secret(path, content)
                options += [option, path]
        return options


def _absolute(spec: RoadSpec) -> str:
    """The address as the agent finds it, which runs elsewhere."""
    return os.path.abspath(spec.address) if spec.radio in ("filesystem", "unix") else spec.address


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""  # no Linux, or no /proc: one namespace


_open_connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()


def _close_in_child() -> None:
    """In a forked child. An agent lives as long as a connection, which is the parent's."""
    for connection in list(_open_connections):
        connection.close()


os.register_at_fork(after_in_child=_close_in_child)
