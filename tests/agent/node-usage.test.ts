import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import test from "ava";

import { cpuPercent, nodeUsage, systemNodeFiles } from "../../src/agent/node-usage.js";
import type { NodeUsage } from "../../src/model/messages.js";
import { FakeNodeFiles } from "../support/fake-node-files.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

/** What is told of a node with these files. */
async function told(files: Readonly<Record<string, string>>): Promise<Partial<NodeUsage>> {
  const node = new FakeNodeFiles();
  for (const [path, text] of Object.entries(files)) node.files.set(path, text);
  return nodeUsage(node);
}

/** A line of /proc/diskstats whose sectors are `read` and `written`. */
function disk(name: string, read: number, written: number): string {
  return `   8       0 ${name} 11 12 ${String(read)} 13 14 15 ${String(written)} 16 0 17 18 0 0 0 0 0 0\n`;
}

/** A line of /proc/net/dev whose bytes are `received` and `sent`. */
function card(name: string, received: number, sent: number): string {
  return `${name.padStart(6)}: ${String(received)} 1 2 3 4 5 6 7 ${String(sent)} 1 2 3 4 5 6 7\n`;
}

const netHead =
  "Inter-|   Receive                                                |  Transmit\n" +
  " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls\n";

test.serial("what is told of this node is what psutil tells at the same moment", async (t) => {
  const run = promisify(execFile);

  const before = await nodeUsage(systemNodeFiles);
  const { stdout } = await run(join(root, ".venv", "bin", "python"), [
    join(root, "tests", "agent", "node_figures.py"),
  ]);
  const after = await nodeUsage(systemNodeFiles);

  const figures = JSON.parse(stdout) as Record<string, number | null>;
  t.deepEqual(Object.keys(figures).sort(), Object.keys(before).sort());
  for (const [name, theirs] of Object.entries(figures)) {
    const [one, other] = [before, after].map((usage) => usage[name as keyof NodeUsage] as number | undefined);
    if (theirs === null) t.is(one, undefined, name);
    else t.true(isAmong(theirs, one, other), `${name}: psutil ${String(theirs)}, here ${String(one)}`);
  }
});

/** Between the two, or within 5 % of the first: what only grows is between, the rest may move to and fro. */
function isAmong(theirs: number, one = NaN, other = NaN): boolean {
  const isBetween = theirs >= Math.min(one, other) && theirs <= Math.max(one, other);
  return isBetween || Math.abs(one - theirs) <= theirs * 0.05;
}

test("CPU seconds are those of the first line of /proc/stat, guests not counted again", async (t) => {
  const line = "cpu  1000 200 300 40000 500 60 70 80 90 100";

  const usage = await told({ "/proc/stat": `${line}\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 5 6\n` });

  t.like(usage, {
    cpuUserSeconds: 12,
    cpuSystemSeconds: 4.3,
    cpuIdleSeconds: 400,
    cpuIowaitSeconds: 5,
    cpuStealSeconds: 0.8,
  });
});

test("loads and memory are told in processes and bytes", async (t) => {
  const usage = await told({
    "/proc/loadavg": "0.50 12.25 0.00 3/84 4817\n",
    "/proc/meminfo":
      "MemTotal:       24684092 kB\nMemFree:        100 kB\nMemAvailable:   200 kB\nSwapCached:     7 kB\n" +
      "SwapTotal:      300 kB\nSwapFree:        0 kB\n",
  });

  t.like(usage, { load1: 0.5, load5: 12.25, load15: 0 });
  t.like(usage, {
    memoryTotalBytes: 24684092 * 1024,
    memoryAvailableBytes: 200 * 1024,
    swapTotalBytes: 300 * 1024,
    swapFreeBytes: 0,
  });
});

