"""A collector beyond loopback: TLS and this run's token, made by the hub and carried to the workers."""

from __future__ import annotations

import json
import os
import pathlib
import pickle
import stat
import subprocess
import sys

import pytest
from support import (
    HERE,
    RUN,
    collector,
    count,
    path_with_parsl,
    query,
    running_hub,
    task_info,
    why_no_network,
    workflow_start,
)
from test_sender import add

from parsl_collector import CollectorHub, CollectorRadio, Security
from parsl_collector._road import RoadSpec
from parsl_collector._sender import MessageSender

DEADLINE_S = 300.0
"""Only a failure takes so long."""

TOKEN = "alice-0123456789abcdefghijkl"


NO_OTHER_HOST = why_no_network(
    ("ip", "unshare", "nsenter"), "ip link add here type veth peer name there", "iproute2 util-linux"
)
"""Why no other host can be made here; empty when one can."""


@pytest.mark.skipif(bool(NO_OTHER_HOST), reason=NO_OTHER_HOST)
def test_workers_on_another_host_stream_with_the_runs_token_and_nobody_else_does(tmp_path):
    program = str(HERE / "programs" / "secured.py")
    path = path_with_parsl()
    ended = subprocess.run(
        ["unshare", "-rn", sys.executable, program, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])

    assert told["seen"] == {"in a command line": False, "in a repr": False, "in a file": []}
    assert told["left"] == []
    assert "UNAUTHENTICATED: this collector wants a token" in told["told"]["no token"]
    assert "UNAUTHENTICATED: this collector does not know the token" in told["told"]["another token"]
    assert "no connection" in told["told"]["no TLS"]
    assert f"PERMISSION_DENIED: run {RUN} is not one that" in told["told"]["another run"]
    database = tmp_path / "monitoring.db"
    states = f"SELECT task_status_name, count(*) FROM status WHERE run_id <> '{RUN}' GROUP BY 1 ORDER BY 1"
    assert query(database, states) == [
        (state, told["tasks"]) for state in ("exec_done", "launched", "pending", "running", "running_ended")
    ]
    assert count(database, "resource") >= told["tasks"]
    complete = "SELECT sum(stored) = sum(last_sequence), min(last_sequence IS NOT NULL) FROM collector_sender"
    assert query(database, complete) == [(1, 1)]
    [log] = tmp_path.glob("runinfo/*/collector.log")
    refused = [line for line in log.read_text().splitlines() if '"refused' in line]
    # Once for each reason, however often it tried: with no token and with a wrong one it is the same.
    assert len(refused) == len(told["told"]) - 1


def test_a_hub_beyond_loopback_makes_secrets_that_are_its_users_alone_and_removes_them(tmp_path):
    secrets = tmp_path / "000" / "secrets"
    with running_hub(tmp_path, listen="0.0.0.0:0") as hub:
        radio = CollectorRadio()
        radio.create_receiver(run_dir=str(tmp_path), resource_msgs=hub.resource_msgs)
        assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()}
        assert modes == {"collector.crt": 0o644, "collector.key": 0o600, "tokens": 0o600}
        # As a worker is given it.
        [way] = pickle.loads(pickle.dumps(radio))._specs
        assert way.security is not None and way.security.ca == (secrets / "collector.crt").read_bytes()
        hub.resource_msgs.put(workflow_start())
        sender = MessageSender([way])
        add(sender, task_info())
        assert sender.close(DEADLINE_S)
    assert not secrets.exists()
    assert count(tmp_path / "monitoring.db", "task") == 1


def test_what_an_earlier_run_left_is_sent_by_a_later_one_though_it_has_another_token(tmp_path):
    spool = str(tmp_path / "spool")
    with running_hub(tmp_path, listen="0.0.0.0:0", spool=spool, close_timeout=0.0) as hub:
        hub._collector.stop()
        hub.resource_msgs.put(workflow_start())
    assert count(tmp_path / "monitoring.db", "workflow") == 0

    with running_hub(tmp_path, listen="0.0.0.0:0", spool=spool):
        pass

    assert count(tmp_path / "monitoring.db", "workflow") == 1


def test_a_hub_and_a_radio_show_a_standing_collector_the_token_that_they_were_given(tmp_path):
    tokens, tls = tmp_path / "tokens", tmp_path / "tls"
    tokens.write_text(f"alice {TOKEN}\n")
    tokens.chmod(0o600)
    options = ("--token-file", str(tokens), "--self-signed", str(tls))
    with collector(tmp_path / "portal.db", "127.0.0.1:0", *options) as running:
        security = Security.from_files(ca=tls / "collector.crt", token=tokens)
        hub = CollectorHub(address=running.address, security=security)
        assert TOKEN not in repr(hub)
        hub.start(str(tmp_path / "000"), str(tmp_path), None)
        hub.resource_msgs.put(workflow_start())
        radio = CollectorRadio(address=running.address, security=security)
        radio.create_receiver(run_dir=str(tmp_path), resource_msgs=hub.resource_msgs)
        assert radio._specs == (RoadSpec("grpc", running.address, None, security),)
        hub.close()
        assert count(tmp_path / "portal.db", "workflow") == 1


def test_options_in_the_users_environment_are_not_for_the_hubs_collector(tmp_path, monkeypatch):
    monkeypatch.setenv("PARSL_COLLECTOR_TOKEN_FILE", str(tmp_path / "of the portal"))
    monkeypatch.setenv("PARSL_COLLECTOR_SERVE_LISTEN", "nowhere")

    with running_hub(tmp_path) as hub:
        hub.resource_msgs.put(workflow_start())

    assert count(tmp_path / "monitoring.db", "workflow") == 1


def test_a_file_of_tokens_has_one_for_a_client(tmp_path):
    path = pathlib.Path(tmp_path / "token")
    path.write_text("# of the portal\n\nalice secret  # for a while\n")
    assert Security.from_files(token=path).token == "secret"
    path.write_text("secret\n")
    assert Security.from_files(token=path).token == "secret"
    path.write_text("alice one\nbob two\n")
    with pytest.raises(ValueError, match="expected one, found 2"):
        Security.from_files(token=path)
