/** Compiles the TypeScript into build/, and bundles the page that `view` serves. Runs on any Node >= 20. */
import { compile } from "./lib/build.mjs";

const { code, output } = await compile();
if (code !== 0) process.stdout.write(output);
process.exitCode = code ?? 1;
