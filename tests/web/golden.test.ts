import test, { type ExecutionContext } from "ava";
import type { Page } from "playwright-core";

import { axeFindings, openTab } from "../support/browser.js";
import { fileScope } from "../support/file-scope.js";
import { goldenDatabase, goldenRows } from "../support/golden.js";
import { sharedBrowser, testsWithBrowser } from "../support/shared-browser.js";
import { startView } from "../support/view.js";

const { why, unlessSkipped, reason } = testsWithBrowser();

const browser = sharedBrowser();
const scope = fileScope();
const runId = String(goldenRows()["workflow"]?.[0]?.["run_id"]);
let url = "";

test.before(async () => {
  if (why !== undefined) return;
  const view = await startView(scope, await goldenDatabase(scope), { args: ["--timezone", "UTC"] });
  url = view.ready.url;
});

/** A page by its address, its heading, and what it shows of the golden file. */
const pages: readonly (readonly [string, string, readonly string[]])[] = [
  ["", "Runs", ["golden 1.0", "2026-11-25 01:25:17", "13.8 s", "done 11", "user on node1"]],
  [
    `runs/${runId}`,
    "Overview",
    [
      "2026-11-25 01:25:17 UTC",
      "15 of 15 ended",
      "memoized 1",
      "dependency failed 1",
      "SCALED_IN",
      "23.5 GiB",
      "/home/user/run/runinfo/000",
    ],
  ],
  [`runs/${runId}/tasks`, "Tasks", ["15 tasks", "sleeper"]],
  [`runs/${runId}/tasks/10`, "Task 10", ["fails", "ValueError('bad value 5')", "node1"]],
  [`runs/${runId}/graph`, "Graph", []],
  [`runs/${runId}/workers`, "Workers", ["15 tries on 3 lanes", "All 15 tries in this time are shown."]],
  [`runs/${runId}/resources`, "Resources by app", ["sleeper"]],
  [`runs/${runId}/why`, "Why it failed", ["ValueError"]],
];

for (const [path, heading, texts] of pages) {
  unlessSkipped(
    `${heading} shows the golden file in light and dark, clean by axe, all of it by keyboard${reason}`,
    async (t) => {
      const { page, problems } = await openTab(t, browser(), `${url}${path}`);

      await page.getByRole("heading", { level: 1, name: heading }).waitFor();
      for (const text of texts) await page.getByText(text).filter({ visible: true }).first().waitFor();

      t.deepEqual(await axeFindings(page), []);
      await page.emulateMedia({ colorScheme: "dark" });
      t.deepEqual(await axeFindings(page), [], "in the dark theme");
      await reachAll(t, page);
      t.deepEqual(problems, []);
    },
  );
}

/** Presses Tab until the focus has left the page, and checks that it came to everything that can be operated. */
async function reachAll(t: ExecutionContext, page: Page): Promise<void> {
  const most = 300;
  await page.evaluate(
    "document.addEventListener('focusin', ({ target }) => target.setAttribute('data-reached', ''))",
  );
  for (let pressed = 0; pressed < most; pressed += 1) {
    await page.keyboard.press("Tab");
    if ((await page.locator("body:focus, :not(:focus-within):root").count()) > 0) break;
  }
  const missed = await page
    .locator("a[href], button:enabled, input:enabled, select:enabled, summary, [tabindex='0']")
    .filter({ visible: true })
    // Arrow keys reach the other radio buttons of a group, and the other cells of a grid.
    .and(page.locator(":not([data-reached], [tabindex='-1'], [type='radio']:not(:checked), [role='grid'] *)"))
    .all();
  const grids = page.getByRole("grid");
  t.is(await grids.and(page.locator(":has([data-reached])")).count(), await grids.count());
  t.deepEqual(await Promise.all(missed.map((element) => element.textContent())), []);
  t.true((await page.locator("[data-reached]").count()) > 2);
}

unlessSkipped(`an unknown run is told of in a sentence${reason}`, async (t) => {
  const { page } = await openTab(t, browser(), `${url}runs/no-such-run`);

  await page.getByRole("alert").filter({ hasText: "no-such-run" }).first().waitFor();

  t.pass();
});

unlessSkipped(`a name leads from page to page, and the focus goes with it${reason}`, async (t) => {
  const { page, problems } = await openTab(t, browser(), url);

  await page.getByRole("link", { name: "golden", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  await page.getByRole("navigation").getByRole("link", { name: "Workers" }).click();
  await page.getByRole("heading", { level: 1, name: "Workers" }).waitFor();

  t.true(page.url().endsWith(`/runs/${runId}/workers`));
  t.is(await page.title(), "Workers · golden · parsl-collector");
  t.is(await page.locator(":focus").getAttribute("id"), "content");
  t.is(await page.getByRole("link", { name: "Workers" }).getAttribute("aria-current"), "page");
  t.deepEqual(problems, []);
});
