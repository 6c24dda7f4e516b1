import { readFileSync } from "node:fs";
import { hostname } from "node:os";

import { hasCode } from "./errors.js";

/** A process, told from a later one that got its number. */
export interface ProcessIdentity {
  readonly hostname: string;
  readonly pid: number;
  /** When it started, in clock ticks since the host's boot; undefined where the system does not tell. */
  readonly processStarted: number | undefined;
}

export function thisProcess(): ProcessIdentity {
  return { hostname: hostname(), pid: process.pid, processStarted: startOf(process.pid) };
}

/** Whether the process still runs; undefined for one of another host, of which nobody here can know. */
export function isRunning(identity: ProcessIdentity): boolean | undefined {
  if (identity.hostname !== hostname()) return undefined;
  if (identity.processStarted !== undefined) return startOf(identity.pid) === identity.processStarted;
  try {
    process.kill(identity.pid, 0);
    return true;
  } catch (cause) {
    return hasCode(cause, "EPERM"); // alive, as another user's
  }
}

/** Field 22 of /proc/<pid>/stat; undefined when there is no such process, or no /proc. */
function startOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, "latin1");
    // Behind the program's name, which may hold blanks and brackets of its own.
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
  } catch {
    return undefined;
  }
}
