"""A Python sender of the chaos run: sends samples until SIGTERM, and logs how many are acknowledged.

usage: sender.py ADDRESS LOG NUMBER [SPOOL]

Each sample carries a mark that no other does, "<sender id>:<sequence>". The log has the sender's id, then a
line "acknowledged N" for each N that was seen, "safe N" for those that are acknowledged or in the spool, and
"closed N" at an end with everything acknowledged.
"""

from __future__ import annotations

import datetime
import os
import signal
import sys
import threading
from types import SimpleNamespace

from parsl_collector._encode import encode
from parsl_collector._sender import MessageSender

PACE_S = 0.02
"""Between two bursts."""
BURST = 4
RUN = "00000000-0000-4000-8000-00000000c4a0"
KIND = SimpleNamespace(name="RESOURCE_INFO")
BEGAN = datetime.datetime(2026, 1, 1)


def main(address: str, log_path: str, number: str, spool: str | None = None) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sender = MessageSender(address, buffer_bytes=1024 * 1024, spool=spool)
    os.write(log, f"{sender.sender_id}\n".encode())
    sent = 0
    logged = logged_safe = 0
    while not stop.wait(PACE_S):
        for _ in range(BURST):
            body = {
                "run_id": RUN,
                "task_id": int(number),
                "try_id": 0,
                "hostname": "chaos",
                "resource_monitoring_interval": 1,
                "psutil_process_status": f"{sender.sender_id}:{sent + 1}",
                "timestamp": BEGAN + datetime.timedelta(milliseconds=sent + 1),
            }
            (message,) = encode((KIND, body))
            if sender.add(message, timeout=PACE_S):
                sent += 1
        counts = sender.counts
        acknowledged, safe = counts.acknowledged, counts.acknowledged + counts.spooled
        if acknowledged > logged:
            os.write(log, f"acknowledged {acknowledged}\n".encode())
            logged = acknowledged
        if safe > logged_safe:
            os.write(log, f"safe {safe}\n".encode())
            logged_safe = safe
    if sender.close():
        os.write(log, f"closed {sent}\n".encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
