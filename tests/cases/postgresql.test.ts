import { readFileSync } from "node:fs";
import { join } from "node:path";

import test from "ava";

import { connect, subscribe } from "../../src/index.js";
import { at, resourceInfo, runId, taskInfo, workflowEnd, workflowStart } from "../support/builders.js";
import { startCollector, type RunningCollector } from "../support/collector.js";
import { PostgresServer, readPostgres, sharedPostgres, whyNoPostgres } from "../support/postgres.js";
import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { waitUntil } from "../support/wait.js";

const why = whyNoPostgres();
const unlessSkipped = why === undefined ? test.serial : test.serial.skip;
const reason = why === undefined ? "" : ` (skipped: ${why})`;
const shared = sharedPostgres();

unlessSkipped(
  `case 86: PostgreSQL is restarted, as by a crash, in the middle of 20,000 messages, and all are stored once${reason}`,
  async (t) => {
    const server = await PostgresServer.start(t);
    const database = await server.newDatabase();
    const collector = await startCollector(t, { database });
    const client = connect({ address: collector.address, runId });
    const total = 20_000;

    await client.send(workflowStart());
    for (let n = 1; n < total; n += 1) {
      await client.send(resourceInfo({ timestamp: at(n / 1_000) }));
      if (n === total / 4) {
        await server.stop();
        // What is sent meanwhile waits.
        void waitUntil("the collector waits for the server", () =>
          collector.stderr.includes("cannot be written"),
        ).then(() => server.start());
      }
    }
    await client.close();

    t.is(client.counts.acknowledged, total);
    const reading = await readPostgres(t, database);
    t.is(await reading.count("resource"), total - 1);
    t.is(await reading.value("SELECT stored FROM collector_sender"), total);
    t.is(await reading.value("SELECT rejected FROM collector_sender"), 0);
    t.regex(collector.stderr, /"reason":"write database postgresql:[^"]*; see whether the server runs/);
    t.regex(collector.stderr, /database can be written again/);
  },
);

unlessSkipped(
  `case 86: a collector whose server is away takes messages, and stores them when it is there${reason}`,
  async (t) => {
    const server = await PostgresServer.start(t);
    const database = await server.newDatabase();
    await server.stop();
    const collector = await startCollector(t, { database });
    const client = connect({ address: collector.address, runId });

    await client.send(workflowStart());
    await server.start();
    await client.close();

    t.is(await (await readPostgres(t, database)).count("workflow"), 1);
  },
);

unlessSkipped(
  `two collectors on one database are killed in turn while eight senders go on by the other, and it is exact${reason}`,
  async (t) => {
    const database = await shared().newDatabase();
    const args = ["--timezone", "UTC"];
    const collectors: RunningCollector[] = [
      await startCollector(t, { database, args }),
      await startCollector(t, { database, args }),
    ];
    const senders = 8;
    const tasks = 250;
    const proxies = await Promise.all(
      Array.from({ length: senders }, (_, n) => TcpProxy.start(t, collectors[n % 2]?.address ?? "")),
    );
    let sent = 0;
    // Half of them speak of one run, each of tasks of its own and of some that others speak of, too.
    const sending = proxies.map(async ({ address }, n) => {
      // A small buffer, so that what is sent is what was acknowledged, but for little.
      const client = connect({ address, bufferBytes: 4_000 });
      const ownRun = n % 2 === 0 ? "shared" : `own-${String(n)}`;
      await client.send(workflowStart({ runId: ownRun }));
      for (let taskId = 0; taskId < tasks; taskId += 1) {
        const own = { runId: ownRun, taskId: 1_000 * n + taskId };
        await client.send(taskInfo({ ...own, taskStatusName: "launched" }));
        await client.send(
          taskInfo({ runId: ownRun, taskId: 100_000 + taskId, timestamp: at(n + taskId / 1_000) }),
        );
        await client.send(resourceInfo({ ...own, timestamp: at(taskId) }));
        sent += 3;
      }
      await client.send(workflowEnd({ runId: ownRun, tasksCompletedCount: tasks }));
      await client.close();
      return client.counts;
    });
    const moveTo = (index: number, from: number): void => {
      for (const proxy of proxies) proxy.target = collectors[index]?.address ?? "";
      t.log(`${String(sent)} messages were taken when collector ${String(from)} was killed`);
    };
    for (let turn = 0; turn < 4; turn += 1) {
      await waitUntil("a fifth more is sent", () => sent >= ((turn + 1) * 3 * senders * tasks) / 5);
      const victim = turn % 2;
      await collectors[victim]?.kill();
      moveTo(1 - victim, victim);
      collectors[victim] = await startCollector(t, { database, args });
      // Half of them come back, so that both write again.
      proxies.forEach((proxy, n) => {
        if (n % 2 === victim) proxy.target = collectors[victim]?.address ?? "";
      });
    }
    const counts = await Promise.all(sending);

    const each = 3 * tasks + 2;
    t.deepEqual(
      counts.map(({ acknowledged, rejected }) => [acknowledged, rejected]),
      Array(senders).fill([each, 0]),
    );
    const reading = await readPostgres(t, database);
    t.is(await reading.value("SELECT sum(stored)::int FROM collector_sender"), senders * each);
    t.is(await reading.count("resource"), senders * tasks);
    t.is(await reading.count("status"), senders * tasks * 2);
    t.is(
      await reading.value("SELECT count(*) FROM task WHERE run_id = 'shared'"),
      (senders / 2) * tasks + tasks,
    );
    t.is(
      await reading.value("SELECT count(*) FROM workflow WHERE time_completed IS NOT NULL"),
      1 + senders / 2,
    );
    const { stdout, exit } = await runToEnd(t, ["status", "--database", database, "--json"]);
    t.is(exit, 0, stdout);
  },
);

