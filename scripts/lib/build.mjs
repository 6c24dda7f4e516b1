import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import { runToEnd } from "./child.mjs";
import { nodePath, root } from "./repository.mjs";
import { hashOf, isDone, markDone } from "./stamp.mjs";

const boundSeconds = 5 * 60;

/** Folders that are compiled into build/. */
const folders = ["src", "tests", "bench", "clients/typescript"];

/** Whether build/ is what these sources compile to. */
export function isCompiled() {
  const made = ["src/cli/main.js", "web/index.html"].every((path) => existsSync(join(root, "build", path)));
  return made && isDone("build", hashOfSources());
}

/** Compiles the TypeScript and bundles the page; with errors in it too, as far as it goes. */
export async function compile() {
  const hash = hashOfSources();
  removeOutputWithoutSource();
  const tsc = join("node_modules", "typescript", "bin", "tsc");
  const ended = await runToEnd(nodePath(), [tsc, "-b", ".", "src/web"], { boundSeconds });
  if (ended.code !== 0) return ended;
  // Late: on a fresh clone this module is loaded before esbuild is there.
  const { buildWeb } = await import("./web.mjs");
  await buildWeb();
  markDone("build", hash);
  return ended;
}

function hashOfSources() {
  return hashOf({ paths: [...folders, "scripts/lib/web.mjs", "tsconfig.json", "package-lock.json"] });
}

/** The compiler leaves what it made of a file that is gone, and a test that is gone would still run. */
function removeOutputWithoutSource() {
  for (const folder of folders) {
    const output = join(root, "build", folder);
    if (!existsSync(output)) continue;
    for (const name of readdirSync(output, { recursive: true })) {
      const source = name.replace(/(\.d\.ts|\.js\.map|\.js)$/, ".ts");
      if (source !== name && !existsSync(join(root, folder, source))) rmSync(join(output, name));
    }
  }
}
