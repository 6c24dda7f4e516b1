import { readFileSync } from "node:fs";

/** Ticks a second in /proc, as Linux has it for programs everywhere. */
const ticksPerSecond = 100;

/** CPU that a process has used since it began, in seconds, by all its threads. Linux only. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
  // After the name, which may hold anything but ends with the last parenthesis: state is field 3.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [userTicks = NaN, systemTicks = NaN] = [fields[14 - 3], fields[15 - 3]].map(Number);
  return (userTicks + systemTicks) / ticksPerSecond;
}

/** Memory of a process in MiB: what is resident now ("VmRSS"), or the most that ever was ("VmHWM"). Linux
 *  only. */
export function memoryMib(pid: number, figure: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${String(pid)}/status`, "utf8");
  return Number(new RegExp(`${figure}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024;
}
