import test from "ava";

import type {
  Graph,
  Resources,
  RunDetail,
  RunSummary,
  Source,
  TaskDetail,
  TaskPage,
  Timeline,
  Why,
  Workers,
} from "../../src/view/api.js";
import { fileScope } from "../support/file-scope.js";
import { goldenRun, openPage, parslFile, type Page } from "./files.js";

/** What the API says of a file that Parsl's own hub wrote, of the golden workflow. */

const scope = fileScope();
let page: Page;

test.before(async () => {
  page = await openPage(scope, parslFile(scope));
  await page.indexed(80);
});

const run = `/api/runs/${goldenRun}`;
const at = (text: string): number => Date.parse(`2026-11-25T${text}Z`);

/** A time to the millisecond. */
function ms(time: number | null): number | null {
  return time === null ? null : Math.floor(time);
}

test("the source is the file, without a ledger, in the zone that was told", async (t) => {
  const source = await page.get<Source>("/api/source");

  t.is(source.file, "monitoring.db");
  t.false(source.hasLedger);
  t.is(source.timezone, "UTC");
  t.deepEqual(source.indexed, { rows: 80, ofRows: 80 });
});

test("a run is told with its tasks by state", async (t) => {
  const [summary, ...others] = await page.get<RunSummary[]>("/api/runs");

  t.deepEqual(others, []);
  t.like(summary, {
    ...{ runId: goldenRun, workflow: "golden", version: "1.0", host: "node1", user: "user", tasks: 15 },
    completeness: null,
  });
  t.deepEqual(summary?.states, { exec_done: 11, dep_fail: 1, memo_done: 1, failed: 2 });
  t.is(ms(summary?.began ?? null), at("01:25:17.560"));
  t.is(ms(summary?.completed ?? null), at("01:25:31.343"));
  t.is(ms(summary?.lastHeard ?? null), at("01:25:31.343"));
});

test("the detail of a run has its apps, executors, hosts, blocks, nodes and progress", async (t) => {
  const detail = await page.get<RunDetail>(run);

  t.is(detail.rundir, "/home/user/run/runinfo/000");
  t.deepEqual(
    detail.apps.map(({ app, tasks }) => [app, tasks]),
    [
      ...[
        ["add", 6],
        ["both", 1],
        ["cat", 1],
        ["exits", 1],
        ["fails", 1],
        ["greet", 1],
        ["sleeper", 2],
      ],
      ["square", 2],
    ],
  );
  const sleeper = detail.apps.find(({ app }) => app === "sleeper");
  t.is(sleeper?.medianSeconds, (2.067102 + 2.19244) / 2);
  t.deepEqual(detail.executors, ["_parsl_internal", "htex"]);
  t.deepEqual(detail.hosts, ["node1"]);
  t.deepEqual(
    detail.blocks.map(({ executor, block, job, states }) => [
      executor,
      block,
      job,
      states.map((one) => one.status),
    ]),
    [["htex", "0", "15494", ["PENDING", "RUNNING", "SCALED_IN"]]],
  );
  t.like(detail.nodes[0], {
    host: "node1",
    block: "0",
    cpus: 2,
    workers: 2,
    memoryBytes: 25276063744,
    active: false,
  });
  t.is(detail.nodes.length, 1);
  t.like(detail.progress, { done: 12, failed: 3, open: 0, secondsLeft: null });
});

test("the timeline counts at each time what was in which state then", async (t) => {
  const [from, to] = [at("01:25:20.000"), at("01:25:30.000")];
  const timeline = await page.get<Timeline>(`${run}/timeline?from=${String(from)}&to=${String(to)}&points=6`);

  t.deepEqual(
    timeline.times,
    [0, 2, 4, 6, 8, 10].map((seconds) => from + seconds * 1000),
  );
  t.deepEqual(timeline.states, {
    pending: [0, 4, 4, 4, 2, 1],
    launched: [0, 4, 4, 4, 4, 4],
    joining: [0, 0, 0, 0, 0, 1],
    running: [0, 0, 0, 0, 1, 2],
    exec_done: [0, 0, 0, 0, 1, 6],
    memo_done: [0, 0, 0, 0, 0, 1],
  });
  t.deepEqual(timeline.busy, [0, 0, 0, 0, 1, 2]);
  t.deepEqual(timeline.nodes, [0, 0, 0, 0, 1, 1]);
  t.deepEqual(timeline.workers, [0, 0, 0, 0, 2, 2]);
  t.is(timeline.endedPerSecond.at(-1), 3);
});

