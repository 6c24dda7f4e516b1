import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

import Database from "better-sqlite3";

import { openTab, whyNoChromium } from "../support/browser.js";
import type { Scope } from "../support/scope.js";
import { sharedBrowser, testsWithBrowser } from "../support/shared-browser.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { startView } from "../support/view.js";
import { waitUntil, within } from "../support/wait.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const venvBin = join(root, ".venv", "bin");
const { unlessSkipped, reason } = testsWithBrowser(
  whyNoChromium() ?? (existsSync(venvBin) ? undefined : "needs .venv: npm run pretest"),
);

const browser = sharedBrowser();

/** How long the demo may take on a busy machine before it has failed, in ms. */
const demoMs = 110_000;

/** Runs the demo, with its gate, until it ends by itself. */
function startDemo(t: Scope, directory: string, gate: string): { readonly ended: Promise<unknown> } {
  const script = join(root, "tests", "web", "demo_and_gate.py");
  const child = spawn(join(venvBin, "python"), [script, directory, gate], {
    stdio: ["ignore", "ignore", "pipe"],
    detached: true, // so that Parsl's own processes, too, end with the test
    env: {
      ...process.env,
      PATH: [venvBin, join(root, "node_modules", ".bin"), process.env["PATH"]].join(delimiter),
      PYTHONPATH: join(root, "demo"),
    },
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  t.teardown(() => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
    if (!t.passed) t.log(`the demo said:\n${stderr}`);
  });
  return { ended: once(child, "exit") };
}

/** The number of the task that waits at the gate, once it is in the file. */
function gatedTask(database: string): number | undefined {
  if (!existsSync(database)) return undefined;
  const db = new Database(database, { readonly: true, timeout: 10_000 });
  try {
    return db.prepare("SELECT task_id FROM task WHERE task_func_name = 'wait_for'").pluck().get() as number;
  } catch {
    return undefined; // the collector has not made its tables yet
  } finally {
    db.close();
  }
}

unlessSkipped(`a real run of the demo is seen to end, without a reload of the page${reason}`, async (t) => {
  const directory = temporaryDirectory(t);
  const [database, gate] = [join(directory, "monitoring.db"), join(directory, "gate")];
  const demo = startDemo(t, directory, gate);
  const task = await waitUntil("the demo's task is in the file", () => gatedTask(database), demoMs);
  const { ready } = await startView(t, database);

  const { page, problems } = await openTab(t, browser(), ready.url);
  await page.getByRole("link", { name: "demo", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  const figures = page.locator(".figures").first();
  await figures.getByText("running", { exact: true }).waitFor();
  const run = page.url();
  await page.goto(`${run}/tasks/${String(task)}`);
  await page.evaluate("window.loaded = true");
  await figures.locator(".state", { hasText: "running" }).waitFor({ timeout: demoMs });
  writeFileSync(gate, "");
  await figures.locator(".state", { hasText: "done" }).waitFor({ timeout: demoMs });
  await page.getByRole("link", { name: "Overview" }).click();
  await within("the demo's end", demo.ended, demoMs);
  await figures.getByText("completed", { exact: true }).waitFor();

  await page.getByText(/^all \d+ messages$/).waitFor();
  t.true(await page.evaluate("window.loaded"), "the page was not loaded again");
  t.deepEqual(problems, []);
});
