import { once } from "node:events";
import { createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

import type { CDPSession } from "playwright-core";

import type { Change } from "../../src/view/api.js";
import { openTab } from "../support/browser.js";
import { at, nodeInfo, runId, taskInfo, workerTaskInfo, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import type { Scope } from "../support/scope.js";
import { Service } from "../support/service.js";
import { sharedBrowser, testsWithBrowser } from "../support/shared-browser.js";
import { startView } from "../support/view.js";
import { waitUntil, within } from "../support/wait.js";

const { unlessSkipped, reason } = testsWithBrowser();

/** So many updates of a page; `npm run test:page` makes them 10,000. */
const updates = Number(process.env["PARSL_COLLECTOR_TEST_PAGE_UPDATES"] ?? 60);
/** How much more a page may hold after all updates than at a tenth of them, when there are few: in its first two hundred most
 *  of its code is compiled, so that only what grows much with each is found. When there are many, than at half of them: the
 *  code that V8 makes of it, which counts as well, still grows in the first thousands (heap snapshots show nothing else). */
const { growth, since } = updates < 2_000 ? { growth: 0.5, since: 1 } : { growth: 0.05, since: 5 };

const tasks = 200;

const browser = sharedBrowser();

for (const path of ["", "/tasks", "/tasks/7", "/workers"]) {
  unlessSkipped(
    `the page runs/RUN${path} holds no more after ${String(updates)} updates (10,000 by npm run test:page)${reason}`,
    async (t) => {
      const collector = await startCollector(t, { args: ["--timezone", "UTC"] });
      const service = Service.connect(t, collector.address);
      await service.send([workflowStart(), nodeInfo(), ...everyTask("launched", 1)]);
      await service.send([...everyTask("running", 2), ...allRun()]);
      const { ready } = await startView(t, collector.database, { args: ["--timezone", "UTC"] });
      const api = `${ready.url}api/runs/${runId}`;
      await waitUntil("the run is read", async () => (await fetch(`${api}/tasks/7`)).ok);
      const fast = await FastEvents.start(t, ready.url);
      const address = `${fast.url}runs/${runId}${path}`;
      const { page, problems } = await openTab(t, browser(), address, { script: withoutPauses });
      await page.getByRole("heading", { level: 1 }).waitFor();
      const session = await page.context().newCDPSession(page);

      const held: Held[] = [];
      for (let update = 1; update <= updates; update += 1) {
        await changeState(service, update);
        await fast.update();
        if (update % Math.ceil(updates / 10) === 0) held.push(await heldBy(session));
      }

      t.log(`KiB after each tenth: ${held.map(({ bytes }) => Math.round(bytes / 1024)).join(", ")}`);
      const [first, last] = [held[since - 1], held.at(-1)];
      if (first === undefined || last === undefined) throw new Error("nothing was measured");
      t.true(last.bytes < first.bytes * (1 + growth), "bytes of the heap");
      t.true(last.nodes < first.nodes * (1 + growth), "nodes of the document");
      t.true(last.listeners < first.listeners * (1 + growth), "listeners of events");
      t.deepEqual(problems, []);
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

/** Commits a change of one task's state, so that the answers differ, and no more is in them. The task whose page may be
 *  open is left as it is: its page does tell of each state that it ever had. */
async function changeState(service: Service, update: number): Promise<void> {
  const taskStatusName = update % 2 === 0 ? "running" : "running_ended";
  await service.send([taskInfo({ taskId: 8 + (update % 100), taskStatusName, timestamp: at(10 + update) })]);
}

/** The page waits between two updates, for the server's sake. Here it does not: ten thousand of them take minutes. */
const withoutPauses = `{
  const { setTimeout } = window;
  window.setTimeout = (fn, ms, ...values) => setTimeout(fn, ms === 250 ? 0 : ms, ...values);
}`;

interface Held {
  readonly bytes: number;
  readonly nodes: number;
  readonly listeners: number;
}

/** What the page holds after garbage is collected. */
async function heldBy(session: CDPSession): Promise<Held> {
  for (let times = 0; times < 3; times += 1) await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  const { nodes, jsEventListeners } = await session.send("Memory.getDOMCounters");
  return { bytes: usedSize, nodes, listeners: jsEventListeners };
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

  /** Tells of a change, and resolves when the page has had its answer to what it asks then. */
  async update(): Promise<void> {
    const asked = new Promise<void>((resolve) => (this.#asked = resolve));
    this.#number += 1;
    const change: Change = { runs: [runId], indexed: { rows: 1, ofRows: 1 } };
    this.#events?.write(
      `id: fast-${String(this.#number)}\nevent: change\ndata: ${JSON.stringify(change)}\n\n`,
    );
    await within("the page to ask anew", asked);
  }
}
