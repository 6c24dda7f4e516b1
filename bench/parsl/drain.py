"""Memory of a hub's drain and of its collector while messages pass.

usage: drain.py COUNT LOOKS

Puts COUNT samples into the queue of a CollectorHub, as fast as they are stored, and looks LOOKS times on the
way. Prints one line of JSON: the resident memory of both processes at each look, in MiB.
"""

import json
import sys
import tempfile

from dbmanager import sample, wait_for_start, workflow_start

from parsl_collector import CollectorHub

CHUNK = 20_000
"""Put before the rows are waited for: what the queue holds is memory of this process, not of those two."""


def resident_mebibytes(pid):
    with open(f"/proc/{pid}/status") as file:
        kibibytes = next(line for line in file if line.startswith("VmRSS")).split()[1]
    return int(kibibytes) / 1024


def main():
    count, looks = int(sys.argv[1]), int(sys.argv[2])
    memory = {"drain": [], "collector": []}
    with tempfile.TemporaryDirectory() as directory:
        database = f"{directory}/monitoring.db"
        hub = CollectorHub(logging_endpoint=f"sqlite:///{database}")
        hub.start(f"{directory}/000", directory, None)
        hub.resource_msgs.put(workflow_start())
        reader = wait_for_start(database)
        sent = 0
        for look in range(1, looks + 1):
            until = count * look // looks
            while sent < until:
                size = min(CHUNK, until - sent)
                for number in range(sent, sent + size):
                    hub.resource_msgs.put(sample(number % 100, number))
                sent += size
                reader.wait({"resource": sent})
            memory["drain"].append(resident_mebibytes(hub._drain._process.pid))
            memory["collector"].append(resident_mebibytes(hub._collector.pid))
        hub.close()
    print(json.dumps(memory), flush=True)


if __name__ == "__main__":
    main()
