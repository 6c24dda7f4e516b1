"""Files that nobody else may read."""

from __future__ import annotations

import contextlib
import os


def write_secret(path: str, secret: bytes) -> None:
    """Leaves a secret in a new file, in place of one that is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
