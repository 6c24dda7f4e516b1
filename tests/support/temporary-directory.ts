import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Scope } from "./scope.js";

/** A new empty directory that is removed after the test. */
export function temporaryDirectory(t: Scope): string {
  const path = mkdtempSync(join(tmpdir(), "parsl-collector-"));
  t.teardown(() => {
    rmSync(path, { recursive: true, force: true });
  });
  return path;
}