test("disks with a device count, their partitions and disks made of them do not", async (t) => {
  const usage = await told({
    "/proc/diskstats":
      disk("sda", 2, 4) +
      disk("sda1", 1, 2) +
      disk("nvme0n1", 10, 20) +
      disk("nvme0n1p1", 10, 20) +
      disk("cciss/c0d0", 100, 200) +
      disk("dm-0", 1000, 1000) +
      disk("md0", 1000, 1000) +
      disk("loop0", 1000, 1000) +
      disk("ram0", 1000, 1000),
    "/sys/block/sda/device": "",
    "/sys/block/nvme0n1/device": "",
    "/sys/block/cciss!c0d0/device": "",
  });

  t.like(usage, { diskReadBytes: 112 * 512, diskWrittenBytes: 224 * 512 });
});

test("disks of which it is not known what they are tell nothing, which is not zero", async (t) => {
  const usage = await told({ "/proc/diskstats": disk("sda", 2, 4) });

  t.is(usage.diskReadBytes, undefined);
  t.is(usage.diskWrittenBytes, undefined);
});

test("network cards count, a bond or a bridge of them does not, nor does the loopback", async (t) => {
  const usage = await told({
    "/proc/net/dev":
      netHead + card("lo", 1000, 1000) + card("eth0", 1, 10) + card("ib0", 2, 20) + card("bond0", 3, 30),
    "/sys/class/net/eth0/device": "",
    "/sys/class/net/ib0/device": "",
  });

  t.like(usage, { networkReceivedBytes: 3, networkSentBytes: 30 });
});

test("in a container, without cards, all but the loopback counts", async (t) => {
  const usage = await told({ "/proc/net/dev": netHead + card("lo", 1000, 1000) + card("eth0", 1, 10) });

  t.like(usage, { networkReceivedBytes: 1, networkSentBytes: 10 });
});

test("of a host that tells nothing only the number of CPUs is known", async (t) => {
  const known = Object.entries(await told({})).filter(([, value]) => value !== undefined);

  t.deepEqual(known, [["cpuCount", 4]]);
});

test("files that are empty, cut off or of another form tell what is in them, and no wrong number", async (t) => {
  const known = (usage: object): string[] =>
    Object.entries(usage).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  const paths = ["/proc/stat", "/proc/loadavg", "/proc/meminfo", "/proc/diskstats", "/proc/net/dev"];

  for (const text of ["", "\n", "cpu", "cpu  \n", "MemTotal: kB", "lo:\neth0:", "::"]) {
    const files = Object.fromEntries(paths.map((path) => [path, text]));
    t.deepEqual(known(await told(files)), ["cpuCount"], text);
  }
  t.deepEqual(known(await told({ "/proc/diskstats": "   8 0 sda\n", "/sys/block/sda/device": "" })), [
    "cpuCount",
  ]);
  const ofLinux2_4 = "cpu  100 0 200 300\n";
  t.deepEqual(known(await told({ "/proc/stat": ofLinux2_4 })), [
    ...["cpuCount", "cpuUserSeconds", "cpuIdleSeconds"],
  ]);
});

const times = {
  cpuUserSeconds: 10,
  cpuSystemSeconds: 20,
  cpuIdleSeconds: 30,
  cpuIowaitSeconds: 40,
  cpuStealSeconds: 50,
};

test("the part of the CPUs' time that went to work is that of neither idling nor waiting", (t) => {
  const now = {
    cpuUserSeconds: 11,
    cpuSystemSeconds: 22,
    cpuIdleSeconds: 33,
    cpuIowaitSeconds: 44,
    cpuStealSeconds: 60,
  };

  t.is(cpuPercent(times, now), (100 * (1 + 2 + 10)) / (1 + 2 + 3 + 4 + 10));
});

test("a count of waiting that fell makes no part below 0 or above 100", (t) => {
  t.is(cpuPercent(times, { ...times, cpuUserSeconds: 12, cpuIowaitSeconds: 39 }), 100);
  t.is(cpuPercent(times, { ...times, cpuIdleSeconds: 32, cpuIowaitSeconds: 39 }), 0);
});

test("no part is told when no time has passed, or when times are not told", (t) => {
  t.is(cpuPercent(times, times), undefined);
  t.is(cpuPercent(times, {}), undefined);
  t.is(cpuPercent({}, times), undefined);
});