test("a page of tasks is sorted, filtered and searched as asked", async (t) => {
  const numbers = async (query: string): Promise<[number, number[]]> => {
    const { total, rows } = await page.get<TaskPage>(`${run}/tasks?${query}`);
    return [total, rows.map(({ task }) => task)];
  };

  t.deepEqual(await numbers("limit=3&offset=12"), [15, [12, 13, 14]]);
  t.deepEqual(await numbers("limit=3&order=desc"), [15, [14, 13, 12]]);
  t.deepEqual(await numbers("limit=2&sort=seconds&order=desc"), [15, [2, 1]]);
  t.deepEqual(await numbers("sort=app&app=sleeper&app=fails"), [3, [10, 1, 2]]);
  t.deepEqual(await numbers("state=failed&state=dep_fail"), [3, [10, 11, 12]]);
  t.deepEqual(await numbers("search=bad%20value"), [2, [10, 12]]);
  t.deepEqual(await numbers("search=7"), [1, [7]]);
  t.deepEqual(await numbers("search=%25"), [0, []]);
  t.deepEqual(await numbers("host=nowhere"), [0, []]);
  const { rows } = await page.get<TaskPage>(`${run}/tasks?search=10`);
  t.like(rows[0], {
    ...{ task: 10, app: "fails", state: "failed", executor: "htex", block: "0", host: "node1" },
    ...{ seconds: 0.108174, tries: 2, failure: "ValueError('bad value 5')" },
  });
  t.is(ms(rows[0]?.began ?? null), at("01:25:30.454"));
});

test("a memoized task ended without having run", async (t) => {
  const task = await page.get<TaskDetail>(`${run}/tasks/8`);

  t.like(task, { state: "memo_done", memoized: true, began: null, seconds: null, host: null, tries: 1 });
  t.is(ms(task.ended), at("01:25:28.623"));
  t.is(task.hashsum, "ae2540f00d2eb7d3c69c73caf49d2f7b");
});

test("a task has its tries with their states and samples, and what depends on it", async (t) => {
  const task = await page.get<TaskDetail>(`${run}/tasks/10`);

  t.deepEqual(
    task.attempts.map(({ states }) => states.map(({ state }) => state)),
    [
      ["pending", "launched", "running", "running_ended", "fail_retryable"],
      ["pending", "launched", "running", "running_ended", "failed"],
    ],
  );
  t.like(task.attempts[0]?.samples[0], { cpuSeconds: 1.02, residentBytes: 121737216 });
  t.deepEqual(task.dependents, [{ task: 12, app: "add", state: "dep_fail" }]);
  t.is(task.dependentCount, 1);
  t.like(task, { failCount: 2, failCost: 2, inputs: null, stdout: null });

  const other = await page.get<TaskDetail>(`${run}/tasks/4`);
  t.deepEqual(
    other.dependsOn.map(({ task: parent }) => parent),
    [3, 1],
  );
  const joining = await page.get<TaskDetail>(`${run}/tasks/9`);
  t.is(joining.attempts[0]?.joins, "13,14");
});

test("the graph shows tasks, or apps when asked", async (t) => {
  const byTask = await page.get<Graph>(`${run}/graph`);
  const byApp = await page.get<Graph>(`${run}/graph?level=app`);

  t.is(byTask.nodes.length, 15);
  t.deepEqual(
    byTask.edges.map(({ from, to }) => `${from}>${to}`),
    ["0>2", "0>3", "1>4", "3>4", "5>6", "10>12"],
  );
  t.deepEqual(byApp.edges.map(({ from, to, count }) => `${from}>${to} ${String(count)}`).sort(), [
    "add>add 2",
    "add>sleeper 1",
    "fails>add 1",
    "greet>cat 1",
    "sleeper>add 1",
  ]);
});

test("tries that overlap on a node are on lanes of their own, and the longest are shown when there are too many", async (t) => {
  const workers = await page.get<Workers>(`${run}/workers`);
  const two = await page.get<Workers>(`${run}/workers?most=2`);

  t.deepEqual(
    workers.lanes.map(({ block, host, lane }) => [block, host, lane]),
    [
      [null, "node1", 0],
      ["0", "node1", 0],
      ["0", "node1", 1],
    ],
  );
  t.is(workers.tries, 15);
  t.is(workers.bars.length, 15);
  t.is(two.tries, 15);
  t.deepEqual(two.bars.map(({ task }) => task).sort(), [1, 2]);
});

test("what the tasks of an app took is told as distributions", async (t) => {
  const { apps } = await page.get<Resources>(`${run}/resources`);
  const add = apps.find(({ app }) => app === "add");
  const both = apps.find(({ app }) => app === "both");

  t.like(add, { tasks: 5, sampled: 5 });
  t.is(add?.cpuSeconds?.max, 1.07);
  t.is(add?.wallSeconds?.min, 0.069411);
  t.is(add?.wallSeconds?.median, 0.084138);
  t.like(both, { tasks: 0, sampled: 0, cpuSeconds: null });
});

test("why the tasks failed is told", async (t) => {
  const why = await page.get<Why>(`${run}/why`);

  t.is(why.runId, goldenRun);
  t.true(why.findings.some(({ kind, tasks }) => kind === "dependency" && tasks.includes(12)));
});

test("what is not there, and what makes no sense, is told in a sentence", async (t) => {
  for (const [path, status, sentence] of [
    ["/api/runs/nobody", 404, /monitoring\.db has no run of this id/],
    [`${run}/tasks/99`, 404, /no such task/],
    ["/api/nothing", 404, /no such address/],
    [`${run}/tasks?sort=colour`, 400, /expected one of task, app,/],
    [`${run}/tasks?limit=-1`, 400, /expected a whole number from 0 to 1000/],
    [`${run}/timeline?from=now`, 400, /read from: expected a number, got "now"/],
  ] as const) {
    const answer = await page.fetch(path);
    t.is(answer.status, status, path);
    t.regex(((await answer.json()) as { error: string }).error, sentence);
  }
});
