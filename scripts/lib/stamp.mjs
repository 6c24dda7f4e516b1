import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { root, setupDirectory } from "./repository.mjs";

/** A hash of some texts and of the files and folders (all files below) named in `paths`. The repository's own
 *  place belongs to it: what the set-up makes does not survive being moved.
 *  @param {{ texts?: readonly string[], paths?: readonly string[] }} inputs */
export function hashOf({ texts = [], paths = [] }) {
  const hash = createHash("sha256").update(root);
  for (const text of texts) hash.update(`\0text ${text}`);
  for (const path of paths.flatMap(filesOf)) {
    hash.update(`\0file ${path}\0`).update(readFileSync(join(root, path)));
  }
  return hash.digest("hex");
}

/** Whether the step was done with these inputs. */
export function isDone(step, hash) {
  const file = join(setupDirectory, step);
  return existsSync(file) && readFileSync(file, "utf8") === hash;
}

/** Remembers that the step was done with these inputs. */
export function markDone(step, hash) {
  mkdirSync(setupDirectory, { recursive: true });
  writeFileSync(join(setupDirectory, step), hash);
}

/** Makes the step be done again. */
export function forget(step) {
  rmSync(join(setupDirectory, step), { force: true });
}

function filesOf(path) {
  const absolute = join(root, path);
  if (!existsSync(absolute)) return [];
  if (!statSync(absolute).isDirectory()) return [path];
  return readdirSync(absolute, { recursive: true })
    .map((name) => join(path, name))
    .filter((name) => !name.includes("__pycache__") && statSync(join(root, name)).isFile())
    .sort();
}
