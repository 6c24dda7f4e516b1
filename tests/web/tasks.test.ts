import test from "ava";
import type { Locator, Page } from "playwright-core";

import { connect } from "../../src/index.js";
import { axeFindings, openTab } from "../support/browser.js";
import { startCollector } from "../support/collector.js";
import { fileScope } from "../support/file-scope.js";
import { goldenDatabase, goldenMessages, goldenRows } from "../support/golden.js";
import { sharedBrowser, testsWithBrowser } from "../support/shared-browser.js";
import { startView } from "../support/view.js";

const { why, unlessSkipped, reason } = testsWithBrowser();

const browser = sharedBrowser();
const scope = fileScope();
const runId = String(goldenRows()["workflow"]?.[0]?.["run_id"]);
let tasks = "";

test.before(async () => {
  if (why !== undefined) return;
  const view = await startView(scope, await goldenDatabase(scope), { args: ["--timezone", "UTC"] });
  tasks = `${view.ready.url}runs/${runId}/tasks`;
});

/** Waits until the grid shows these tasks, and only these, in this order. */
async function shows(page: Page, numbers: readonly number[]): Promise<void> {
  for (const [index, task] of numbers.entries()) {
    await rowOf(page, index).locator("[col-id=task]").getByText(String(task), { exact: true }).waitFor();
  }
  await rowOf(page, numbers.length).waitFor({ state: "detached" });
}

function rowOf(page: Page, index: number): Locator {
  return page.locator(`[role=row][row-index="${String(index)}"]`);
}

/** The texts of a row, by column. */
async function row(page: Page, index: number): Promise<Record<string, string>> {
  const cells = await rowOf(page, index).locator("[role=gridcell]").all();
  return Object.fromEntries(
    await Promise.all(
      cells.map(async (cell) => [await cell.getAttribute("col-id"), (await cell.textContent()) ?? ""]),
    ),
  ) as Record<string, string>;
}

const everyTask = Array.from({ length: 15 }, (_, task) => task);

unlessSkipped(`the grid shows each task with what became of it${reason}`, async (t) => {
  const { page, problems } = await openTab(t, browser(), tasks);

  await shows(page, everyTask);

  const failed = await row(page, 10);
  t.like(failed, {
    task: "10",
    app: "fails",
    state: "✗failed",
    seconds: "108 ms",
    tries: "2",
    host: "node1",
  });
  t.like(failed, { began: "2026-11-25 01:25:30", failure: "ValueError('bad value 5')" });
  t.is(await page.getByRole("status").filter({ hasText: "task" }).textContent(), "15 tasks");
  t.deepEqual(problems, []);
});

unlessSkipped(`an address tells what is filtered, searched and sorted${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${tasks}?state=failed&state=dep_fail&sort=task&order=desc`);

  await shows(page, [12, 11, 10]);
  await page.getByText("3 of 15 tasks").waitFor();
  await page.getByText("State: failed, dependency failed").waitFor();
  t.is(await page.getByRole("columnheader", { name: "Task" }).getAttribute("aria-sort"), "descending");

  await page.goto(`${tasks}?search=bad+value&app=fails`);
  await shows(page, [10]);
  t.is(await page.getByRole("searchbox", { name: "Search" }).inputValue(), "bad value");
});

unlessSkipped(`typing searches, and the address follows${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), tasks);
  await shows(page, everyTask);

  await page.getByRole("searchbox", { name: "Search" }).pressSequentially("sleep");
  // By the first letters alone there are the same tasks.
  await page.waitForURL((url) => url.searchParams.get("search") === "sleep");
  await shows(page, [1, 2]);
  t.is(new URL(page.url()).search, "?search=sleep");

  await page.getByRole("searchbox", { name: "Search" }).fill("no task is called so");
  await page.getByText("No task matches.").waitFor();

  await page.getByRole("button", { name: "Show all tasks" }).click();
  await shows(page, everyTask);
  t.is(new URL(page.url()).search, "");
});

unlessSkipped(`ticked values filter, and going back takes them off again${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), tasks);
  await shows(page, everyTask);

  await page.getByText("App: any").click();
  await page.getByRole("checkbox", { name: "add" }).check();
  await shows(page, [0, 3, 4, 12, 13, 14]);
  await page.getByText("State: any").click();
  await page.getByRole("checkbox", { name: "done" }).check();
  await shows(page, [0, 3, 4, 13, 14]);
  t.is(new URL(page.url()).search, "?app=add&state=exec_done");

  await page.goBack();
  await shows(page, [0, 3, 4, 12, 13, 14]);
  await page.goBack();
  await shows(page, everyTask);
});

