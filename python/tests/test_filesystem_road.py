"""The sending half of the filesystem radio."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import pytest
from support import HERE

from parsl_collector._filesystem_road import LARGEST_ENVELOPE_BYTES, Road
from parsl_collector._road import EnvelopeRefusedError, RoadError

VECTORS = HERE.parent.parent / "tests" / "vectors"
ENVELOPE = bytes.fromhex(json.loads((VECTORS / "batch.json").read_text())["batch-single.bin"]["envelopes"][0])


def batches_in(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(directory.glob("new/?/*.batch"))


def test_an_envelope_is_written_as_it_stands_in_the_vector(tmp_path):
    Road(str(tmp_path)).send(ENVELOPE)

    (batch,) = batches_in(tmp_path)
    assert batch.read_bytes() == (VECTORS / "batch-single.bin").read_bytes()


def test_the_names_of_batches_are_in_the_order_of_the_sends(tmp_path):
    road = Road(str(tmp_path / "made" / "by it"))
    envelopes = [b"%d" % n for n in range(12)]

    for envelope in envelopes:
        road.send(envelope)

    batches = batches_in(tmp_path / "made" / "by it")
    assert [batch.read_bytes()[17:] for batch in batches] == envelopes
    assert [batch.parent.name for batch in batches] == [batches[0].name[0]] * 12
    assert os.listdir(tmp_path / "made" / "by it" / "tmp") == []


def test_a_child_of_a_fork_writes_over_no_file_of_its_parent(tmp_path):
    road = Road(str(tmp_path))
    road.send(b"parent")
    child = os.fork()
    if child == 0:
        try:
            road.send(b"child")
        finally:
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    road.send(b"parent again")

    assert sorted(batch.read_bytes()[17:] for batch in batches_in(tmp_path)) == [
        b"child",
        b"parent",
        b"parent again",
    ]


def test_a_directory_that_was_removed_is_made_again(tmp_path):
    road = Road(str(tmp_path / "messages"))
    road.send(b"first")
    shutil.rmtree(tmp_path / "messages")

    road.send(b"second")

    assert len(batches_in(tmp_path / "messages")) == 1


def test_a_directory_that_cannot_be_written_is_told_with_act_path_and_reason(tmp_path):
    (tmp_path / "file").touch()
    road = Road(str(tmp_path / "file"))

    with pytest.raises(RoadError, match=r"write batch \w+-0000000001.batch into .*file: .*Not a directory"):
        road.send(ENVELOPE)

    (tmp_path / "file").unlink()
    road.send(ENVELOPE)
    assert len(batches_in(tmp_path / "file")) == 1


def test_a_batch_that_could_not_be_finished_is_told_and_leaves_nothing_behind(tmp_path):
    road = Road(str(tmp_path))
    road.send(ENVELOPE)
    limit = os.path.getsize(batches_in(tmp_path)[0])
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(RoadError, match="File too large"):
            road.send(ENVELOPE * 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert len(batches_in(tmp_path)) == 1
    assert os.listdir(tmp_path / "tmp") == []


def test_an_envelope_that_no_collector_would_read_is_refused(tmp_path):
    with pytest.raises(EnvelopeRefusedError, match="send its messages alone"):
        Road(str(tmp_path)).send(bytes(LARGEST_ENVELOPE_BYTES + 1))

    assert batches_in(tmp_path) == []
