"""A PostgreSQL server of the tests' own, on a socket in a directory of its own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import shutil
import subprocess
from collections.abc import Iterator


def programs() -> pathlib.Path | None:
    """Where the server's programs are: Debian keeps them out of the PATH."""
    of_debian = pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted((path.parent for path in of_debian), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    return newest[-1] if newest else pathlib.Path(found).parent if found else None


@contextlib.contextmanager
def postgres_server(directory: pathlib.Path) -> Iterator[str]:
    """Runs one in a new directory with a short name, and gives the URL of its database."""
    where = programs()
    assert where is not None
    directory.mkdir()
    as_user: dict[str, int] = {}
    if os.getuid() == 0:  # as whom the server refuses to run
        user = pwd.getpwnam("postgres")
        os.chown(directory, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid}

    def run(program: str, *args: str) -> None:
        subprocess.run(
            [where / program, *args], check=True, cwd=directory, stdout=subprocess.DEVNULL, **as_user
        )

    data = str(directory / "data")
    run(
        "initdb",
        "--pgdata",
        data,
        "--username",
        "postgres",
        "--auth",
        "trust",
        "--no-sync",
        "--encoding",
        "UTF8",
    )
    options = f"-c listen_addresses= -c unix_socket_directories={directory} -c fsync=off"
    run("pg_ctl", "start", "--wait", "--pgdata", data, "--log", f"{directory}/log", "--options", options)
    try:
        yield f"postgresql://postgres@/postgres?host={directory}"
    finally:
        run("pg_ctl", "stop", "--wait", "--mode", "immediate", "--pgdata", data)
