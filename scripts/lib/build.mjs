import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { runToEnd } from "./child.mjs";
import { nodePath, root } from "./repository.mjs";

const boundSeconds = 5 * 60;

/** Folders that are compiled into build/. */
export const compiledFolders = ["src", "tests", "bench"];

/** Compiles the TypeScript; with errors in it too, as far as it goes. */
export function compile() {
  removeOutputWithoutSource();
  const tsc = join("node_modules", "typescript", "bin", "tsc");
  return runToEnd(nodePath(), [tsc, "-b"], { boundSeconds });
}

/** The compiler leaves what it made of a file that is gone, and a test that is gone would still run. */
function removeOutputWithoutSource() {
  for (const folder of compiledFolders) {
    const output = join(root, "build", folder);
    if (!existsSync(output)) continue;
    for (const name of readdirSync(output, { recursive: true })) {
      const source = name.replace(/(\.d\.ts|\.js\.map|\.js)$/, ".ts");
      if (source !== name && !existsSync(join(root, folder, source))) rmSync(join(output, name));
    }
  }
}
