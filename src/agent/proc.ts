import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { cpus } from "node:os";

import { CollectorError, hasCode, reasonOf } from "../base/errors.js";

/** What /proc/<pid>/stat says of a process. */
export interface ProcessStat {
  readonly pid: number;
  readonly parentPid: number;
  /** When it started, in clock ticks since the host's boot: with the pid, which process it is. */
  readonly started: number;
  readonly name: string;
  /** psutil's word, as "sleeping". */
  readonly status: string;
  /** CPU time of its own, without its children's, in clock ticks. */
  readonly userTicks: number;
  readonly systemTicks: number;
  readonly nice: number;
  readonly threads: number;
  /** The CPU on which it runs, or ran last. */
  readonly cpu: number;
}

export interface ProcessMemory {
  readonly virtualBytes: number;
  readonly residentBytes: number;
}

/** Of the main thread alone, which is what the kernel and psutil call the process's. */
export interface ContextSwitches {
  readonly voluntary: number;
  readonly involuntary: number;
}

/** Bytes that went through read and write calls, whether or not they came to a disk. The kernel adds those of a
 *  child to its parent's when the parent waits for it. */
export interface ProcessIo {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

/** The door to the kernel's view of processes. Undefined: the process is gone, or must not be read. Throws a
 *  CollectorError "exhausted" when nothing can be read for now. */
export interface Proc {
  readonly ticksPerSecond: number;
  /** Seconds from 1970 until the host's boot; undefined where the system does not tell. */
  readonly bootSeconds: number | undefined;
  /** Of the host; undefined where the system does not tell. */
  readonly memoryBytes: number | undefined;
  readonly cpuCount: number;
  /** Whether `childPids` knows: the kernel may be built without. */
  readonly tellsChildren: boolean;
  pids(): readonly number[];
  /** Children of all threads; none of a process that is gone. One that ends meanwhile may hide another. */
  childPids(pid: number): readonly number[];
  stat(pid: number): ProcessStat | undefined;
  memory(pid: number): ProcessMemory | undefined;
  switches(pid: number): ContextSwitches | undefined;
  io(pid: number): ProcessIo | undefined;
}

/** As psutil names them. */
const statusWords: Readonly<Record<string, string>> = {
  R: "running",
  S: "sleeping",
  D: "disk-sleep",
  T: "stopped",
  t: "tracing-stop",
  Z: "zombie",
  X: "dead",
  x: "dead",
  K: "wake-kill",
  W: "waking",
  I: "idle",
  P: "parked",
};

/** Reads /proc of this host. Without one (no Linux) there are no processes to see.
 *
 *  The reads are synchronous: the kernel makes the text from memory and never waits for a disk, so that a read takes
 *  10 to 20 us, less than the way to a thread of the pool and back. */
export class SystemProc implements Proc {
  readonly ticksPerSecond: number;
  readonly bootSeconds: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly cpuCount = cpus().length;
  readonly tellsChildren: boolean;
  readonly #pageBytes: number;
  /** Holds every file that is read here: the longest, /proc/stat of a host of many CPUs, is read to its `btime`. */
  readonly #buffer = Buffer.alloc(1024 * 1024);

