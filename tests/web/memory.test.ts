import { once } from "node:events";
import { createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import test from "ava";
import type { CDPSession } from "playwright-core";

import type { Change } from "../../src/view/api.js";
import { openTab, sharedBrowser, whyNoChromium } from "../support/browser.js";
import { at, nodeInfo, runId, taskInfo, workerTaskInfo, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import type { Scope } from "../support/scope.js";
import { Service } from "../support/service.js";
import { startView } from "../support/view.js";

const why = whyNoChromium();
const unlessSkipped = why === undefined ? test.serial : test.serial.skip;
const reason = why === undefined ? "" : ` (skipped: ${why})`;

/** So many updates of a page; `npm run test:page` makes them 10,000. */
const updates = Number(process.env["PARSL_COLLECTOR_PAGE_UPDATES"] ?? 300);
/** What a page holds at first is not yet what it holds: its code is compiled, its caches fill. */
const warmUp = Math.floor(updates / 10);
/** How much more a page may hold after all updates than after the first tenth of them. */
const growth = 0.05;

const tasks = 200;

const browser = sharedBrowser();

for (const path of ["", "/tasks", "/tasks/7", "/workers"]) {
  unlessSkipped(
    `the page runs/RUN${path} holds no more after ${String(updates)} updates (10,000 by npm run test:page)${reason}`,
    async (t) => {
      t.timeout(120_000 + updates * 500);
      const collector = await startCollector(t, { args: ["--timezone", "UTC"] });
      const service = Service.connect(t, collector.address);
      await service.send([workflowStart(), nodeInfo(), ...everyTask("launched", 1)]);
      await service.send([...everyTask("running", 2), ...allRun()]);
      const { ready } = await startView(t, collector.database, { args: ["--timezone", "UTC"] });
      const fast = await FastEvents.start(t, ready.url);
      const { page, problems } = await openTab(t, browser(), "about:blank");
      await page.addInitScript(withoutPauses);
      await page.goto(`${fast.url}runs/${runId}${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      const session = await page.context().newCDPSession(page);

      const writing = new AbortController();
      const written = changeStates(service, writing.signal);
      await fast.update(warmUp);
      const before = await heldBy(session);
      await fast.update(updates - warmUp);
      const after = await heldBy(session);
      writing.abort();
      await written;

      t.log(
        `${kib(before.bytes)} after ${String(warmUp)} updates, ${kib(after.bytes)} after ${String(updates)}`,
      );
      t.true(after.bytes < before.bytes * (1 + growth), `${kib(before.bytes)} became ${kib(after.bytes)}`);
      t.true(
        after.nodes < before.nodes * (1 + growth),
        `${String(before.nodes)} became ${String(after.nodes)} nodes`,
      );
      t.true(after.listeners <= before.listeners * (1 + growth));
      t.deepEqual(
        problems.filter((problem) => !problem.includes("about:blank")),
        [],
      );
    },
  );
}

function everyTask(taskStatusName: string, seconds: number) {
  return Array.from({ length: tasks }, (_, taskId) =>
    taskInfo({
      taskId,
      taskStatusName,
      timestamp: at(seconds + taskId / 1e3),
      taskFuncName: `app${String(taskId % 4)}`,
    }),
  );
}

function allRun() {
  return Array.from({ length: tasks }, (_, taskId) =>
    workerTaskInfo({ taskId, timestamp: at(2 + taskId / 1e3), hostname: `n${String(taskId % 8)}` }),
  );
}

/** Commits a change of some tasks' states again and again, so that the answers differ, and no more is in them. */
async function changeStates(service: Service, signal: AbortSignal): Promise<void> {
  for (let seconds = 10; !signal.aborted; seconds += 1) {
    const taskStatusName = seconds % 2 === 0 ? "running" : "running_ended";
    await service.send(
      [7, seconds % tasks].map((taskId) => taskInfo({ taskId, taskStatusName, timestamp: at(seconds) })),
    );
  }
}

/** The page waits between two updates, for the server's sake. Here it does not: ten thousand of them take minutes. */
const withoutPauses = `{
  const { setTimeout } = window;
  window.setTimeout = (fn, ms, ...values) => setTimeout(fn, ms === 250 ? 0 : ms, ...values);
}`;

/** What the page holds after garbage is collected. */
async function heldBy(session: CDPSession): Promise<{ bytes: number; nodes: number; listeners: number }> {
  for (let times = 0; times < 3; times += 1) await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  const { nodes, jsEventListeners } = await session.send("Memory.getDOMCounters");
  return { bytes: usedSize, nodes, listeners: jsEventListeners };
}

function kib(bytes: number): string {
  return `${String(Math.round(bytes / 1024))} KiB`;
}

/** Stands before the page's server and tells of changes as fast as the page takes them; the server itself tells at
 *  most four a second. */
class FastEvents {
  readonly url: string;
  #events: ServerResponse | undefined;
  #number = 0;
  #asked: () => void = () => undefined;

  private constructor(url: string) {
    this.url = url;
  }

  static async start(t: Pick<Scope, "teardown">, target: string): Promise<FastEvents> {
    const server = createServer((incoming, response) => {
      const path = incoming.url ?? "/";
      if (path === "/api/events") {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.flushHeaders();
        events.#events = response;
        return;
      }
      const onward = request(new URL(path, target), { headers: incoming.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response).on("finish", () => {
          if (path === `/api/runs/${runId}`) events.#asked(); // each page of a run asks it once an update
        });
      });
      onward.on("error", () => response.destroy());
      onward.end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    t.teardown(() => {
      server.close();
      server.closeAllConnections();
    });
    const events = new FastEvents(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`);
    return events;
  }

  /** Resolves when the page has asked anew so many times, each after it was told of a change. */
  async update(times: number): Promise<void> {
    for (let time = 0; time < times; time += 1) {
      const asked = new Promise<void>((resolve) => (this.#asked = resolve));
      this.#number += 1;
      const change: Change = { runs: [runId], indexed: { rows: 1, ofRows: 1 } };
      this.#events?.write(
        `id: fast-${String(this.#number)}\nevent: change\ndata: ${JSON.stringify(change)}\n\n`,
      );
      await asked;
    }
  }
}
