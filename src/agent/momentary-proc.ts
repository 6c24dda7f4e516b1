import type { ContextSwitches, Proc, ProcessIo, ProcessMemory, ProcessStat } from "./proc.js";

/** A Proc that reads each file once a moment, however often it is asked for: many short tries that end together, in
 *  one worker, are samples of the same process. */
export class MomentaryProc implements Proc {
  readonly #proc: Proc;
  readonly #children = new Map<number, readonly number[]>();
  readonly #stats = new Map<number, ProcessStat | undefined>();
  readonly #memories = new Map<number, ProcessMemory | undefined>();
  readonly #switches = new Map<number, ContextSwitches | undefined>();
  readonly #ios = new Map<number, ProcessIo | undefined>();

  constructor(proc: Proc) {
    this.#proc = proc;
  }

  /** Begins the next moment. */
  renew(): void {
    for (const read of [this.#children, this.#stats, this.#memories, this.#switches, this.#ios]) read.clear();
  }

  get ticksPerSecond(): number {
    return this.#proc.ticksPerSecond;
  }

  get bootSeconds(): number | undefined {
    return this.#proc.bootSeconds;
  }

  get memoryBytes(): number | undefined {
    return this.#proc.memoryBytes;
  }

  get cpuCount(): number {
    return this.#proc.cpuCount;
  }

  get tellsChildren(): boolean {
    return this.#proc.tellsChildren;
  }

  pids(): readonly number[] {
    return this.#proc.pids();
  }

  childPids(pid: number): readonly number[] {
    return once(this.#children, pid, () => this.#proc.childPids(pid));
  }

  stat(pid: number): ProcessStat | undefined {
    return once(this.#stats, pid, () => this.#proc.stat(pid));
  }

  memory(pid: number): ProcessMemory | undefined {
    return once(this.#memories, pid, () => this.#proc.memory(pid));
  }

  switches(pid: number): ContextSwitches | undefined {
    return once(this.#switches, pid, () => this.#proc.switches(pid));
  }

  io(pid: number): ProcessIo | undefined {
    return once(this.#ios, pid, () => this.#proc.io(pid));
  }
}

function once<T>(known: Map<number, T>, pid: number, read: () => T): T {
  const found = known.get(pid);
  if (found !== undefined || known.has(pid)) return found as T;
  const value = read();
  known.set(pid, value);
  return value;
}
