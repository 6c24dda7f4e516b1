import type { ExecutionContext } from "ava";
import type { Page } from "playwright-core";

import { nowMicros, timestampOf } from "../../src/model/time.js";
import { openTab } from "../support/browser.js";
import { at, runId, taskInfo, workerTaskInfo, workflowEnd, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { newSenderId } from "../support/encoded.js";
import { Service } from "../support/service.js";
import { sharedBrowser, testsWithBrowser } from "../support/shared-browser.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { startView } from "../support/view.js";

const { unlessSkipped, reason } = testsWithBrowser();

const browser = sharedBrowser();

interface LiveRun {
  readonly service: Service;
  /** Where browsers reach the page, and what one may do to their connections. */
  readonly proxy: TcpProxy;
  readonly page: Page;
  readonly problems: readonly string[];
}

/** A task that is launched, and its page. */
async function openTask(t: ExecutionContext): Promise<LiveRun> {
  const collector = await startCollector(t, { args: ["--timezone", "UTC"] });
  const service = Service.connect(t, collector.address);
  await service.send([workflowStart(), taskInfo({ timestamp: at(1), taskStatusName: "launched" })]);
  const { ready } = await startView(t, collector.database, { args: ["--timezone", "UTC"] });
  const proxy = await TcpProxy.start(t, new URL(ready.url).host);
  const tab = await openTab(t, browser(), `http://${proxy.address}/runs/${runId}/tasks/0`);
  await state(tab.page, "launched");
  return { service, proxy, ...tab };
}

/** Waits until the task's page says that it is in this state. */
async function state(page: Page, name: string): Promise<void> {
  await page.locator(".figures .state").filter({ hasText: name }).waitFor();
}

unlessSkipped(`a task's state changes on the page when it changes in the file${reason}`, async (t) => {
  const { service, page, problems } = await openTask(t);
  await page.evaluate("window.loaded = true");

  await service.send([workerTaskInfo({ timestamp: at(2) })]);
  await state(page, "running");
  await service.send([taskInfo({ timestamp: at(3), taskStatusName: "exec_done", taskTimeReturned: at(3) })]);
  await state(page, "done");

  t.true(await page.evaluate("window.loaded"), "the page was not loaded again");
  t.deepEqual(problems, []);
});

unlessSkipped(
  `a connection that was cut is taken up again, with what changed meanwhile${reason}`,
  async (t) => {
    const { service, proxy, page } = await openTask(t);
    await page.locator(".live", { hasText: "live" }).waitFor();

    proxy.blackHole();
    proxy.cut();
    await page.locator(".live", { hasText: "reconnecting" }).waitFor();
    await service.send([
      taskInfo({ timestamp: at(3), taskStatusName: "exec_done", taskTimeReturned: at(3) }),
    ]);
    proxy.restore();

    await state(page, "done");
    await page.locator(".live", { hasText: "live" }).waitFor();
    t.pass();
  },
);

unlessSkipped(`a page of a run that has no task yet shows the first that comes${reason}`, async (t) => {
  const collector = await startCollector(t);
  const service = Service.connect(t, collector.address);
  const { ready } = await startView(t, collector.database);
  const { page, problems } = await openTab(t, browser(), ready.url);
  await page.getByText("The file has no run yet").waitFor();

  await service.send([workflowStart({ workflowName: "first light" })]);
  await page.getByRole("link", { name: "first light" }).click();
  await page.getByText("0 of 0 ended").waitFor();
  await service.send([taskInfo({ timestamp: at(1), taskFuncName: "calibrate" })]);
  await page.getByRole("link", { name: "calibrate" }).waitFor();

  t.deepEqual(problems, []);
});

unlessSkipped(`a sender's last word right after another reaches the page${reason}`, async (t) => {
  const collector = await startCollector(t);
  const service = Service.connect(t, collector.address);
  const { ready } = await startView(t, collector.database);
  const { page } = await openTab(t, browser(), ready.url);
  await page.getByText("The file has no run yet").waitFor();

  const senderId = newSenderId();
  await service.send([workflowStart(), workflowEnd({ timeCompleted: timestampOf(nowMicros()) })], {
    senderId,
  });
  await page.getByText("2 messages so far").waitFor();
  await service.send([], { senderId, first: 0, lastSequence: 2 });

  await page.getByText("all 2 messages").waitFor();
  t.pass();
});
