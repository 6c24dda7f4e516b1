import test from "ava";
import type { Page } from "playwright-core";

import { axeFindings, openTab } from "../support/browser.js";
import { openDatabase } from "../support/database.js";
import { fileScope } from "../support/file-scope.js";
import { goldenDatabase, goldenRows } from "../support/golden.js";
import { sharedBrowser, testsWithBrowser } from "../support/shared-browser.js";
import { startView } from "../support/view.js";

const { why, unlessSkipped, reason } = testsWithBrowser();

const browser = sharedBrowser();
const scope = fileScope();
const runId = String(goldenRows()["workflow"]?.[0]?.["run_id"]);
let database = "";
let run = "";

test.before(async () => {
  if (why !== undefined) return;
  database = await goldenDatabase(scope);
  const view = await startView(scope, database, { args: ["--timezone", "UTC"] });
  run = `${view.ready.url}runs/${runId}`;
});

/** Opens everything that is folded. */
async function unfold(page: Page): Promise<void> {
  for (const summary of await page.locator("main summary").all()) await summary.click();
}

/** The texts of a table's cells, row by row, without its head. */
async function table(page: Page, caption: string | RegExp): Promise<string[][]> {
  const rows = page.getByRole("table", { name: caption }).locator("tbody tr");
  await rows.first().waitFor();
  return Promise.all((await rows.all()).map((row) => row.locator("td").allTextContents()));
}

/** Figures of a page by their names. */
async function figures(page: Page): Promise<Record<string, string>> {
  const names = await page.locator("dl.figures dt").allTextContents();
  const values = await page.locator("dl.figures dd").allTextContents();
  return Object.fromEntries(names.map((name, index) => [name, values[index] ?? ""]));
}

unlessSkipped(`a task's page tells all of it${reason}`, async (t) => {
  const { page, problems } = await openTab(t, browser(), `${run}/tasks/10`);
  await page.getByRole("heading", { level: 1, name: "Task 10: fails" }).waitFor();
  await unfold(page);

  t.like(await figures(page), {
    State: "✗failed",
    Host: "node1",
    Block: "0",
    Submitted: "2026-11-25 01:25:28 UTC",
    Took: "108 ms",
    Tries: "2",
    Failures: "2",
  });
  t.deepEqual(await page.locator("pre").allTextContents(), [
    "ValueError('bad value 5')",
    "ValueError('bad value 5')",
  ]);
  t.deepEqual(
    (await table(page, /States of task 10/)).map(([number, state, , lasted]) => [number, state, lasted]),
    [
      ["0", "○pending", "27.6 ms"],
      ["0", "◔launched", "1.11 s"],
      ["0", "▶running", "97.6 ms"],
      ["0", "◕run ended", "5.01 ms"],
      ["0", "↻to be retried", ""],
      ["1", "○pending", "7.35 ms"],
      ["1", "◔launched", "588 ms"],
      ["1", "▶running", "108 ms"],
      ["1", "◕run ended", "9.6 ms"],
      ["1", "✗failed", ""],
    ],
  );
  t.deepEqual((await table(page, /Where and how long/))[1]?.slice(1), [
    ...["htex", "0", "node1", "2026-11-25 01:25:29", "595 ms", "117 ms"],
  ]);
  t.deepEqual(await table(page, /CPU in 2 samples/), [
    ["0", "01:25:29.810", "1.02 s"],
    ["1", "01:25:30.534", "1.08 s"],
  ]);
  t.deepEqual((await table(page, /Disk in 2 samples/))[0], ["0", "01:25:29.810", "17.4 MiB", "46.1 KiB"]);
  t.deepEqual(await axeFindings(page), []);
  t.deepEqual(problems, []);
});

unlessSkipped(`a failure's text is copied in full${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${run}/tasks/12`);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);

  await page.getByRole("button", { name: "Copy failure" }).click();
  await page.getByRole("status").filter({ hasText: "Copied" }).waitFor();

  const copied = await page.evaluate<string>("navigator.clipboard.readText()");
  t.is(copied, "DependencyError([(ValueError('bad value 5'), 'task 10')], 12)");
});

unlessSkipped(`links lead from a task to its neighbours and along its dependencies${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${run}/tasks/3`);

  for (const [link, title] of [
    ["0 add", "Task 0: add"],
    ["2 sleeper", "Task 2: sleeper"],
    ["Task 3 →", "Task 3: add"],
    ["4 add", "Task 4: add"],
    ["← Task 3", "Task 3: add"],
  ] as const) {
    await page.getByRole("link", { name: link }).click();
    await page.getByRole("heading", { level: 1, name: title }).waitFor();
  }
  t.is(page.url(), `${run}/tasks/3`);

  await page.goto(`${run}/tasks/9`);
  await page.getByRole("cell", { name: "13, 14" }).getByRole("link", { name: "14" }).click();
  await page.getByRole("heading", { level: 1, name: "Task 14: add" }).waitFor();
  t.is(await page.getByRole("link", { name: "→" }).count(), 0);
});

