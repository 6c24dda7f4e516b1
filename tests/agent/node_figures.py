"""psutil's figures of this node, as a line of JSON, in the names of NodeUsage."""

import json
import os
import tempfile

import psutil


def main() -> None:
    cpu, load, swap = psutil.cpu_times(), psutil.getloadavg(), psutil.swap_memory()
    memory, space = psutil.virtual_memory(), psutil.disk_usage(tempfile.gettempdir())
    every_disk = psutil.disk_io_counters(perdisk=True)
    disks = [io for name, io in every_disk.items() if os.path.exists(f"/sys/block/{name}/device")]
    nics = {name: io for name, io in psutil.net_io_counters(pernic=True).items() if name != "lo"}
    cards = [io for name, io in nics.items() if os.path.exists(f"/sys/class/net/{name}/device")]
    figures = {
        "cpuCount": psutil.cpu_count(),
        "cpuUserSeconds": cpu.user + cpu.nice,
        "cpuSystemSeconds": cpu.system + cpu.irq + cpu.softirq,
        "cpuIdleSeconds": cpu.idle,
        "cpuIowaitSeconds": cpu.iowait,
        "cpuStealSeconds": cpu.steal,
        "load1": load[0],
        "load5": load[1],
        "load15": load[2],
        "memoryTotalBytes": memory.total,
        "memoryAvailableBytes": memory.available,
        "swapTotalBytes": swap.total,
        "swapFreeBytes": swap.free,
        "diskReadBytes": sum(io.read_bytes for io in disks) if disks else None,
        "diskWrittenBytes": sum(io.write_bytes for io in disks) if disks else None,
        "tmpTotalBytes": space.total,
        "tmpFreeBytes": space.free,
        "networkReceivedBytes": sum(io.bytes_recv for io in cards or nics.values()),
        "networkSentBytes": sum(io.bytes_sent for io in cards or nics.values()),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
