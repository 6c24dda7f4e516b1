import { writeFileSync } from "node:fs";
import { join } from "node:path";

import test, { type ExecutionContext } from "ava";

import { runId } from "../support/builders.js";
import { goldenRows } from "../support/golden.js";
import { ParslFile } from "../support/parsl-file.js";
import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** What `parsl-collector why` says of a file that Parsl's own hub wrote. */

const goldenRun = "803afe5f-20d5-405c-985e-72a06e9b936c";

/** A file with the golden run and one that began after it, with a task that failed. */
function fileWithTwoRuns(t: ExecutionContext): string {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const file = new ParslFile(t, path);
  for (const [table, rows] of Object.entries(goldenRows())) file.insert(table, ...rows);
  file.run();
  file.db.exec("UPDATE workflow SET time_began = '2026-12-01 00:00:00' WHERE host = 'submit'");
  file.task({ state: "failed", tries: [{ failure: `ValueError('${"long ".repeat(40)}')` }] });
  return path;
}

test.serial(
  "why says of the last run what failed, in lines of 100 characters, with each query as it is",
  async (t) => {
    const path = fileWithTwoRuns(t);

    const { exit, stdout, stderr } = await runToEnd(t, ["why", "--database", path]);

    t.is(exit, 0);
    t.is(stderr, "");
    const lines = stdout.split("\n");
    t.is(lines[0], `Run ${runId} (the last of 2 runs; --run names another)`);
    t.true(lines.includes("failure: exception"));
    t.true(lines.includes("  1 task of app align failed with ValueError."));
    t.true(lines.includes(`      WHERE run_id = '${runId}' AND task_status_name = 'failed'`));
    for (const line of lines) t.true(line.startsWith("      ") || line.length <= 100, line);
  },
);

test.serial("why --run --json prints what is found of that run", async (t) => {
  const path = fileWithTwoRuns(t);

  const { exit, stdout } = await runToEnd(t, ["why", "--database", path, "--run", goldenRun, "--json"]);

  const answer = JSON.parse(stdout) as { runId: string; findings: { kind: string }[] };
  t.is(exit, 0);
  t.is(answer.runId, goldenRun);
  t.deepEqual(
    answer.findings.map(({ kind }) => kind),
    ["exception", "exit-code", "dependency", "retry-did-not-help"],
  );
});

test.serial("why of what it cannot read exits with 1 and says so, and of bad options with 2", async (t) => {
  const directory = temporaryDirectory(t);
  const text = join(directory, "text");
  const empty = join(directory, "empty.db");
  writeFileSync(text, "no database, but long enough to look like one ".repeat(100));
  writeFileSync(empty, "");
  const cases = [
    [["--database", join(directory, "gone.db")], 1, /there is no such file/],
    [["--database", text], 1, /not a database/],
    [["--database", empty], 1, /it has no tables of Parsl/],
    [
      ["--database", fileWithTwoRuns(t), "--run", "other"],
      1,
      new RegExp(`it has no run other; it has ${runId}`),
    ],
    [[], 2, /--database/],
    [["--database", "postgresql://h/d"], 2, /works on SQLite files/],
  ] as const;

  for (const [options, code, words] of cases) {
    const { exit, stdout, stderr } = await runToEnd(t, ["why", ...options]);

    t.is(exit, code, stderr);
    t.is(stdout, "");
    t.regex(stderr, words);
  }
});
