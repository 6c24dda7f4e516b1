"""The client without Parsl against a real collector: what it promises, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent import futures

import grpc
import pytest
from google.protobuf import json_format
from support import HERE, collector, count, free_address, query

from parsl_collector import Client, DeliveryError, DeliveryTimeoutError, Rejection, Security
from parsl_collector._pb.envelope_pb2 import Envelope
from parsl_collector.messages import (
    MonitoringMessage,
    ResourceInfo,
    Timestamp,
    WorkflowInfo,
    WorkflowStart,
)

RUN = "a run without Parsl"
EXAMPLES = HERE.parent / "examples"
ENVELOPES = json.loads((HERE.parent.parent / "tests" / "vectors" / "envelope.json").read_text())


def workflow_start() -> WorkflowInfo:
    start = WorkflowStart(time_began=Timestamp(seconds=1), rundir="/run", user="user", host="node1")
    start.tasks_completed_count = start.tasks_failed_count = 0
    return WorkflowInfo(start=start)


def sample(task_id: int = 0) -> ResourceInfo:
    return ResourceInfo(task_id=task_id, try_id=0, timestamp=Timestamp(seconds=2, nanos=1_000))


@pytest.mark.parametrize("name", ENVELOPES)
def test_an_envelope_of_the_vectors_is_the_same_bytes_again(name):
    data = bytes.fromhex(ENVELOPES[name]["envelope"])

    from_json = json_format.ParseDict(ENVELOPES[name]["json"], Envelope())

    assert Envelope.FromString(data).SerializeToString(deterministic=True) == data
    assert from_json.SerializeToString(deterministic=True) == data


def test_what_is_flushed_is_a_row_and_a_closed_client_has_said_so(tmp_path):
    with collector(tmp_path / "m.db") as running:
        with Client(running.address, run_id=RUN, hostname="here") as client:
            assert client.send(workflow_start()) == 1
            assert client.send(MonitoringMessage(resource_info=sample())) == 2
            client.flush(30)
            assert query(running.database, "SELECT run_id, task_id FROM resource") == [(RUN, 0)]

        assert client.counts[:3] == (2, 2, 0)
        told = query(running.database, "SELECT hostname, last_sequence FROM collector_sender")
        assert told == [("here", 2)]


def test_a_rejected_message_is_told_by_its_sequence_before_the_flush_returns(tmp_path):
    told: list[Rejection] = []
    with collector(tmp_path / "m.db") as running:
        with Client(running.address, run_id=RUN, on_rejected=told.append) as client:
            client.send(sample())
            sequence = client.send(ResourceInfo(task_id=1))
            client.flush(30)
            assert [rejection.sequence for rejection in told] == [sequence]
            assert "try_id" in told[0].reason
        assert client.counts.rejected == 1


def test_on_rejected_may_raise_and_costs_no_message(tmp_path):
    def fail(rejection: Rejection) -> None:
        raise RuntimeError(rejection.reason)

    with collector(tmp_path / "m.db") as running:
        with Client(running.address, run_id=RUN, on_rejected=fail) as client:
            client.send(ResourceInfo())
            client.send(sample())
        assert count(running.database, "resource") == 1


def test_what_a_killed_collector_had_not_acknowledged_is_sent_to_the_next_one(tmp_path):
    with collector(tmp_path / "m.db") as first:
        client = Client(first.address, run_id=RUN)
        client.send(sample(1))
        client.flush(30)
        first.kill()
        client.send(sample(2))
        with collector(tmp_path / "m.db", first.address):
            client.close(30)
        assert count(tmp_path / "m.db", "resource") == 2


def test_a_token_that_the_collector_does_not_know_ends_the_client(tmp_path):
    tokens = tmp_path / "tokens"
    token = "known" * 5
    tokens.write_text(f"somebody {token}\n")
    tokens.chmod(0o600)
    with collector(tmp_path / "m.db", "127.0.0.1:0", "--token-file", str(tokens)) as running:
        with Client(running.address, run_id=RUN, security=Security(token=token, tls=False)) as client:
            client.send(sample())
        client = Client(running.address, run_id=RUN, security=Security(token=token[::-1], tls=False))
        client.send(sample())
        for act in (client.flush, lambda: client.send(sample()), client.close):
            with pytest.raises(DeliveryError, match=f"{running.address}.*UNAUTHENTICATED.*token"):
                act()
        assert count(running.database, "resource") == 1


def test_a_server_that_is_no_collector_ends_the_client():
    server = grpc.server(futures.ThreadPoolExecutor())
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        client = Client(f"127.0.0.1:{port}", run_id=RUN)
        client.send(sample())
        with pytest.raises(DeliveryError, match="UNIMPLEMENTED.*make sure that a collector listens"):
            client.close()
    finally:
        server.stop(None)


def test_send_waits_at_the_bound_and_close_says_how_many_are_left():
    address = free_address()
    client = Client(address, run_id=RUN, buffer_bytes=1)
    client.send(sample())

    with pytest.raises(DeliveryTimeoutError, match="send a ResourceInfo: 1 of 1 messages are not stored"):
        client.send(sample(), timeout=0.01)
    with pytest.raises(TimeoutError, match=f"flush: 1 of 1 .* at {address} within 0.01 s"):
        client.flush(0.01)
    with pytest.raises(DeliveryTimeoutError, match="close: 1 of 1 messages"):
        client.close(0.01)
    with pytest.raises(DeliveryError, match="send a ResourceInfo: the client is closed"):
        client.send(sample())
    client.close()


def test_a_client_that_never_sent_waits_for_nobody():
    with Client(free_address(), run_id=RUN):
        pass


def test_what_a_process_left_in_the_spool_is_sent_by_the_next_client(tmp_path):
    spool = tmp_path / "spool"
    command = [sys.executable, "-c", _LEAVE, free_address(), str(spool)]
    assert f"1 of them are kept in {spool}" in subprocess.check_output(command, text=True)

    with collector(tmp_path / "m.db") as running:
        with Client(running.address, run_id=RUN, spool=spool) as client:
            assert client._sender.adoption is not None
            assert client._sender.adoption.wait(30)
        assert count(running.database, "resource") == 1


_LEAVE = """
import sys
from parsl_collector import Client, DeliveryError
from parsl_collector.messages import ResourceInfo, Timestamp
client = Client(sys.argv[1], run_id="run", spool=sys.argv[2])
client.send(ResourceInfo(task_id=9, try_id=0, timestamp=Timestamp(seconds=3)))
try:
    client.close(0)
