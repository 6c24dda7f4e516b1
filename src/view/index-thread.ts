import { setTimeout as delay } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";

import { reasonOf } from "../base/errors.js";
import type { IndexData, IndexReport } from "./index-messages.js";
import { openIndexForWriting } from "./index-file.js";
import { Indexer } from "./indexer.js";
import { lowerPriority } from "./priority.js";
import { Source } from "./source.js";

/** How often the file is asked whether anything was committed, in ms: it costs 10 us. */
const lookMs = 100;

/** Least time between two reports, in ms: whoever is told of a change asks for all that it shows again. */
const reportMs = 250;

/** Share of the time that indexing may take while somebody writes the file: enough for 2,500 tasks a second. With a
 *  quarter a collector at saturation has a tenth less of the rate on two cores. */
const mostBusy = 0.125;

lowerPriority();
const { path, indexPath, timezone } = workerData as IndexData;
const source = new Source(path);
const index = openIndexForWriting(indexPath);
const indexer = new Indexer(source, index, timezone);
const dataVersion = source.db.prepare<[], number>("PRAGMA data_version").pluck();

let seen: number | undefined;
let reportedAt = -Infinity;
let changed = new Set<string>();
let isBehind = true;

function report(message: IndexReport): void {
  parentPort?.postMessage(message);
}

for (;;) {
  const version = dataVersion.get();
  if (version === seen && !isBehind) {
    await delay(lookMs);
    continue;
  }
  const isLive = seen !== undefined && version !== seen;
  const began = performance.now();
  try {
    const step = indexer.step();
    seen = version;
    isBehind = step.isBehind;
    for (const runId of step.changed) changed.add(runId);
    if (!isBehind || performance.now() - reportedAt >= reportMs) {
      report({ changed: [...changed], indexed: step.indexed });
      changed = new Set();
      reportedAt = performance.now();
    }
  } catch (cause) {
    report({ failed: reasonOf(cause) });
    await delay(1_000);
  }
  const tookMs = performance.now() - began;
  const pauseMs = isLive ? tookMs * (1 / mostBusy - 1) : 0;
  await delay(isBehind ? pauseMs : Math.max(pauseMs, reportMs));
}
