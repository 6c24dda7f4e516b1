"""Generates the Python classes of the protos.

usage: generate.py [--check]

Writes src/parsl_collector/_pb/*_pb2.py and their types, *_pb2.pyi; with --check writes nothing and fails when
they would differ. Run it with the grpcio-tools of requirements-dev.txt: code that an older one made runs on
newer protobuf runtimes, not the other way round.
"""

import pathlib
import re
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

HERE = pathlib.Path(__file__).parent
PROTO = HERE.parent / "proto"
TARGET = HERE / "src" / "parsl_collector" / "_pb"
# The proto package's folder would shadow this package, so the files lie flat and import each other here.
IMPORT = re.compile(r"^from parsl_collector\.v1 import", re.MULTILINE)


def generate() -> dict[str, str]:
    """The text of each file, by name."""
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as out:
        protos = sorted(str(path) for path in PROTO.rglob("*.proto"))
        outputs = [f"--python_out={out}", f"--pyi_out={out}"]
        if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *outputs, *protos]) != 0:
            raise SystemExit("generate Python code: protoc failed; see above")
        made = sorted(pathlib.Path(out).rglob("*_pb2.py*"))
        return {path.name: IMPORT.sub("from parsl_collector._pb import", path.read_text()) for path in made}


def main() -> None:
    files = generate()
    stale = [name for name, text in files.items() if _read(TARGET / name) != text]
    if "--check" in sys.argv[1:]:
        if stale:
            raise SystemExit(f"check generated Python code: {', '.join(stale)} differ; run npm run generate")
        return
    for name in stale:
        (TARGET / name).write_text(files[name])


def _read(path: pathlib.Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    main()