unlessSkipped(`each column's head sorts on the server, by keyboard too${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${tasks}?app=sleeper`);
  await shows(page, [1, 2]);

  for (const [name, column] of [
    ["Task", "task"],
    ["App", "app"],
    ["State", "state"],
    ["Took", "seconds"],
    ["Tries", "tries"],
    ["Began", "began"],
    ["Host", "host"],
    ["Block", "block"],
    ["Failure", "failure"],
  ] as const) {
    const answered = page.waitForResponse((answer) => answer.url().includes(`sort=${column}&order=asc`));
    await page.getByRole("columnheader", { name, exact: true }).click();
    t.true((await answered).ok(), name);
    await page.waitForURL((url) => url.searchParams.get("sort") === column);
  }

  const took = page.getByRole("columnheader", { name: "Took" });
  await took.focus();
  await page.keyboard.press("Enter");
  await page.waitForURL((url) => url.searchParams.get("sort") === "seconds");
  await page.keyboard.press("Enter");
  await shows(page, [2, 1]);
  t.is(new URL(page.url()).search, "?app=sleeper&sort=seconds&order=desc");

  await page.goBack();
  await shows(page, [1, 2]);
});

unlessSkipped(
  `arrows move in the grid, Enter opens a task, and going back finds it again${reason}`,
  async (t) => {
    const { page } = await openTab(t, browser(), tasks);
    await shows(page, everyTask);

    await rowOf(page, 0)
      .locator("[col-id=task]")
      .click({ position: { x: 4, y: 4 } });
    for (let pressed = 0; pressed < 3; pressed += 1) await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowRight");
    t.is(await page.locator(":focus").getAttribute("col-id"), "app");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Task 3: add" }).waitFor();
    t.is(page.url(), `${tasks}/3`);

    await page.goBack();
    await shows(page, everyTask);
    await rowOf(page, 3).locator("[col-id=task]:focus").waitFor();
    t.pass();
  },
);

unlessSkipped(`an open filter is accessible in both themes${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${tasks}?state=failed`);
  await shows(page, [10, 11]);

  await page.getByText("State: failed").click();
  await page.getByRole("checkbox", { name: "memoized" }).waitFor();
  t.deepEqual(await axeFindings(page), []);
  await page.emulateMedia({ colorScheme: "dark" });
  t.deepEqual(await axeFindings(page), [], "in the dark theme");

  await page.keyboard.press("Escape");
  await page.getByRole("checkbox", { name: "memoized" }).waitFor({ state: "hidden" });
});

unlessSkipped(`new data come into the grid, and the selection and the place stay${reason}`, async (t) => {
  const collector = await startCollector(t, { args: ["--timezone", "UTC"] });
  const client = connect({ address: collector.address });
  t.teardown(() => client.close());
  const messages = goldenMessages();
  const half = messages.findIndex(
    (message) => "taskInfo" in message && Number(message.taskInfo.taskId) === 8,
  );
  for (const message of messages.slice(0, half)) await client.send(message);
  await client.flush();
  const view = await startView(t, collector.database, { args: ["--timezone", "UTC"] });
  const { page, problems } = await openTab(t, browser(), `${view.ready.url}runs/${runId}/tasks`);
  await shows(page, [0, 1, 2, 3, 4, 5, 6, 7]);
  await rowOf(page, 4).locator("[col-id=app]").click();

  for (const message of messages.slice(half)) await client.send(message);
  await shows(page, everyTask);

  const selected = page.locator('[role=row][aria-selected="true"]');
  t.is(await selected.count(), 1);
  t.is(await selected.getAttribute("row-id"), "4");
  t.is(await page.locator(":focus").getAttribute("col-id"), "app");
  await rowOf(page, 4).getByText("done").waitFor();
  t.deepEqual(problems, []);
});
