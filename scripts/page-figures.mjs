/** Prints how long the pages of a big run take in a browser on this machine: from the request for it until the first
 *  paint, and until what was asked for is shown; a search among its tasks; and how smoothly the charts of a task with a
 *  hundred thousand samples are zoomed.
 *
 *  usage: node scripts/page-figures.mjs [--tasks 1000000 | --database FILE] */
import { join } from "node:path";
import { parseArgs } from "node:util";

import Database from "better-sqlite3";

import { writeBigFile } from "../build/bench/big-file.js";
import { openTab, startBrowser } from "../build/tests/support/browser.js";
import { temporaryDirectory } from "../build/tests/support/temporary-directory.js";
import { startView } from "../build/tests/support/view.js";
import { waitUntil } from "../build/tests/support/wait.js";

const { values } = parseArgs({
  options: { tasks: { type: "string", default: "1000000" }, database: { type: "string" } },
});

/** A page by its address below the run's, and what is there when it shows what it was asked for. */
const pages = [
  ["", ".chart canvas"],
  ["/tasks", "[role='row'] .state"],
  ["/tasks/7", ".figures .state"],
  ["/graph", "canvas"],
  ["/workers", ".chart canvas"],
  ["/resources", ".chart canvas"],
  ["/why", "main section"],
];

/** How long a file of a million tasks may take to be read, in ms, on a busy machine. */
const readMs = 30 * 60_000;

const undo = [];
const scope = { teardown: (fn) => undo.push(fn), passed: true, log: console.log };
try {
  const database = values.database ?? join(temporaryDirectory(scope), "monitoring.db");
  if (values.database === undefined) writeBigFile(database, Number(values.tasks));
  const began = performance.now();
  const { ready } = await startView(scope, database, { args: ["--timezone", "UTC"] });
  const ask = async (path) => (await fetch(`${ready.url}api/${path}`)).json();
  await waitUntil(
    "the file is read",
    async () => {
      const { indexed } = await ask("source");
      return indexed.ofRows > 0 && indexed.rows === indexed.ofRows;
    },
    readMs,
  );
  console.log(`read in ${seconds(performance.now() - began)}`);
  const [{ runId }] = await ask("runs");
  const browser = await startBrowser();
  scope.teardown(() => browser.close());
  for (const [path, shown] of [["", "table a"], ...pages]) {
    const address = shown === "table a" ? ready.url : `${ready.url}runs/${runId}${path}`;
    const { page, problems } = await openTab(scope, browser, address);
    await page.locator(shown).first().waitFor({ timeout: 120_000 });
    const whole = await page.evaluate("performance.now()");
    const paint = await page.evaluate(
      "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN",
    );
    console.log(`${new URL(address).pathname}: first paint ${seconds(paint)}, shown ${seconds(whole)}`);
    if (path === "/tasks") await search(page);
    for (const problem of problems) console.warn(problem);
    await page.context().close();
  }
  await samples(browser);
} finally {
  for (const fn of undo.reverse()) await fn();
}

/** From the last key until the grid has the rows that match. */
async function search(page) {
  for (const text of ["node017", "MemoryError", "123456"]) {
    const answered = page.waitForResponse((response) => response.url().includes(`search=${text}`));
    await page.getByRole("searchbox").or(page.getByRole("textbox")).first().fill(text);
    const start = performance.now();
    await answered;
    console.log(`search ${text}: ${seconds(performance.now() - start)}`);
  }
}

/** A task of a day, a sample a second: until it is shown, and the frames that are drawn while its charts are zoomed. */
async function samples(browser) {
  const database = join(temporaryDirectory(scope), "samples.db");
  const runId = writeBigFile(database, 10);
  const db = new Database(database);
  const { changes } = db
    .prepare(
      `WITH RECURSIVE step (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM step WHERE n < ?)
       INSERT INTO resource
         (run_id, task_id, try_id, timestamp, psutil_process_time_user, psutil_process_memory_resident,
          psutil_process_disk_read, psutil_process_disk_write)
       SELECT ?, 0, 0, datetime('2026-03-01 09:00:00', '+' || n || ' seconds') || '.000000',
         n + abs(random() % 100) / 100.0, 1e9 + abs(random() % 1000000000), n * 1000 + abs(random() % 1000), n * 100 FROM step`,
    )
    .run(100_000, runId);
  db.close();
  const { ready } = await startView(scope, database, { args: ["--timezone", "UTC"] });
  const { page, problems } = await openTab(scope, browser, `${ready.url}runs/${runId}/tasks/0`);
  const chart = page
    .getByRole("img", { name: /over time/ })
    .locator("canvas")
    .first();
  await chart.waitFor({ timeout: 120_000 });
  console.log(`${changes} samples of a task: shown ${seconds(await page.evaluate("performance.now()"))}`);
  await chart.scrollIntoViewIfNeeded();
  await chart.hover();
  await page.evaluate(`{
    window.frames_ = [];
    let last = performance.now();
    const frame = (now) => { window.frames_.push(now - last); last = now; requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
  }`);
  await page.keyboard.down("Control");
  for (let turn = 0; turn < 40; turn += 1) await page.mouse.wheel(0, turn % 20 < 10 ? -120 : 120);
  const frames = (await page.evaluate("window.frames_")).sort((one, other) => one - other);
  const [middle, longest] = [frames[Math.floor(frames.length / 2)], frames.at(-1)];
  console.log(`zoomed: ${frames.length} frames, median ${seconds(middle)}, longest ${seconds(longest)}`);
  for (const problem of problems) console.warn(problem);
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(2)} s`;
}