unlessSkipped(
  `status reads the ledger of a database, the others say that they read files, and no password is shown${reason}`,
  async (t) => {
    const server = await PostgresServer.start(t);
    const database = await server.newDatabase();
    const secret = database.replace("postgres@", "postgres:hush@");
    const collector = await startCollector(t, { database: secret });
    const client = connect({ address: collector.address, runId });
    await client.send(workflowStart());
    await client.send(workflowEnd());
    await client.close();

    const status = await runToEnd(t, ["status", "--database", secret]);
    const prune = await runToEnd(t, ["prune", "--database", secret, "--older-than", "1d"]);
    await server.stop();
    const away = await runToEnd(t, ["status", "--database", secret]);

    t.is(status.exit, 0);
    t.regex(status.stdout, /2 of 2 messages stored: complete/);
    t.is(prune.exit, 2);
    t.regex(prune.stderr, /--database: prune works on SQLite files/);
    t.is(away.exit, 1);
    t.regex(away.stderr, /read database postgresql:\/\/postgres@.*; see whether the server runs/);
    t.notRegex([collector.database, collector.stderr, status.stdout, away.stderr].join(), /hush/);
  },
);

unlessSkipped(
  `a subscriber of one collector, and a sink that follows another, hear of what both store, once and in order${reason}`,
  async (t) => {
    const database = await shared().newDatabase();
    const file = join(temporaryDirectory(t), "messages.jsonl");
    const [one, other] = [
      await startCollector(t, { database }),
      await startCollector(t, { database, args: ["--sink", `jsonl=${file}`] }),
    ];
    const stop = new AbortController();
    const heard: string[] = [];
    let isListening = false;
    const subscriber = (async () => {
      for await (const { messages } of subscribe({ address: one.address, signal: stop.signal })) {
        isListening = true;
        heard.push(...messages.map(({ senderId, sequence }) => `${senderId}:${String(sequence)}`));
      }
    })().catch(() => undefined);
    t.teardown(async () => {
      stop.abort();
      await subscriber;
    });
    await waitUntil("the subscriber has a position", () => isListening);

    const clients = [one, other].map(({ address }) => connect({ address, runId, bufferBytes: 2_000 }));
    await Promise.all(
      clients.map(async (client, taskId) => {
        for (let n = 0; n < 300; n += 1) await client.send(resourceInfo({ taskId, timestamp: at(n) }));
        await client.close();
      }),
    );

    await waitUntil("600 messages have been told", () => heard.length >= 600);
    t.is(new Set(heard).size, 600);
    const bySender = Map.groupBy(heard, (name) => name.split(":")[0]);
    for (const names of bySender.values()) {
      t.deepEqual(
        names.map((name) => Number(name.split(":")[1])),
        Array.from({ length: 300 }, (_, n) => n + 1),
      );
    }
    await other.stop();
    const lines = readFileSync(file, "utf8").trim().split("\n");
    const told = lines.flatMap((line) => {
      const { sender_id: sender, sequence } = JSON.parse(line) as { sender_id: string; sequence?: number };
      return sequence === undefined ? [] : [`${sender}:${String(sequence)}`];
    });
    t.deepEqual(told, heard);
  },
);
