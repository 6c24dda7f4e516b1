import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's folder, without a slash at its end. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Where the set-up remembers what it has done. */
export const setupDirectory = join(root, ".setup");

/** The programs of the Python environment that the set-up makes. */
export const venvBin = join(root, ".venv", "bin");
export const venvPython = join(venvBin, "python");

/** Oldest Node that the collector runs on, and oldest that the set-up itself runs on. */
export const leastNode = 22;
export const leastNodeOfSetup = 20;

/** The Node that runs the collector: the one that the lockfile brings, where there is one for this machine. */
export function nodePath() {
  const own = join(root, "node_modules", ".bin", "node");
  return existsSync(own) ? own : process.execPath;
}

/** The environment of what the scripts start. Parsl finds its interchange and its workers by PATH, and npm's
 *  programs begin with `env node`: both folders come first. Node and Python keep what they compile: the tests start some
 *  hundred processes of each. */
export function environment(more = {}) {
  const path = [venvBin, join(root, "node_modules", ".bin"), process.env.PATH].join(delimiter);
  return {
    ...process.env,
    PATH: path,
    NODE_COMPILE_CACHE: join(setupDirectory, "node"),
    PYTHONDONTWRITEBYTECODE: undefined,
    ...more,
  };
}

/** Major version of this Node. */
export function nodeMajor() {
  return Number(process.versions.node.split(".")[0]);
}