except DeliveryError as e:
    print(e)
"""


def test_what_is_no_message_or_too_large_is_refused_at_once():
    with Client(free_address(), run_id=RUN) as client:
        with pytest.raises(TypeError, match="send a WorkflowStart"):
            client.send(WorkflowStart())  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="cut its texts"):
            client.send(ResourceInfo(psutil_process_name="x" * 2**25))
    with pytest.raises(ValueError, match="run_id has 257 characters"):
        Client("127.0.0.1:1", run_id="x" * 257)


def test_a_forked_child_is_told_to_make_its_own():
    with Client(free_address(), run_id=RUN) as client:
        read, write = os.pipe()
        if (child := os.fork()) == 0:
            try:
                client.send(sample())
            except DeliveryError as e:
                os.write(write, str(e).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert b"make one in the child" in os.read(read, 1000)


FORKING = """
import os, sys, time
if sys.argv[1] == "first":
    import grpc
import parsl_collector.messages
client = parsl_collector.Client(sys.argv[2], run_id=sys.argv[3])
client.send(parsl_collector.messages.ResourceInfo())
while "grpc" not in sys.modules:
    time.sleep(0.01)
for _ in range(200):
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
"""


def forks_of(order: str) -> subprocess.CompletedProcess[str]:
    """What becomes of a process that imports gRPC itself `first`, or leaves it to the client, and forks while
    that connects."""
    command = [sys.executable, "-c", FORKING, order, free_address(), RUN]
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_ENABLE_FORK_SUPPORT"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def test_grpc_handles_no_fork():
    ended = forks_of("later")
    assert (ended.returncode, "fork" in ended.stderr) == (0, False), ended.stderr


def test_a_process_that_imported_grpc_first_is_told_that_it_handles_forks():
    assert "set GRPC_ENABLE_FORK_SUPPORT=0 before the first import of grpc" in forks_of("first").stderr


def test_client_imports_nothing_of_parsls():
    program = "import parsl_collector as p, sys; p.Client; sys.exit('parsl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_the_example_reads_back_what_it_sent(tmp_path):
    with collector(tmp_path / "m.db") as running:
        command = [sys.executable, EXAMPLES / "report.py", running.address, running.database]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        assert "exec_done" in ended.stdout


def test_the_interop_program_sends_as_many_as_it_is_told(tmp_path):
    with collector(tmp_path / "m.db") as running:
        command = [sys.executable, EXAMPLES / "interop.py", running.address, RUN, "1000", "Python"]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout).items() >= {"sent": 1000, "acknowledged": 1000, "rejected": 0}.items()
        # It names 100 tasks: the 998 samples differ by their times.
        assert count(running.database, "resource") == 998
        assert count(running.database, "workflow") == 1
