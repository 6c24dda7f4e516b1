"""The route by the node's agent: one connection to its socket, with the acknowledgements that come back.

It needs no gRPC. What is written into the socket survives this process: the agent has it.
"""

from __future__ import annotations

import socket
import threading

from parsl_collector._agent import AgentError, NodeAgent
from parsl_collector._frames import ACKNOWLEDGEMENT, ENVELOPE, HEAD, REFUSAL, receive_frame
from parsl_collector._link import Flow
from parsl_collector._log import logger_of
from parsl_collector._pb import envelope_pb2 as pb

logger = logger_of(__name__)


class AgentRoute:
    """Streams to an agent, started when it does not run. `connection` is one that is open already."""

    def __init__(self, agent: NodeAgent, connection: socket.socket | None, flow: Flow) -> None:
        self.name = f"the agent at {agent.socket_path}"
        self._agent = agent
        self._flow = flow
        # Guarded by the flow's condition.
        self._connection = connection
        self._is_left = False

    def run(self) -> str:
        """One connection, until it breaks or all is done."""
        with self._flow.changed:
            self._is_left = False
            connection, self._connection = self._connection, None
        try:
            connection = connection or self._agent.reach()
        except AgentError as e:
            return str(e)
        with self._flow.changed:
            self._connection = connection
        ended: list[str] = []

        def is_ended() -> bool:
            return bool(ended) or self._is_left

        reader = threading.Thread(
            target=self._read, args=(connection, ended), name="parsl-collector-answers", daemon=True
        )
        reader.start()
        try:
            while (envelope := self._flow.take(is_ended, waits=False)) is not None:
                connection.sendall(HEAD.pack(len(envelope), ENVELOPE) + envelope)
            return ended[0] if ended else "it is left"
        except OSError as e:
            return ended[0] if ended else str(e)
        finally:
            with self._flow.changed:
                self._connection = None
            _shut(connection)
            reader.join()  # no answer of this connection may be taken for one of the next
            connection.close()

    def leave(self) -> None:
        with self._flow.changed:
            self._is_left = True
            connection = self._connection
            self._flow.changed.notify_all()
        if connection is not None:
            _shut(connection)

    def works(self) -> bool:
        try:
            self._agent.reach().close()
        except AgentError:
            return False
        return True

    def _read(self, connection: socket.socket, ended: list[str]) -> None:
        try:
            kind = 0
            while kind != REFUSAL:  # with which the agent ends the connection
                kind, payload = receive_frame(connection)
                if kind == ACKNOWLEDGEMENT:
                    self._flow.acknowledge(pb.Acknowledgement.FromString(payload))
            reason = payload.decode(errors="replace")
            self._flow.refuse(reason)
        except OSError as e:
            reason = str(e)
        except Exception as e:
            # Whoever listens there may answer anything; the next attempt may find an agent.
            logger.exception("monitoring: an answer from %s makes no sense", self.name)
            reason = f"{type(e).__name__}: {e}"
        with self._flow.changed:
            ended.append(reason)
            self._flow.changed.notify_all()
        _shut(connection)


def _shut(connection: socket.socket) -> None:
    """Ends what other threads do with it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is broken already
