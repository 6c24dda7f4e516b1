import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";

import test, { type ExecutionContext } from "ava";

import { View } from "../../src/cli/tail-view.js";
import type { Message } from "../../src/client/message.js";
import { RunState } from "../../src/model/status.js";
import { at, runId, taskInfo, workerTaskInfo, workflowEnd, workflowStart } from "../support/builders.js";
import { collectorMain, startCollector } from "../support/collector.js";
import { envelopeOf, type EnvelopeFields } from "../support/encoded.js";
import { runToEnd } from "../support/run.js";
import { Service } from "../support/service.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { within } from "../support/wait.js";
import { acknowledgementsOf, openWriter } from "../support/writer.js";

/** `parsl-collector tail` beside a writer at work. */

interface File {
  readonly path: string;
  readonly store: (messages: readonly Message[], fields?: EnvelopeFields) => void;
}

function file(t: ExecutionContext): File {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  t.teardown(() => writer.close());
  const store = (messages: readonly Message[], fields: EnvelopeFields = {}): void => {
    acknowledgementsOf(writer, [envelopeOf(messages, fields)]);
  };
  return { path, store };
}

interface Tail {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly line: () => Promise<string>;
  readonly exit: Promise<unknown>;
  readonly stderr: Promise<string>;
}

function startTail(t: ExecutionContext, args: readonly string[]): Tail {
  const command = [collectorMain, "tail", ...args, "--interval", "0.02"];
  const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "pipe"] });
  t.teardown(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    line: async () => String((await within("a line of tail", lines.next())).value),
    exit: once(child, "close").then(([code, signal]: unknown[]) => code ?? signal),
    stderr: text(child.stderr),
  };
}

test.serial("messages are printed as they are committed, until Ctrl-C", async (t) => {
  const { path, store } = file(t);
  store([workflowStart(), taskInfo()]);
  const tail = startTail(t, ["--database", path, "--from-start"]);

  const first = [await tail.line(), await tail.line()];
  store([workerTaskInfo()]);
  const later = await tail.line();
  tail.child.kill("SIGINT");

  t.regex(
    first[0] ?? "",
    /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} {2}WORKFLOW_INFO +6f1c9b1e +started +submit +demo/,
  );
  t.regex(first[1] ?? "", / TASK_INFO +6f1c9b1e +0\.0 +pending +add$/);
  t.regex(later, / WORKER_TASK_INFO +6f1c9b1e +0\.0 +running +n1 +add$/);
  t.is(await within("the end of tail", tail.exit), 0);
  t.is(await tail.stderr, "");
});

test.serial("a reader that has seen enough ends it without a word", async (t) => {
  const { path, store } = file(t);
  store([workflowStart()]);
  const tail = startTail(t, ["--database", path, "--from-start"]);

  await tail.line();
  tail.child.stdout.destroy();
  store([taskInfo()]);

  t.is(await within("the end of tail", tail.exit), 0);
  t.is(await tail.stderr, "");
});

test.serial(
  "--once prints what is there, with --json an object a line, of the kinds that are asked for",
  async (t) => {
    const { path, store } = file(t);
    store([workflowStart(), taskInfo(), workerTaskInfo()]);

    const all = await runToEnd(t, ["tail", "--database", path, "--once", "--json"]);
    const kinds = ["--kind", "TASK_INFO", "--kind", "WORKFLOW_INFO"];
    const some = await runToEnd(t, ["tail", "--database", path, "--once", ...kinds]);
    const wrong = await runToEnd(t, ["tail", "--database", path, "--kind", "TASK_INFOS"]);

    const objects = all.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    t.deepEqual(
      objects.map(({ kind }) => kind),
      ["WORKFLOW_INFO", "TASK_INFO", "WORKER_TASK_INFO"],
    );
    t.like(objects[2], { run: runId, task: 0, try: 0, state: "running", host: "n1" });
    t.like(objects[2]?.["row"], { task_status_name: "running", run_id: runId });
    t.is(some.stdout.trimEnd().split("\n").length, 2);
    t.is(wrong.exit, 2);
    t.regex(wrong.stderr, /Did you mean "TASK_INFO"\?/);
  },
);