unlessSkipped(`a task's files stand by their names${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${run}/tasks/5`);
  const files = page
    .locator("section")
    .filter({ has: page.getByRole("heading", { name: "Inputs and outputs" }) });

  await files.getByText("/home/user/run/hello.out").waitFor();
  t.deepEqual(await files.locator("dt").allTextContents(), ["Outputs", "stdout", "stderr"]);
});

unlessSkipped(`a task that is not there is told of${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${run}/tasks/4711`);

  await page.getByRole("alert").filter({ hasText: "4711" }).waitFor();
  t.pass();
});

unlessSkipped(`the graph shows tasks and apps with what they wait for${reason}`, async (t) => {
  const { page, problems } = await openTab(t, browser(), `${run}/graph`);
  await page.getByRole("img", { name: "15 tasks and 6 dependencies" }).waitFor();
  await unfold(page);

  t.deepEqual(await table(page, "6 edges"), [
    ["add 0", "sleeper 2", "1"],
    ["add 0", "add 3", "1"],
    ["sleeper 1", "add 4", "1"],
    ["add 3", "add 4", "1"],
    ["greet 5", "cat 6", "1"],
    ["fails 10", "add 12", "1"],
  ]);

  await page.getByRole("radio", { name: "app" }).check();
  await page.getByRole("img", { name: /^8 apps and 5 dependencies/ }).waitFor();
  t.is(new URL(page.url()).search, "?level=app");
  const apps = await table(page, "8 apps");
  t.deepEqual(
    apps.find(([app]) => app === "add"),
    ["add", "6", "✓done 5⊘dependency failed 1"],
  );
  t.deepEqual(await axeFindings(page), []);
  t.deepEqual(problems, []);
});

unlessSkipped(`a click on the graph opens a task, and buttons zoom${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${run}/graph?level=task`);
  const drawing = page.getByRole("img", { name: "15 tasks" });
  await drawing.locator("canvas").waitFor();
  const asDrawn = await drawing.screenshot();
  await page.getByRole("button", { name: "Zoom in" }).click();
  const zoomed = await drawing.screenshot();
  await page.getByRole("button", { name: "Fit" }).click();
  const fitted = await drawing.screenshot();
  t.notDeepEqual(zoomed, asDrawn);
  t.deepEqual(fitted, asDrawn);

  const { x = 0, y = 0, width = 0, height = 0 } = (await drawing.boundingBox()) ?? {};
  search: for (let down = 10; down < height; down += 20) {
    for (let across = 10; across < width; across += 40) {
      await page.mouse.click(x + across, y + down);
      if (!page.url().includes("/graph")) break search;
    }
  }
  await page.getByRole("heading", { level: 1, name: /^Task \d+: / }).waitFor();
  t.regex(page.url(), /\/tasks\/\d+$/);
});

unlessSkipped(`resources tell what the tasks of each app took${reason}`, async (t) => {
  const { page, problems } = await openTab(t, browser(), `${run}/resources`);
  await page.getByRole("heading", { name: "Wall time" }).waitFor();
  await unfold(page);

  const wall = await table(page, /^Wall time/);
  t.deepEqual(
    wall.find(([app]) => app === "sleeper"),
    ["sleeper", "2.07 s", "2.1 s", "2.13 s", "2.16 s", "2.19 s", "2.19 s"],
  );
  const memory = await table(page, /^Peak memory/);
  t.deepEqual(
    memory.find(([app]) => app === "add"),
    ["add", ...Array.from({ length: 6 }, () => "116 MiB")],
  );
  await page.getByText("both: no samples, wall time alone").waitFor();
  t.deepEqual(await axeFindings(page), []);
  t.deepEqual(problems, []);

  await page.getByRole("link", { name: "sleeper" }).click();
  await page.getByText("2 of 15 tasks").waitFor();
});

unlessSkipped(`why tells each finding with a query that shows its tasks${reason}`, async (t) => {
  const { page, problems } = await openTab(t, browser(), `${run}/why`);
  await page.getByRole("heading", { level: 2, name: "Failures" }).waitFor();
  await unfold(page);

  const findings = page.getByRole("article");
  const told = await Promise.all(
    (await findings.all()).map(async (finding) => ({
      title: await finding.getByRole("heading").textContent(),
      tasks: (await finding.locator("p a").allTextContents()).map(Number),
      query: (await finding.locator("pre").textContent()) ?? "",
    })),
  );
  t.deepEqual(
    told.map(({ tasks }) => tasks),
    [[10], [11], [12], [10, 11]],
  );
  t.is(told[0]?.title, "1 task of app fails failed with ValueError.");
  const file = openDatabase(t, database);
  for (const { title, tasks, query } of told) {
    t.deepEqual([...new Set(file.rows(query).map((row) => row["task_id"]))], tasks, title ?? query);
  }
  t.deepEqual(await axeFindings(page), []);
  t.deepEqual(problems, []);

  await findings.first().getByRole("link", { name: "ValueError" }).click();
  await page.getByText("2 of 15 tasks").waitFor(); // and task 12, whose failure names it
});
