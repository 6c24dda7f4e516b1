import { rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Where in its home an agent has what it needs, as the worker that starts it relies on (`_agent.py`). */
export function socketIn(home: string): string {
  return join(home, "socket");
}

export function spoolIn(home: string): string {
  return join(home, "spool");
}

/** Leaves nothing on the node, but what a spool still holds. The lock goes last: from then on the next agent may be
 *  started in the same place. */
export function removeHome(home: string): void {
  if (!removeDirectory(spoolIn(home))) return;
  const secrets = ["key", "token-file", "ca-file", "client-cert", "client-key"];
  for (const name of [...secrets, "log", "lock"]) rmSync(join(home, name), { force: true });
  removeDirectory(home);
}

/** Returns whether it is gone; one that is not empty stays. */
function removeDirectory(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (cause) {
    return cause instanceof Error && "code" in cause && cause.code === "ENOENT";
  }
}
