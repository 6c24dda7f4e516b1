import test from "ava";

import type { Finding } from "../../src/view/api.js";
import { why } from "../../src/why/why.js";
import { goldenRun, parslFile, tasksShownBy } from "./parsl-file.js";

function withoutWords({ kind, severity, count, tasks }: Finding): object {
  return { kind, severity, count, tasks };
}

test("of the run that Parsl's own hub recorded, each failure is named once, with its tasks", (t) => {
  const file = parslFile(t);

  const { summary, findings } = why(file.db, goldenRun);

  t.deepEqual(findings.map(withoutWords), [
    { kind: "exception", severity: "failure", count: 1, tasks: [10] },
    { kind: "exit-code", severity: "failure", count: 1, tasks: [11] },
    { kind: "dependency", severity: "failure", count: 1, tasks: [12] },
    { kind: "retry-did-not-help", severity: "note", count: 2, tasks: [10, 11] },
  ]);
  t.is(
    summary,
    "Of 15 tasks 12 ended well, 2 failed and 1 could not run since one before failed. " +
      "Most of it: 1 task of app fails failed with ValueError.",
  );
  for (const { title, query, count } of findings) t.is(tasksShownBy(file.db, query).length, count, title);
});