test.serial(
  "--view shows runs, tasks by state, what is missing and the lag; a file that is none is an error",
  async (t) => {
    const { path, store } = file(t);
    store([workflowStart(), taskInfo(), taskInfo({ taskId: 1 })], { first: 4 });
    store([workflowStart(), workflowEnd()], { runId: "another" });
    const tail = startTail(t, ["--database", path, "--view", "--json"]);

    await tail.line();
    store([taskInfo({ taskId: 1, timestamp: at(4), taskStatusName: "launched" })]);
    let view: Record<string, unknown> = { lagMs: null };
    while (view["lagMs"] === null) view = JSON.parse(await tail.line()) as Record<string, unknown>;
    tail.child.kill("SIGTERM");
    const once = await runToEnd(t, ["tail", "--database", path, "--view", "--once"]);
    const none = await runToEnd(t, ["tail", "--database", join(path, "none"), "--view"]);

    t.like(view, { stored: 6, missing: 3, rejected: 0, lost: 0, senders: 3 });
    t.like((view["runs"] as unknown[])[0], {
      run: runId,
      state: "running",
      tasks: { pending: 1, launched: 1 },
    });
    t.is(await within("the end of tail", tail.exit), 0);
    t.regex(
      once.stdout,
      /^2 runs, 3 senders: 6 messages stored, 0 rejected, 3 missing, 0 lost\nrate – messages\/s/,
    );
    t.regex(once.stdout, new RegExp(`^${runId} +demo +running +.* UTC +1 pending, 1 launched$`, "m"));
    t.is(none.exit, 1);
    t.regex(none.stderr, /^parsl-collector tail: read database .*: there is no such file/);
  },
);

test("the rate is that of the last ten seconds, and a small screen shows the last runs", (t) => {
  const view = new View();
  const run = (id: string) => ({
    ...{ runId: id, workflowName: "demo", state: RunState.RUNNING, lastReceivedAt: at(0) },
    tasks: new Map([["pending", 2]]),
  });
  const overview = (stored: number) => ({
    ...{ runs: ["a", "b", "c"].map(run), senders: 1, lagMs: 12.4 },
    counts: { stored, rejected: 0, missing: 0, lost: 0 },
  });

  view.update(overview(0), 0);
  view.update(overview(50_000), 5_000);
  view.update(overview(50_100), 15_000);

  t.regex(view.asText(), /\nrate 10 messages\/s, lag 12 ms\n/);
  t.regex(view.asText(), /^a .*\nb .*\nc /m);
  t.regex(view.asText(8), /tasks\nc .* 2 pending\nand 2 earlier runs$/);
});

test.serial("a collector is asked as a file is read, and a position goes on behind a line", async (t) => {
  const { address } = await startCollector(t, { args: ["--timezone", "UTC"] });
  const service = Service.connect(t, address);
  await runToEnd(t, ["tail", "--collector", address, "--position", "0-0"]); // it is kept from now on
  await service.send([workflowStart(), taskInfo()]);
  await service.send([taskInfo({ taskId: undefined })], { hostname: "node-7" });

  const lines = startTail(t, ["--collector", address, "--from-start", "--timezone", "UTC"]);
  t.regex(await lines.line(), /^2026-.* {2}WORKFLOW_INFO {4}.* started .* \/.*/);
  t.regex(await lines.line(), /^2026-.* {2}TASK_INFO .* 0\.0 {2}/);
  t.regex(await lines.line(), /^2026-.* {2}REJECTED .* TASK_INFO {6}node-7 .*task_id/);
  lines.child.kill("SIGINT");
  t.is(await lines.exit, 0);

  const json = startTail(t, ["--collector", address, "--from-start", "--json", "--kind", "TASK_INFO"]);
  const task = JSON.parse(await json.line()) as { kind: string; position: string; row: object };
  t.like(task, { kind: "TASK_INFO", run: runId, task: 0, try: 0 });
  t.like(task.row, { sequence: 2, task_func_name: "add" });
  json.child.kill("SIGINT");
  await json.exit;
  await service.send([taskInfo({ taskId: 9 })]);

  const onward = startTail(t, ["--collector", address, "--position", task.position, "--json"]);
  t.like(JSON.parse(await onward.line()), { kind: "TASK_INFO", task: 9 });
});

test.serial("a collector is not asked for what only a file has", async (t) => {
  const { exit, stderr } = await runToEnd(t, ["tail", "--collector", "127.0.0.1:1", "--view"]);
  t.is(exit, 2);
  t.regex(stderr, /--view and --once read a file: give --database/);
});
