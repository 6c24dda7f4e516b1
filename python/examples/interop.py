"""What `npm run interop` has each language's client do.

usage: interop.py ADDRESS RUN_ID COUNT LANGUAGE

Sends COUNT messages and prints one line of JSON. PARSL_COLLECTOR_TOKEN and PARSL_COLLECTOR_CA_FILE give the
token and who vouches for the collector's certificate.
"""

from __future__ import annotations

import json
import os
import sys
import time

from parsl_collector import Client, Rejection, Security
from parsl_collector.client import Message
from parsl_collector.messages import ResourceInfo, Timestamp, WorkflowEnd, WorkflowInfo, WorkflowStart


def main() -> None:
    address, run_id, count_text, language = sys.argv[1:]
    count, host = int(count_text), f"interop-{language}"
    with Client(
        address, run_id=run_id, hostname=host, security=security(), on_rejected=tell_rejected
    ) as client:
        began = time.monotonic()
        for n in range(1, count + 1):
            client.send(message(n, count, language, host))
        client.flush()
        seconds = time.monotonic() - began
    counts = client.counts
    result = {"sent": counts.given, "acknowledged": counts.acknowledged, "rejected": counts.rejected}
    print(json.dumps({**result, "seconds": round(seconds, 3)}))


def message(n: int, count: int, language: str, host: str) -> Message:
    if n == 1:
        start = WorkflowStart(
            time_began=at(n),
            workflow_name=f"interop {language}",
            workflow_version="1",
            rundir="/interop",
            tasks_completed_count=0,
            tasks_failed_count=0,
            user="interop",
            host=host,
            python_version="none",
            parsl_version="none",
        )
        return WorkflowInfo(start=start)
    if n == count:
        end = WorkflowEnd(
            tasks_completed_count=count - 2, tasks_failed_count=0, time_completed=at(n), rundir="/interop"
        )
        return WorkflowInfo(end=end)
    return ResourceInfo(
        task_id=n % 100,
        try_id=0,
        timestamp=at(n),
        psutil_process_pid=n,
        psutil_process_memory_percent=n / 4,
        psutil_process_time_user=n / 8,
        psutil_process_disk_write=n * 1048576,
        psutil_process_status="sleeping \N{EN DASH} \N{CHECK MARK}",
    )


def at(n: int) -> Timestamp:
    return Timestamp(seconds=1767225600 + n // 1000, nanos=n % 1000 * 1_000_000 + 123_000)


def security() -> Security | None:
    token, ca_file = (os.environ.get(f"PARSL_COLLECTOR_{name}") for name in ("TOKEN", "CA_FILE"))
    if token is None and ca_file is None:
        return None
    return Security.from_files(ca=ca_file, tls=ca_file is not None)._replace(token=token)


def tell_rejected(rejection: Rejection) -> None:
    print(f"message {rejection.sequence} is rejected: {rejection.reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
