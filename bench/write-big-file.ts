import { existsSync } from "node:fs";

import { writeBigFile } from "./big-file.js";

const [path, tasks = "1000000"] = process.argv.slice(2);

if (path === undefined || !/^\d+$/.test(tasks)) {
  console.error(
    "usage: npm run big-file -- FILE [TASKS]    write a database that holds a run of so many tasks (1000000)",
  );
  process.exitCode = 2;
} else if (existsSync(path)) {
  console.error(`write ${path}: it is there already; name another file`);
  process.exitCode = 1;
} else {
  const began = performance.now();
  const runId = writeBigFile(path, Number(tasks));
  console.log(`${path}: run ${runId} in ${((performance.now() - began) / 1000).toFixed(1)} s`);
}
