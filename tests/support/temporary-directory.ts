import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Scope } from "./scope.js";

/** A new empty directory that is removed after the test. */
export function temporaryDirectory(t: Scope): string {
  return newDirectory(t, tmpdir());
}

/** The same in memory, where there is such a place: for files by the thousand. */
export function memoryDirectory(t: Scope): string {
  const memory = "/dev/shm";
  return newDirectory(t, existsSync(memory) ? memory : tmpdir());
}

function newDirectory(t: Scope, parent: string): string {
  const path = mkdtempSync(join(parent, "parsl-collector-"));
  t.teardown(() => {
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}
