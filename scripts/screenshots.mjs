/** Makes docs/screenshots/: each page of a made-up run, as a browser shows it.
 *
 *  usage: node scripts/screenshots.mjs [NAME...], as "overview tasks"; by default all */
import { mkdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";

import { openTab, startBrowser } from "../build/tests/support/browser.js";
import { startCollector } from "../build/tests/support/collector.js";
import { startView } from "../build/tests/support/view.js";
import { waitUntil } from "../build/tests/support/wait.js";
import { connect } from "../build/src/index.js";
import { exampleRun } from "./lib/example-run.mjs";
import { root } from "./lib/repository.mjs";

const finished = "3f0c5c0e-7f4b-4a57-9a0d-6b1f4e2c9a14";
const running = "8a41d9b2-52c3-4e0e-8f3c-2d7b90e1c615";

/** A page: its file's name, its address, what shows that it is there, how tall it is in px, and its theme. */
const pages = [
  ["runs", "", "genome-survey", 420],
  ["overview", `runs/${running}`, "Tasks by state", 900],
  ["overview-dark", `runs/${finished}`, "Tasks by state", 900, "dark"],
  ["tasks", `runs/${finished}/tasks?state=failed&state=dep_fail`, "call_variants", 700],
  ["task", `runs/${finished}/tasks/69`, "call_variants", 900],
  ["graph", `runs/${finished}/graph`, "Graph", 800],
  ["workers", `runs/${finished}/workers`, "tries in this time are shown", 1000],
  ["workers-dark", `runs/${finished}/workers`, "tries in this time are shown", 1000, "dark"],
  ["resources", `runs/${finished}/resources`, "call_variants", 900],
  ["why", `runs/${finished}/why`, "no reads pass the filter", 900],
];

const wanted = process.argv.slice(2);
const directory = join(root, "docs", "screenshots");
const undo = [];
const scope = { teardown: (fn) => undo.push(fn), passed: true, log: console.log };

try {
  mkdirSync(directory, { recursive: true });
  const collector = await startCollector(scope, { args: ["--timezone", "Europe/Berlin"] });
  await store(collector.address, { runId: finished, began: Date.UTC(2026, 4, 4, 7, 30), samples: 80 });
  await store(collector.address, {
    runId: running,
    began: Date.UTC(2026, 4, 5, 9, 15),
    samples: 120,
    untilSeconds: 800,
  });
  const { ready } = await startView(scope, collector.database, { args: ["--timezone", "Europe/Berlin"] });
  await waitUntil("the page has read the file", async () => {
    const { indexed } = await (await fetch(`${ready.url}api/source`)).json();
    return indexed.ofRows > 0 && indexed.rows === indexed.ofRows;
  });
  const browser = await startBrowser();
  scope.teardown(() => browser.close());
  for (const [name, path, text, height, theme = "light"] of pages) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    const { page, problems } = await openTab(scope, browser, `${ready.url}${path}`, { theme, height });
    await page.locator(".live", { hasText: "live" }).waitFor();
    await page.getByText(text).filter({ visible: true }).first().waitFor();
    // What is drawn on canvases cannot be waited for by its text.
    await page.waitForTimeout(1500);
    const file = join(directory, `${name}.png`);
    await page.screenshot({ path: file });
    console.log(`${relative(root, file)} ${String(Math.round(statSync(file).size / 1024))} KiB`);
    for (const problem of problems) console.warn(`${name}: ${problem}`);
    await page.close();
  }
} finally {
  for (const fn of undo.reverse()) await fn();
}

async function store(address, run) {
  const client = connect({ address });
  for (const message of exampleRun(run)) await client.send(message);
  if (run.untilSeconds === undefined) await client.close();
  else {
    await client.flush(); // it says no closing note: it goes on
    scope.teardown(() => client.close());
  }
}
