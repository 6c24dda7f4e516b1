import { existsSync } from "node:fs";
import { cpus, hostname, totalmem } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import test, { type ExecutionContext } from "ava";

import { connect, type Client } from "../../src/index.js";
import { at, runId, sample, taskInfo, workerTaskInfo } from "../support/builders.js";
import { startAgent } from "../support/agent.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { runToEnd } from "../support/run.js";
import { Service } from "../support/service.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil, within } from "../support/wait.js";

function worker(t: ExecutionContext, socket: string): Client {
  const client = connect({ radio: "unix", address: socket, runId, hostname: "n1" });
  t.teardown(() => client.abort());
  return client;
}

/** Every sample from 0 to below `count` is a row, once. */
function haveOnce(t: ExecutionContext, database: string, count: number): void {
  const { rows } = openDatabase(t, database);
  t.deepEqual(rows("SELECT count(*) AS stored, count(DISTINCT timestamp) AS different FROM resource"), [
    { stored: count, different: count },
  ]);
}

test.serial(
  "what workers hand over is in the collector when it is acknowledged, under their own names",
  async (t) => {
    const collector = await startCollector(t);
    const agent = await startAgent(t, collector.address);
    const workers = [worker(t, agent.socket), worker(t, agent.socket)];

    for (let n = 0; n < 1_000; n += 1) await workers[n % 2]?.send(sample(n));
    await within("the workers' close", Promise.all(workers.map((one) => one.close())));

    haveOnce(t, collector.database, 1_000);
    const { senders, openStreams } = await Service.connect(t, collector.address).status();
    t.deepEqual(
      senders.map(({ senderId, closed, lastSequence }) => [senderId, closed, lastSequence]).sort(),
      workers.map(({ senderId }) => [senderId, true, 500n]).sort(),
    );
    t.is(openStreams, 1, "one stream for the node");
    t.is(await agent.stop(), 0);
    t.false(existsSync(agent.socket));
  },
);

test.serial(
  "case 36: an agent and a collector that are killed lose nothing, and store nothing twice",
  async (t) => {
    const first = await startCollector(t);
    const agent = await startAgent(t, first.address);
    const client = worker(t, agent.socket);
    const sending = (async () => {
      for (let n = 0; n < 8_000; n += 1) await client.send(sample(n));
    })();
    await waitUntil("a part is acknowledged", () => client.counts.acknowledged > 1_000);
    await agent.kill();
    const successor = await startAgent(t, first.address, { socket: agent.socket });
    await waitUntil("more is acknowledged", () => client.counts.acknowledged > 3_000);
    await first.kill();
    const second = await startCollector(t, { database: first.database, listen: first.address });
    await sending;
    await within("the worker's close", client.close());

    haveOnce(t, second.database, 8_000);
    t.is(await successor.stop(), 0);
  },
);

test.serial(
  "what a worker has handed over survives it, and the agent too: it is on the agent's disk",
  async (t) => {
    const spool = join(temporaryDirectory(t), "spool");
    const agent = await startAgent(t, "127.0.0.1:9", { args: ["--spool", spool] });
    const client = worker(t, agent.socket);
    for (let n = 0; n < 20; n += 1) await client.send(sample(n));
    await waitUntil("the agent's spool", () => existsSync(spool));
    await client.abort();

    t.is(await agent.stop(), 0);
    t.regex(agent.stderr, /forward: messages wait, and are sent when it is over/);
    const database = join(temporaryDirectory(t), "m.db");
    const { exit, stderr } = await runToEnd(t, ["spool", spool, "--database", database]);
    t.is(exit, 0, stderr);
    t.true(openDatabase(t, database).count("resource") >= 1);
  },
);

test.serial("the process of a try is sampled until its end, by a sender of the agent's own", async (t) => {
  const collector = await startCollector(t);
  const agent = await startAgent(t, collector.address);
  const client = worker(t, agent.socket);
  const { rows, count } = openDatabase(t, collector.database);
  await client.send(taskInfo());
  const process_ = { processPid: process.pid, resourceMonitoringInterval: 0.1 };
  await client.send(workerTaskInfo({ ...process_, hostname: hostname() }));
  await waitUntil("some samples", () => count("resource") >= 3);
  await client.send(workerTaskInfo({ ...process_, firstMsg: false, lastMsg: true, timestamp: at(9) }));
  await within("the worker's close", client.close());
  await agent.stop();

  const samples = rows("SELECT * FROM resource ORDER BY timestamp");
  for (const one of samples) {
    t.like(one, { run_id: runId, task_id: 0, try_id: 0, resource_monitoring_interval: 0.1 });
    t.true(Number(one["psutil_process_memory_resident"]) > 10e6);
  }
  const times = samples.map((one) => Number(one["psutil_process_time_user"]));
  t.deepEqual(
    times,
    times.toSorted((x, y) => x - y),
    "totals do not fall",
  );
  const ended = count("resource");
  const { senders } = await Service.connect(t, collector.address).status();
  t.is(senders.length, 2);
  t.true(senders.every(({ closed, missing }) => closed && missing.length === 0));
  t.is(count("resource"), ended);
});

