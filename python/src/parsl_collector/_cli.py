"""The command parsl-collector: the collector's program, on a Node that is found as a hub finds it."""

from __future__ import annotations

import os
import sys

from parsl_collector._node import CollectorStartError, find_node, find_server


def main() -> None:
    """Becomes the program, with this process's arguments, environment and id."""
    try:
        command = [find_node(None), find_server()]
    except CollectorStartError as e:
        sys.exit(f"parsl-collector: {e}")
    os.execv(command[0], [*command, *sys.argv[1:]])
