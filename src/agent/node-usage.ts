import { existsSync, readFileSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";

import type { NodeUsage } from "../model/messages.js";
import { numberBehind } from "./proc.js";

/** The door to what the system says of the node as a whole. */
export interface NodeFiles {
  readonly cpuCount: number;
  /** Undefined for a file that is not there, or must not be read. */
  read(path: string): string | undefined;
  exists(path: string): boolean;
  /** The filesystem of the directory for temporary files; undefined where the system does not tell. */
  temporarySpace(): Promise<Space | undefined>;
}

export interface Space {
  readonly totalBytes: number;
  /** That this user may still write. */
  readonly freeBytes: number;
}

/** /proc and /sys of this host. Their files are made from memory and never wait for a disk. */
export const systemNodeFiles: NodeFiles = {
  cpuCount: cpus().length,
  read: (path) => {
    try {
      return readFileSync(path, "latin1");
    } catch {
      return undefined; // ENOENT: no Linux, or a kernel without it; EACCES: not ours to read
    }
  },
  exists: existsSync,
  temporarySpace: async () => {
    try {
      // Not synchronous: it may be a network filesystem whose server is away.
      const { bsize, blocks, bavail } = await statfs(tmpdir());
      return { totalBytes: blocks * bsize, freeBytes: bavail * bsize };
    } catch {
      return undefined;
    }
  },
};

/** Of one second in /proc/stat: USER_HZ, the same on every machine that Node.js runs on. */
const ticksPerSecond = 100;

/** Bytes of a sector in /proc/diskstats, whatever the disk's own are. */
const sectorBytes = 512;

/** What the node uses now. What the system does not tell is undefined. */
export async function nodeUsage(files: NodeFiles): Promise<Partial<NodeUsage>> {
  const space = await files.temporarySpace();
  return {
    cpuCount: files.cpuCount,
    ...cpuTimes(files.read("/proc/stat")),
    ...loads(files.read("/proc/loadavg")),
    ...memory(files.read("/proc/meminfo")),
    ...disks(files),
    ...network(files),
    tmpTotalBytes: space?.totalBytes,
    tmpFreeBytes: space?.freeBytes,
  };
}

/** The part of the CPUs' time between two samples that went to work, in percent; undefined when either does not tell
 *  or no time has passed. */
export function cpuPercent(before: Partial<NodeUsage>, now: Partial<NodeUsage>): number | undefined {
  // The kernel's counts of waiting may fall by a little.
  const grown = (field: (typeof cpuFields)[number]): number =>
    Math.max(0, (now[field] ?? NaN) - (before[field] ?? NaN));
  const all = total(cpuFields, grown) ?? 0;
  const idle = grown("cpuIdleSeconds") + grown("cpuIowaitSeconds");
  return all > 0 ? (100 * (all - idle)) / all : undefined;
}

const cpuFields = [
  "cpuUserSeconds",
  "cpuSystemSeconds",
  "cpuIdleSeconds",
  "cpuIowaitSeconds",
  "cpuStealSeconds",
] as const;

function cpuTimes(stat: string | undefined): Partial<NodeUsage> {
  const line = stat === undefined ? undefined : /^cpu +(.*)$/m.exec(stat)?.[1];
  if (line === undefined) return {};
  // The two that follow, of guests, are in user and nice already.
  const [user, nice, system, idle, iowait, irq, softirq, steal] = numbersIn(line);
  return {
    cpuUserSeconds: seconds(user, nice),
    cpuSystemSeconds: seconds(system, irq, softirq),
    cpuIdleSeconds: seconds(idle),
    cpuIowaitSeconds: seconds(iowait),
    cpuStealSeconds: seconds(steal),
  };
}

function loads(loadavg: string | undefined): Partial<NodeUsage> {
  const [load1, load5, load15] = numbersIn(loadavg ?? "");
  return { load1, load5, load15 };
}

function memory(meminfo: string | undefined): Partial<NodeUsage> {
  const bytes = (label: string): number | undefined => {
    const kibibytes = numberBehind(meminfo, label);
    return kibibytes === undefined ? undefined : kibibytes * 1024;
  };
  return {
    memoryTotalBytes: bytes("MemTotal:"),
    memoryAvailableBytes: bytes("\nMemAvailable:"),
    swapTotalBytes: bytes("\nSwapTotal:"),
    swapFreeBytes: bytes("\nSwapFree:"),
  };
}

/** Only disks with a device behind them: a partition, or a disk made of others, would count what they did twice. */
function disks(files: NodeFiles): Partial<NodeUsage> {
  const whole = linesIn(files.read("/proc/diskstats"))
    .map((line) => line.trim().split(/ +/))
    .filter(([, , name = ""]) => files.exists(`/sys/block/${name.replaceAll("/", "!")}/device`));
  const bytes = (field: number): number | undefined =>
    total(whole, (fields) => Number(fields[field]) * sectorBytes);
  return { diskReadBytes: bytes(5), diskWrittenBytes: bytes(9) };
}

/** Only network cards, since what goes through a bridge or a bond goes through one of them too. A container has none:
 *  there it is all that comes in and goes out. */
function network(files: NodeFiles): Partial<NodeUsage> {
  const all = linesIn(files.read("/proc/net/dev"))
    .map((line) => line.split(":", 2) as [string, string?])
    .flatMap(([name, rest]) => (rest === undefined ? [] : [{ name: name.trim(), counts: numbersIn(rest) }]))
    .filter(({ name }) => name !== "lo");
  const cards = all.filter(({ name }) => files.exists(`/sys/class/net/${name}/device`));
  const counted = cards.length > 0 ? cards : all;
  const bytes = (field: number): number | undefined => total(counted, ({ counts }) => counts[field] ?? NaN);
  return { networkReceivedBytes: bytes(0), networkSentBytes: bytes(8) };
}

function seconds(...ticks: readonly (number | undefined)[]): number | undefined {
  return total(ticks, (each) => (each ?? NaN) / ticksPerSecond);
}

function linesIn(text: string | undefined): string[] {
  return text?.split("\n") ?? [];
}

function numbersIn(text: string): number[] {
  return text
    .trim()
    .split(/\s+/)
    .map(Number.parseFloat)
    .filter((number) => !Number.isNaN(number));
}

/** Undefined when one of the amounts is no number, and when there is none: in a container the system may hide what there
 *  is, which is not nothing. */
function total<T>(items: readonly T[], amount: (item: T) => number): number | undefined {
  const sum = items.reduce((before, item) => before + amount(item), 0);
  return items.length === 0 || Number.isNaN(sum) ? undefined : sum;
}