test.serial("a node is sampled as a whole when the agent is told to, for no run in particular", async (t) => {
  const collector = await startCollector(t);
  const agent = await startAgent(t, collector.address, { args: ["--node-interval", "0.1"] });
  const { rows, count } = openDatabase(t, collector.database);
  await waitUntil("some samples", () => count("collector_node_usage") >= 3);
  await agent.stop();

  const [first, ...others] = rows(
    "SELECT * FROM collector_node_usage WHERE hostname = ? ORDER BY timestamp",
    hostname(),
  );
  t.like(first, { run_id: null, interval_seconds: 0.1, cpu_count: cpus().length, cpu_percent: null });
  t.is(first?.["memory_total_bytes"], totalmem());
  for (const one of others) {
    t.true(Number(one["cpu_user_seconds"]) >= Number(first?.["cpu_user_seconds"]));
    t.true(Number(one["cpu_percent"]) <= 100);
  }
  t.regex(String(first?.["timestamp"]), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$/);
  const { senders, runs } = await Service.connect(t, collector.address).status();
  t.deepEqual(runs, []);
  t.like(senders, [
    { runId: "", closed: true, missing: [], counts: { stored: BigInt(others.length + 1), rejected: 0n } },
  ]);
});

test.serial("an agent may feed another", async (t) => {
  const collector = await startCollector(t);
  const upper = await startAgent(t, collector.address);
  const lower = await startAgent(t, `unix=${upper.socket}`);
  const client = worker(t, lower.socket);
  for (let n = 0; n < 600; n += 1) await client.send(sample(n));
  await within("the worker's close", client.close());

  haveOnce(t, collector.database, 600);
});

test.serial(
  "an agent that is to end by itself lives as long as a worker, and leaves nothing open in the ledger",
  async (t) => {
    const collector = await startCollector(t);
    const agent = await startAgent(t, collector.address, { args: ["--exit-when-idle", "0.5"] });
    const client = worker(t, agent.socket);
    const started = { processPid: process.pid, resourceMonitoringInterval: 60, hostname: hostname() };
    await client.send(workerTaskInfo(started));
    await client.flush();
    await client.send(workerTaskInfo({ ...started, firstMsg: false, lastMsg: true, timestamp: at(9) }));
    await client.flush();
    const service = Service.connect(t, collector.address);
    t.is(await Promise.race([agent.exited, sleep(1_500, "lives")]), "lives");
    await client.close();

    t.is(await within("the agent's end", agent.exited), 0);
    t.false(existsSync(agent.socket));
    const { senders } = await service.status();
    t.deepEqual(
      senders.map(({ closed, missing }) => [closed, missing.length]),
      [
        [true, 0],
        [true, 0],
      ],
    );
    t.true(openDatabase(t, collector.database).count("resource") >= 1, "the final sample");
  },
);

test.serial(
  "an agent without workers, and with nobody upstream, ends and leaves the rest on disk",
  async (t) => {
    const home = temporaryDirectory(t);
    const args = ["--home", home, "--exit-when-idle", "0.2", "--abandoned-after", "1"];
    const agent = await startAgent(t, "127.0.0.1:9", { socket: join(home, "socket"), args });
    const client = worker(t, agent.socket);
    for (let n = 0; n < 20; n += 1) await client.send(sample(n));
    await waitUntil("the agent's spool", () => existsSync(join(home, "spool")));
    await client.abort();

    t.is(await within("the agent's end", agent.exited), 0);
    const database = join(temporaryDirectory(t), "m.db");
    const { exit, stderr } = await runToEnd(t, ["spool", join(home, "spool"), "--database", database]);
    t.is(exit, 0, stderr);
    t.true(openDatabase(t, database).count("resource") >= 1);
  },
);

test.serial("an agent goes by the next upstream when the first fails", async (t) => {
  const collector = await startCollector(t);
  const args = ["--upstream", collector.address, "--fallback-after", "0.2"];
  const agent = await startAgent(t, "127.0.0.1:9", { args });
  const client = worker(t, agent.socket);
  for (let n = 0; n < 10; n += 1) await client.send(sample(n));
  await within("the worker's close", client.close());

  haveOnce(t, collector.database, 10);
  t.regex(agent.stderr, /messages go by grpc to 127\.0\.0\.1:\d+ until the first radio works again/);
});

test.serial("an agent may go by files, where no port can be reached", async (t) => {
  const directory = join(temporaryDirectory(t), "messages");
  const collector = await startCollector(t, { args: ["--radio", `filesystem=${directory}`] });
  const agent = await startAgent(t, `filesystem=${directory}`);
  const client = worker(t, agent.socket);
  for (let n = 0; n < 10; n += 1) await client.send(sample(n));
  await within("the worker's close", client.close());
  const { count } = openDatabase(t, collector.database);
  await waitUntil("the files are taken", () => count("resource") === 10);

  haveOnce(t, collector.database, 10);
});

test.serial(
  "a second agent on one socket, and one without upstream, are refused with the reason",
  async (t) => {
    const collector = await startCollector(t);
    const agent = await startAgent(t, collector.address);

    const second = await runToEnd(t, ["agent", "--upstream", collector.address, "--socket", agent.socket]);
    t.is(second.exit, 1);
    t.regex(second.stderr, /another process listens there; choose another path/);
    const none = await runToEnd(t, ["agent", "--socket", agent.socket]);
    t.is(none.exit, 2);
    t.regex(none.stderr, /name the collector: --upstream/);
  },
);
