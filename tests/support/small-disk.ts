import { spawnSync } from "node:child_process";

import type { Scope } from "./scope.js";
import { temporaryDirectory } from "./temporary-directory.js";

/** A filesystem of so many MiB, until the test ends; why there is none when this user may not mount. */
export function smallDisk(t: Scope, mib: number): { readonly folder: string } | { readonly refused: string } {
  const folder = temporaryDirectory(t);
  const options = ["-t", "tmpfs", "-o", `size=${String(mib)}m`, "tmpfs", folder];
  const mounted = spawnSync("mount", options, { encoding: "utf8" });
  if (mounted.status !== 0) return { refused: mounted.stderr.trim() };
  t.teardown(() => spawnSync("umount", ["--lazy", folder]));
  return { folder };
}
