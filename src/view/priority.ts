import { readlinkSync } from "node:fs";
import { setPriority } from "node:os";

/** Of the nice values: whoever waits for an answer, and whatever else runs on this machine, comes first. */
const priority = 10;

/** Lets this thread work when nothing else wants to. Linux has priorities of single threads; elsewhere, and where that is
 *  not allowed, it stays as it is. */
export function lowerPriority(): void {
  try {
    setPriority(Number(readlinkSync("/proc/thread-self").split("/").at(-1)), priority);
  } catch {
    // It works as well, only less kindly.
  }
}
