import { parentPort, workerData } from "node:worker_threads";

import { reasonOf } from "../base/errors.js";
import { why } from "../why/why.js";
import { Source } from "./source.js";
import { lowerPriority } from "./priority.js";
import type { WhyAnswer, WhyData } from "./why-reports.js";

lowerPriority();
const { path, runId } = workerData as WhyData;
const source = new Source(path);
try {
  parentPort?.postMessage({ why: why(source.db, runId) } satisfies WhyAnswer);
} catch (cause) {
  parentPort?.postMessage({ failed: reasonOf(cause) } satisfies WhyAnswer);
} finally {
  source.close();
}
