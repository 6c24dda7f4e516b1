"""A pytest plugin: Parsl's own tests, with CollectorHub wherever they say MonitoringHub.

Loaded by -p before the test modules are imported, so that their `from parsl.monitoring import MonitoringHub`
takes ours. Parsl's Config still checks against the real class.
"""

import parsl.config  # noqa: F401  the real class is imported there first, for the check
import parsl.monitoring
import pytest

from parsl_collector import CollectorHub

# The tests that are left out, with the reason.
NOT_OURS = {
    "test_log_config.py": "asks for the log file of Parsl's database manager by name",
    "test_exit_helper.py": "starts no hub: it is about how fast Parsl ends a process of its own",
    "test_row_counts_wq": "needs Work Queue, which is no Python package",
    "test_row_counts_tv": "needs TaskVine, which is no Python package",
}

_starts = []


class CountedHub(CollectorHub):
    """Counts its starts: a run in which no hub of ours was started shows nothing."""

    def start(self, *args, **kwargs):
        _starts.append(self)
        return super().start(*args, **kwargs)


parsl.monitoring.MonitoringHub = CountedHub


def pytest_collection_modifyitems(config, items):
    excluded = [item for item in items if any(name in item.nodeid for name in NOT_OURS)]
    items[:] = [item for item in items if item not in excluded]
    config.hook.pytest_deselected(items=excluded)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"CollectorHub was started {len(_starts)} times in Parsl's own tests")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if exitstatus == 0 and not _starts:
        session.exitstatus = 1
