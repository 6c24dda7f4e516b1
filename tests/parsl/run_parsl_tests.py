"""Runs Parsl's own monitoring tests, those of the installed package, with CollectorHub for MonitoringHub.

usage: run_parsl_tests.py [argument of pytest ...]

In a directory of its own that is removed afterwards: the tests write runinfo/ and the like where they run.
"""

import os
import pathlib
import sys
import tempfile

import parsl
import pytest

HERE = pathlib.Path(__file__).resolve().parent
PARSL = pathlib.Path(parsl.__file__).resolve().parent


def main() -> int:
    # Where the workers and the interchange find the plugin's class, should they be sent it.
    sys.path.insert(0, str(HERE))
    with tempfile.TemporaryDirectory(prefix="parsl-tests-") as directory:
        os.chdir(directory)
        try:
            return pytest.main(
                [
                    str(PARSL / "tests" / "test_monitoring"),
                    # Parsl's conftest.py, which knows --config, lies above the tests.
                    f"--rootdir={PARSL}",
                    f"--confcutdir={PARSL}",
                    "--config=local",
                    "-pcollector_hub_plugin",
                    "-pno:cacheprovider",
                    *sys.argv[1:],
                ]
            )
        finally:
            os.chdir(HERE)


if __name__ == "__main__":
    sys.exit(main())
