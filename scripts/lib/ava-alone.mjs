import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { environment, nodePath, root } from "./repository.mjs";

/** Runs one compiled ava test to its end, on this terminal. Returns its exit code.
 *
 *  @param {string} test its path below build/tests
 *  @param {Record<string, string>} env what it is told beside the usual environment
 *  @param {string[]} args more arguments of ava */
export function runAvaAlone(test, env, args = []) {
  const { status } = spawnSync(
    nodePath(),
    [join("node_modules", "ava", "entrypoints", "cli.mjs"), join("build", "tests", test), ...args],
    { cwd: root, stdio: "inherit", env: { ...environment(), ...env } },
  );
  return status ?? 1;
}
