/** Prints how long the pages of a big run take in a browser on this machine: from the request for it until the first
 *  paint, and until what was asked for is shown; and a search among its tasks.
 *
 *  usage: node scripts/page-figures.mjs [--tasks 1000000 | --database FILE] */
import { join } from "node:path";
import { parseArgs } from "node:util";

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

function seconds(ms) {
  return `${(ms / 1000).toFixed(2)} s`;
}
