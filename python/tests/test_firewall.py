"""A port that a firewall closes in the middle of a run, and opens again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support import HERE, path_with_parsl, query, why_no_network

DEADLINE_S = 300.0
"""Only a failure takes so long."""


NFT = "/usr/sbin/nft"
"""By its path: npm has another program of this name, and puts it first."""

NO_FIREWALL = why_no_network(
    (NFT, "ip", "unshare"),
    f"ip link set lo up && {NFT} add table inet wall",
    "nftables iproute2 util-linux",
)
"""Why no firewall can be made here; empty when one can."""


@pytest.mark.skipif(bool(NO_FIREWALL), reason=NO_FIREWALL)
def test_a_run_whose_port_is_closed_for_a_while_is_complete_by_two_roads(tmp_path):
    program = str(HERE / "programs" / "firewalled.py")
    path = path_with_parsl()
    ended = subprocess.run(
        ["unshare", "-rn", sys.executable, program, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert ended.returncode == 0, ended.stderr
    tasks = json.loads(ended.stdout.splitlines()[-1])["tasks"]

    database = tmp_path / "monitoring.db"
    states = "SELECT task_status_name, count(*) FROM status GROUP BY 1 ORDER BY 1"
    assert query(database, states) == [
        (state, tasks) for state in ("exec_done", "launched", "pending", "running", "running_ended")
    ]
    complete = "SELECT sum(stored) = sum(last_sequence), count(*) FROM collector_sender"
    assert query(database, complete) == [(1, 2)]
    by = "SELECT DISTINCT radio FROM collector_sender_radio JOIN collector_sender ON id = sender"
    worker = f"{by} WHERE hostname IS NOT NULL ORDER BY 1"
    assert query(database, worker) == [("filesystem",), ("grpc",)]
    assert "messages stored" in ended.stderr.splitlines()[-1]
