import type { ResourceInfo } from "../model/messages.js";
import type { ContextSwitches, Proc, ProcessIo, ProcessMemory, ProcessStat } from "./proc.js";
import type { ProcessTree } from "./process-tree.js";

/** What only grows while a process lives. */
interface Counters {
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly voluntary: number;
  readonly involuntary: number;
}

const nothing: Counters = { userTicks: 0, systemTicks: 0, voluntary: 0, involuntary: 0 };

/** A process and the rest of its files. */
interface Member {
  readonly stat: ProcessStat;
  readonly memory: ProcessMemory;
  readonly switches: ContextSwitches;
  readonly io: ProcessIo | undefined;
}

/** What one process and its descendants have used, in the words and by the rules of Parsl's own monitor. */
export class Usage {
  readonly #proc: Proc;
  readonly #root: ProcessStat;
  /** Descendants that may come again, as last seen. By pid. */
  readonly #known = new Map<number, { readonly started: number; readonly counters: Counters }>();
  /** The sum over descendants that have ended, as last seen. */
  #ended = nothing;
  #mostRead = 0;
  #mostWritten = 0;

  /** @param root the process as it was when its task began. */
  constructor(proc: Proc, root: ProcessStat) {
    this.#proc = proc;
    this.#root = root;
  }

  /** Remembers what the descendants of now have used, for when they are gone.
   *  @returns false when the process itself is gone, or its pid another's. */
  look(tree: ProcessTree): boolean {
    const root = this.#rootIn(tree);
    if (root !== undefined) this.#remember(this.#descendants(tree, root), tree);
    return root !== undefined;
  }

  /** What all have used until now; undefined when the process itself is gone, or its pid another's. */
  sample(tree: ProcessTree): Partial<ResourceInfo> | undefined {
    const stat = this.#rootIn(tree);
    const root = stat === undefined ? undefined : this.#member(stat);
    if (stat === undefined || root === undefined) return undefined;
    const descendants = this.#descendants(tree, stat);
    this.#remember(descendants, tree);

    const all = [root, ...descendants];
    const total = this.#total(root);
    const resident = sum(all, ({ memory }) => memory.residentBytes);
    const { ticksPerSecond, bootSeconds, memoryBytes, cpuCount } = this.#proc;
    return {
      psutilProcessPid: stat.pid,
      psutilProcessMemoryPercent: memoryBytes === undefined ? undefined : (resident / memoryBytes) * 100,
      psutilProcessChildrenCount: descendants.length,
      psutilProcessTimeUser: total.userTicks / ticksPerSecond,
      psutilProcessTimeSystem: total.systemTicks / ticksPerSecond,
      psutilProcessMemoryVirtual: sum(all, ({ memory }) => memory.virtualBytes),
      psutilProcessMemoryResident: resident,
      ...this.#disk(all),
      psutilProcessStatus: stat.status,
      psutilCpuNum: stat.cpu,
      psutilProcessNumCtxSwitchesVoluntary: total.voluntary,
      psutilProcessNumCtxSwitchesInvoluntary: total.involuntary,
      psutilCpuCount: cpuCount,
      psutilProcessCpuNum: stat.cpu,
      psutilProcessCreateTime:
        bootSeconds === undefined ? undefined : bootSeconds + stat.started / ticksPerSecond,
      psutilProcessNice: stat.nice,
      psutilProcessName: stat.name,
      psutilProcessNumThreads: sum(all, (member) => member.stat.threads),
      psutilProcessPpid: stat.parentPid,
    };
  }

  #rootIn(tree: ProcessTree): ProcessStat | undefined {
    const stat = tree.stat(this.#root.pid);
    return stat?.started === this.#root.started ? stat : undefined;
  }

  #descendants(tree: ProcessTree, root: ProcessStat): Member[] {
    return tree.descendants(root).flatMap((stat) => this.#member(stat) ?? []);
  }

  /** Undefined for one that has ended since it was found. */
  #member(stat: ProcessStat): Member | undefined {
    // First: when the others can be read after it, then it was not the end that kept this one from us.
    const io = this.#proc.io(stat.pid);
    const switches = this.#proc.switches(stat.pid);
    const memory = this.#proc.memory(stat.pid);
    return switches === undefined || memory === undefined ? undefined : { stat, memory, switches, io };
  }

  #remember(descendants: readonly Member[], tree: ProcessTree): void {
    for (const member of descendants) {
      const { pid, started } = member.stat;
      const before = this.#known.get(pid);
      if (before !== undefined && before.started !== started)
        this.#ended = plus(this.#ended, before.counters);
      this.#known.set(pid, { started, counters: countersOf(member) });
    }
    if (this.#known.size === descendants.length) return;
    const present = new Set(descendants.map(({ stat }) => stat.pid));
    for (const [pid, { started, counters }] of this.#known) {
      // One that lives on under another parent, or was overlooked, may come again and must not count twice.
      if (present.has(pid) || tree.stat(pid)?.started === started) continue;
      this.#ended = plus(this.#ended, counters);
      this.#known.delete(pid);
    }
  }

  #total(root: Member): Counters {
    let total = plus(countersOf(root), this.#ended);
    for (const { counters } of this.#known.values()) total = plus(total, counters);
    return total;
  }

  /** NULL when one of them must not be read: a sum without it would be wrong. What ended children had is not added
   *  as for the times, since the kernel has added it to their parent's; but not for a child that nobody waited for,
   *  and the sum is kept from falling by it. */
  #disk(all: readonly Member[]): Partial<ResourceInfo> {
    const counts = all.flatMap(({ io }) => io ?? []);
    if (counts.length < all.length) return {};
    this.#mostRead = Math.max(
      this.#mostRead,
      sum(counts, ({ readBytes }) => readBytes),
    );
    this.#mostWritten = Math.max(
      this.#mostWritten,
      sum(counts, ({ writtenBytes }) => writtenBytes),
    );
    return { psutilProcessDiskRead: this.#mostRead, psutilProcessDiskWrite: this.#mostWritten };
  }
}

function countersOf({ stat, switches }: Member): Counters {
  return {
    userTicks: stat.userTicks,
    systemTicks: stat.systemTicks,
    voluntary: switches.voluntary,
    involuntary: switches.involuntary,
  };
}

function plus(one: Counters, other: Counters): Counters {
  return {
    userTicks: one.userTicks + other.userTicks,
    systemTicks: one.systemTicks + other.systemTicks,
    voluntary: one.voluntary + other.voluntary,
    involuntary: one.involuntary + other.involuntary,
  };
}

function sum<T>(items: readonly T[], amount: (item: T) => number): number {
  return items.reduce((total, item) => total + amount(item), 0);
}
