/** Compiles the TypeScript into build/, and bundles the page that `view` serves; does nothing when that is done: a test
 *  packs the package while others read what is there. Runs on any Node >= 20. */
import { compile, isCompiled } from "./lib/build.mjs";

if (!isCompiled()) {
  const { code, output } = await compile();
  if (code !== 0) process.stdout.write(output);
  process.exitCode = code ?? 1;
}