  constructor() {
    const auxiliary = this.#auxiliaryVector();
    this.#pageBytes = auxiliary.get(6) ?? 4096; // AT_PAGESZ
    this.ticksPerSecond = auxiliary.get(17) ?? 100; // AT_CLKTCK
    this.bootSeconds = numberBehind(this.#read("/proc/stat"), "\nbtime ");
    const kibibytes = numberBehind(this.#read("/proc/meminfo"), "MemTotal:");
    this.memoryBytes = kibibytes === undefined ? undefined : kibibytes * 1024;
    const self = String(process.pid);
    this.tellsChildren = this.#read(`/proc/${self}/task/${self}/children`) !== undefined;
  }

  pids(): readonly number[] {
    return numbersIn("/proc");
  }

  childPids(pid: number): readonly number[] {
    const tasks = `/proc/${String(pid)}/task`;
    return numbersIn(tasks).flatMap((thread) => {
      const children = this.#read(`${tasks}/${String(thread)}/children`)?.trim();
      return children ? children.split(" ").map(Number) : [];
    });
  }

  stat(pid: number): ProcessStat | undefined {
    const text = this.#read(`/proc/${String(pid)}/stat`);
    return text === undefined ? undefined : parseStat(text);
  }

  memory(pid: number): ProcessMemory | undefined {
    // Not from stat: its resident size is an estimate on newer kernels.
    const text = this.#read(`/proc/${String(pid)}/statm`);
    if (text === undefined) return undefined;
    const [virtualPages, residentPages] = text.split(" ", 2).map(Number);
    if (virtualPages === undefined || residentPages === undefined) return undefined;
    return {
      virtualBytes: virtualPages * this.#pageBytes,
      residentBytes: residentPages * this.#pageBytes,
    };
  }

  switches(pid: number): ContextSwitches | undefined {
    const text = this.#read(`/proc/${String(pid)}/status`);
    const voluntary = numberBehind(text, "\nvoluntary_ctxt_switches:");
    const involuntary = numberBehind(text, "\nnonvoluntary_ctxt_switches:");
    if (voluntary === undefined || involuntary === undefined) return undefined;
    return { voluntary, involuntary };
  }

  io(pid: number): ProcessIo | undefined {
    const text = this.#read(`/proc/${String(pid)}/io`);
    const readBytes = numberBehind(text, "rchar:");
    const writtenBytes = numberBehind(text, "wchar:");
    if (readBytes === undefined || writtenBytes === undefined) return undefined;
    return { readBytes, writtenBytes };
  }

  /** Half the time of readFileSync, which asks for the size first and reads a second time for the end. */
  #read(path: string): string | undefined {
    try {
      const file = openSync(path, "r");
      try {
        return this.#buffer.toString("latin1", 0, readSync(file, this.#buffer));
      } finally {
        closeSync(file);
      }
    } catch (cause) {
      throwIfExhausted(cause);
      return undefined; // ENOENT and ESRCH: gone, even between the two calls; EACCES: not ours to read
    }
  }

  /** What the kernel told this program at its start: pairs of 64-bit numbers. */
  #auxiliaryVector(): ReadonlyMap<number, number> {
    const bytes = Buffer.from(this.#read("/proc/self/auxv") ?? "", "latin1");
    const entries = new Map<number, number>();
    for (let at = 0; at + 16 <= bytes.length; at += 16) {
      entries.set(Number(bytes.readBigUInt64LE(at)), Number(bytes.readBigUInt64LE(at + 8)));
    }
    return entries;
  }
}

/** @returns undefined for a text that is not one of /proc/<pid>/stat. */
export function parseStat(text: string): ProcessStat | undefined {
  // The program's name may hold blanks and brackets of its own.
  const nameBegin = text.indexOf("(");
  const nameEnd = text.lastIndexOf(")");
  if (nameBegin < 0 || nameEnd < nameBegin) return undefined;
  const fields = text.slice(nameEnd + 2).split(" ", 37);
  const field = (number: number): number => Number(fields[number - 3]); // numbered as in man 5 proc
  return {
    pid: Number(text.slice(0, nameBegin)),
    parentPid: field(4),
    started: field(22),
    name: text.slice(nameBegin + 1, nameEnd),
    status: statusWords[fields[0] ?? ""] ?? "?",
    userTicks: field(14),
    systemTicks: field(15),
    nice: field(19),
    threads: field(20),
    cpu: field(39),
  };
}

function numbersIn(directory: string): number[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (cause) {
    throwIfExhausted(cause);
    return []; // the process is gone
  }
  return names.map(Number).filter((number) => !Number.isNaN(number));
}

/** That this program, or the host, can open no more files says nothing of a process. */
function throwIfExhausted(cause: unknown): void {
  if (!hasCode(cause, "EMFILE", "ENFILE", "ENOMEM")) return;
  const text = `sample the processes of tasks: ${reasonOf(cause)}; samples are left out until that is over (see ulimit -n)`;
  throw new CollectorError("exhausted", text, { cause });
}

/** The number that follows a label, if both are there. */
export function numberBehind(text: string | undefined, label: string): number | undefined {
  const at = text?.indexOf(label) ?? -1;
  if (text === undefined || at < 0) return undefined;
  const number = Number.parseInt(text.slice(at + label.length), 10);
  return Number.isNaN(number) ? undefined : number;
}
