"""Subscribe: what a collector commits, as it is committed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any

from parsl_collector._channel import SUBSCRIBE, import_grpc, metadata_of, open_channel
from parsl_collector._pb import collector_service_pb2 as pb
from parsl_collector._road import GRPC, RoadSpec
from parsl_collector._security import Security

_SHORTEST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 5.0

_FOR_GOOD = {
    "OUT_OF_RANGE": "messages behind the position are no longer kept",
    "INVALID_ARGUMENT": "the position or a kind is none",
    "UNAUTHENTICATED": "give the token that the collector has for you",
    "PERMISSION_DENIED": "give another token",
    "UNIMPLEMENTED": "no collector listens there, or an older one",
    "NOT_FOUND": "no collector listens there",
}


class SubscriptionError(Exception):
    """No attempt to subscribe in this way will help; the text says why."""


def subscribe(
    address: str,
    *,
    run_ids: Iterable[str] = (),
    kinds: Iterable[str] = (),
    position: str = "",
    from_oldest: bool = False,
    security: Security | None = None,
) -> Iterator[pb.SubscribeResponse]:
    """What the collector at `address` commits, from now on, each message once, for as long as it is read.

        for response in subscribe("head:7000", kinds=["TASK_INFO"]):
            for committed in response.messages:
                print(committed.run_id, committed.message.task_info.task_status_name)

    Goes on where it was when the connection breaks. Whoever wants to go on after his own end keeps
    `response.position` once he has dealt with the response, and gives it as `position`.

    Parameters
    ----------
    address : str
        "host:port".
    run_ids, kinds : iterable of str
        Messages of these runs and kinds (Parsl's names, as "TASK_INFO") only. Default: all.
    position : str
        Where to go on. Default: from now.
    from_oldest : bool
        Without a position: from the oldest message that the collector keeps.
    security : Security, optional
        How to make sure of the collector, and the token that it wants. Default: no TLS and no token.

    Raises
    ------
    SubscriptionError
        When that will never do: the position is no longer kept, the token is not known, ...
    """
    grpc, way = import_grpc(), RoadSpec(GRPC, address, security=security)
    request = pb.SubscribeRequest(
        position=position, from_oldest=from_oldest, run_ids=list(run_ids), kinds=list(kinds)
    )
    pause_s = _SHORTEST_PAUSE_S
    while True:
        with open_channel(way) as channel:
            call: Any = channel.unary_stream(
                SUBSCRIBE,
                request_serializer=pb.SubscribeRequest.SerializeToString,
                response_deserializer=pb.SubscribeResponse.FromString,
            )(request, metadata=metadata_of(way))
            try:
                for response in call:
                    yield response
                    request.position = response.position
                    pause_s = _SHORTEST_PAUSE_S
            except grpc.RpcError as e:
                name = e.code().name
                if name in _FOR_GOOD:
                    raise SubscriptionError(
                        f"subscribe at collector {address}: {name}: {e.details()}; {_FOR_GOOD[name]}"
                    ) from e
            finally:
                call.cancel()
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        time.sleep(random.uniform(_SHORTEST_PAUSE_S, pause_s))
