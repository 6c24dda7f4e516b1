import type { Proc, ProcessStat } from "./proc.js";

/** Who descends from whom, as psutil sees it: by parent pids, with each process read once. */
export interface ProcessTree {
  stat(pid: number): ProcessStat | undefined;
  /** Living and zombie, at any depth. Those whose parent ended are another's children by then. */
  descendants(root: ProcessStat): readonly ProcessStat[];
}

/** The tree of all `pids` of the host at one moment: a read for every process, whoever asks afterwards. */
export function scan(proc: Proc, pids: readonly number[]): ProcessTree {
  const stats = new Map<number, ProcessStat>();
  const children = new Map<number, ProcessStat[]>();
  for (const pid of pids) {
    const stat = proc.stat(pid);
    if (stat === undefined) continue;
    stats.set(pid, stat);
    const siblings = children.get(stat.parentPid);
    if (siblings === undefined) children.set(stat.parentPid, [stat]);
    else siblings.push(stat);
  }
  return {
    stat: (pid) => stats.get(pid),
    descendants: (root) => below(root, (pid) => children.get(pid) ?? []),
  };
}

/** The tree as far as it is asked for: two reads and one for each thread of every process in question. */
export function descent(proc: Proc): ProcessTree {
  const stat = (pid: number): ProcessStat | undefined => proc.stat(pid);
  return {
    stat,
    descendants: (root) =>
      below(root, (pid) => proc.childPids(pid).flatMap((childPid) => stat(childPid) ?? [])),
  };
}

function below(root: ProcessStat, childrenOf: (pid: number) => readonly ProcessStat[]): ProcessStat[] {
  const found: ProcessStat[] = [];
  const seen = new Set([root.pid]); // pids that are reused meanwhile can make a ring
  const open = [root.pid];
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    for (const child of childrenOf(pid)) {
      // One that is older than the root has got its pid, or its parent's, after another.
      if (child.started < root.started || seen.has(child.pid)) continue;
      seen.add(child.pid);
      found.push(child);
      open.push(child.pid);
    }
  }
  return found;
}
