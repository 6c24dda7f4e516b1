"""How a client makes sure that it speaks to its collector, and shows who it is."""

from __future__ import annotations

import os
from typing import NamedTuple

OWN_SERVER_NAME = "parsl-collector"
"""A name that each certificate has that a collector makes for itself: whoever is given that certificate need
not know by which name or address of the host it comes."""


class Security(NamedTuple):
    """What a collector is shown by gRPC, and what it must show. All certificates and keys are PEM. Its repr
    shows nothing of it: a Config is logged."""

    ca: bytes | None = None
    """Who vouches for the collector's certificate; None for the authorities that gRPC knows."""
    token: str | None = None
    server_name: str | None = None
    """The name that the certificate must have; None for the host of the address."""
    certificate: bytes | None = None
    """Our own, where the collector wants to see one, and its key."""
    key: bytes | None = None
    tls: bool = True
    """False for a token alone, over a connection that anybody on the way can read: on this host, say."""

    @classmethod
    def from_files(
        cls,
        *,
        ca: str | os.PathLike | None = None,
        token: str | os.PathLike | None = None,
        server_name: str | None = None,
        certificate: str | os.PathLike | None = None,
        key: str | os.PathLike | None = None,
        tls: bool = True,
    ) -> Security:
        """The same from the files that have them; the token's has the token alone, or a name before it.
        Raises OSError, and ValueError for a file with several tokens."""
        return cls(
            ca=_read(ca),
            token=None if token is None else _read_token(token),
            server_name=server_name,
            certificate=_read(certificate),
            key=_read(key),
            tls=tls,
        )

    def __repr__(self) -> str:
        return "Security(...)"


def _read(path: str | os.PathLike | None) -> bytes | None:
    if path is None:
        return None
    with open(path, "rb") as file:
        return file.read()


def _read_token(path: str | os.PathLike) -> str:
    with open(path, encoding="utf-8") as file:
        lines = [line.split("#", 1)[0].split() for line in file]
    tokens = [words[min(1, len(words) - 1)] for words in lines if words]
    if len(tokens) != 1:
        raise ValueError(f"read a token from {os.fspath(path)}: expected one, found {len(tokens)}")
    return tokens[0]
