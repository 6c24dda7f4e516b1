"""Parsl's radios, from a send to the queue that Parsl's database process reads.

usage: parsl_radios.py '{"radio", "senders", "messages", "paced"}'

A sender is made anew for each message, as Parsl's worker side does; only zmq, by which the interchange relays
to the hub, keeps its own, as the interchange does. Prints one line of JSON; radios.py says what is in it.
"""

import json
import queue
import sys
import tempfile

import radios
from parsl.monitoring.radios.filesystem import FilesystemRadio
from parsl.monitoring.radios.multiprocessing import MultiprocessingQueueRadio
from parsl.monitoring.radios.udp import UDPRadio
from parsl.monitoring.radios.zmq import ZMQRadioSender
from parsl.monitoring.radios.zmq_router import start_zmq_receiver
from parsl.multiprocessing import SpawnQueue

HOST = "127.0.0.1"
MOST_TAKEN = 1_000


class ZMQRadio:
    """What Parsl has for its HTEX radio, in the shape of its other radios."""

    def __init__(self):
        self._sender = None

    def create_receiver(self, *, run_dir, resource_msgs):
        receiver = start_zmq_receiver(
            monitoring_messages=resource_msgs,
            loopback_address=HOST,
            port_range=(55000, 56000),
            logdir=run_dir,
            worker_debug=False,
            cert_dir=None,
        )
        self._port = receiver.port
        receiver.shutdown = receiver.close
        return receiver

    def create_sender(self):
        if self._sender is None:
            self._sender = ZMQRadioSender(HOST, self._port, None)
        return self._sender

    def close(self):
        channel = self._sender._hub_channel
        channel.close(linger=20_000)
        channel.context.term()  # only this waits for what is still to be sent


RADIOS = {
    "udp": lambda: UDPRadio(address=HOST, atexit_timeout=0),
    "filesystem": FilesystemRadio,
    "zmq": ZMQRadio,
    "queue": MultiprocessingQueueRadio,
}


class Way:
    is_slow_to_open = False

    def __init__(self, name, radio, receiver, messages):
        self._radio = radio
        self._queue = messages
        self.quiet_s = 13 if name == "filesystem" else 1  # its receiver looks every 10 s
        process = getattr(receiver, "process", None)
        self.receiver_pid = None if process is None else process.pid

    def send(self, message):
        self._radio.create_sender().send(message)

    def finish(self):
        if isinstance(self._radio, ZMQRadio):
            self._radio.close()

    def take(self):
        taken = []
        try:
            taken.append(self._queue.get(timeout=0.005))
            while len(taken) < MOST_TAKEN:
                taken.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return [(body["run_id"], body["task_id"]) for _, body in taken]


def main():
    arguments = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        messages = SpawnQueue()
        radio = RADIOS[arguments["radio"]]()
        receiver = radio.create_receiver(run_dir=directory, resource_msgs=messages)
        try:
            radios.measure(Way(arguments["radio"], radio, receiver, messages), arguments)
        finally:
            receiver.shutdown()


if __name__ == "__main__":
    main()
