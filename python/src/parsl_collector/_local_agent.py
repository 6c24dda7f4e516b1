"""The agent of the submit host, where an executor's first block runs there: started beside that block, so
that its workers find it. On other nodes the first worker starts it, while tasks run already."""

from __future__ import annotations

import functools
import threading

from parsl.executors import HighThroughputExecutor
from parsl.launchers import SimpleLauncher, SingleNodeLauncher
from parsl.monitoring.radios.base import MonitoringRadioReceiver
from parsl.providers import LocalProvider

from parsl_collector._agent import AgentError, NodeAgent
from parsl_collector._log import logger_of

logger = logger_of(__name__)

HOLD_S = 60.0
"""How long the agent is kept without workers. Those that come later start another."""


class AgentReceiver(MonitoringRadioReceiver):
    """Nothing is received on the submit side: the collector receives, and the hub owns the collector. But the
    executor's agent on this host is started and kept here until its workers are there."""

    def __init__(self, agent: NodeAgent | None) -> None:
        self._agent = agent
        self._is_shut = threading.Event()

    def expect_workers(self) -> None:
        """Workers come to this host soon. Returns at once."""
        if self._agent is not None:
            threading.Thread(
                target=self._hold, args=(self._agent,), name="parsl-collector-agent", daemon=True
            ).start()

    def shutdown(self) -> None:
        self._is_shut.set()

    def _hold(self, agent: NodeAgent) -> None:
        try:
            with agent.reach():
                self._is_shut.wait(HOLD_S)
        except AgentError as e:
            # Each worker finds that too, sends by itself, and says so.
            logger.debug("monitoring: no agent is started on this host: %s", e)


@functools.cache
def install() -> None:
    """From now on executors start the agent of this host with the blocks that run here."""
    start_blocks = getattr(HighThroughputExecutor, "initialize_scaling", None)
    if start_blocks is None:  # a Parsl that starts them in another way
        return

    @functools.wraps(start_blocks)
    def start_both(executor: HighThroughputExecutor) -> None:
        receiver = executor.monitoring_receiver
        if isinstance(receiver, AgentReceiver) and _starts_here(executor):
            receiver.expect_workers()
        start_blocks(executor)

    HighThroughputExecutor.initialize_scaling = start_both


def _starts_here(executor: HighThroughputExecutor) -> bool:
    """Whether the first block is on this host: other launchers, as srun, bring it to others."""
    provider = executor.provider
    return (
        isinstance(provider, LocalProvider)
        and provider.init_blocks > 0
        and isinstance(provider.launcher, SimpleLauncher | SingleNodeLauncher)
    )
