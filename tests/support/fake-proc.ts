import type { ContextSwitches, Proc, ProcessIo, ProcessMemory, ProcessStat } from "../../src/agent/proc.js";
import type { CollectorError } from "../../src/base/errors.js";

/** A process as a test writes it. */
export interface FakeProcess {
  pid: number;
  parentPid: number;
  started: number;
  userTicks: number;
  systemTicks: number;
  voluntary: number;
  involuntary: number;
  residentBytes: number;
  readBytes: number;
  writtenBytes: number;
  /** Whether its io file may be read. */
  tellsIo: boolean;
  /** Whether it ends when it has been found and is to be read. */
  isVanishing: boolean;
}

/** A host with 1000 bytes of memory, up since 1970, whose processes are what the test says. */
export class FakeProc implements Proc {
  readonly ticksPerSecond = 100;
  readonly bootSeconds = 0;
  readonly memoryBytes = 1000;
  readonly cpuCount = 4;
  readonly tellsChildren: boolean;
  readonly processes = new Map<number, FakeProcess>();
  /** How often somebody read a process's stat file. */
  stats = 0;
  /** How often somebody asked for all processes. */
  listings = 0;

  /** Thrown by whatever is read, while it is set. */
  fault: CollectorError | undefined;

  constructor({ tellsChildren = true } = {}) {
    this.tellsChildren = tellsChildren;
  }

  add(process: Partial<FakeProcess> & { readonly pid: number }): FakeProcess {
    const whole = {
      parentPid: 1,
      started: process.pid,
      userTicks: 0,
      systemTicks: 0,
      voluntary: 0,
      involuntary: 0,
      residentBytes: 0,
      readBytes: 0,
      writtenBytes: 0,
      tellsIo: true,
      isVanishing: false,
      ...process,
    };
    this.processes.set(whole.pid, whole);
    return whole;
  }

  pids(): readonly number[] {
    this.listings += 1;
    this.#read();
    return [...this.processes.keys()];
  }

  childPids(parent: number): readonly number[] {
    this.#read();
    return [...this.processes.values()].filter(({ parentPid }) => parentPid === parent).map(({ pid }) => pid);
  }

  stat(pid: number): ProcessStat | undefined {
    this.stats += 1;
    this.#read();
    const process = this.processes.get(pid);
    if (process === undefined) return undefined;
    if (process.isVanishing) this.processes.delete(pid);
    return { ...process, name: "python", status: "sleeping", nice: 0, threads: 1, cpu: 3 };
  }

  memory(pid: number): ProcessMemory | undefined {
    this.#read();
    const process = this.processes.get(pid);
    return process && { virtualBytes: process.residentBytes * 2, residentBytes: process.residentBytes };
  }

  switches(pid: number): ContextSwitches | undefined {
    this.#read();
    return this.processes.get(pid);
  }

  io(pid: number): ProcessIo | undefined {
    this.#read();
    const process = this.processes.get(pid);
    return process?.tellsIo === true ? process : undefined;
  }

  #read(): void {
    if (this.fault !== undefined) throw this.fault;
  }
}
