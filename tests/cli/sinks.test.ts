import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import test, { type ExecutionContext } from "ava";

import { connect } from "../../src/index.js";
import {
  nodeInfo,
  resourceInfo,
  runId,
  sample,
  taskInfo,
  workerTaskInfo,
  workflowEnd,
  workflowStart,
} from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase, type ReadableDatabase } from "../support/database.js";
import { envelopeOfBytes, newSenderId } from "../support/encoded.js";
import { Scrape } from "../support/metrics.js";
import { noNatsServer, startNatsServer } from "../support/nats-server.js";
import { runToEnd } from "../support/run.js";
import { Service } from "../support/service.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil } from "../support/wait.js";

/** `serve --sink`, and `replay`. */

function linesOf(path: string): { sender_id: string; sequence?: number }[] {
  return readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { sender_id: string; sequence?: number });
}

/** All rows of Parsl's tables, and of the ledger what does not tell how often a message came. */
function contentOf(db: ReadableDatabase): Record<string, unknown> {
  const tables = db
    .rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
    .map(({ name }) => String(name))
    .filter((name) => !["collector_log", "collector_log_id", "collector_follower"].includes(name));
  return Object.fromEntries(tables.map((name) => [name, db.rows(`SELECT * FROM "${name}"`)]));
}

async function tellMuch(t: ExecutionContext, address: string): Promise<void> {
  const service = Service.connect(t, address);
  await service.send([workflowStart(), taskInfo(), nodeInfo(), nodeInfo({ uid: "other" })], {
    utcOffsetSeconds: 3_600,
  });
  await service.send(
    [workerTaskInfo(), resourceInfo({ psutilProcessTimeUser: -0, psutilProcessDiskRead: Infinity })],
    {
      hostname: "node-7",
    },
  );
  await service.send([
    resourceInfo({ taskId: undefined }),
    taskInfo({ taskId: 1, taskInputs: 'a\n\u0000"✓' }),
  ]);
  await service.sendBytes(envelopeOfBytes([Uint8Array.of(0x08), Uint8Array.of(0xa2, 0x06, 0x00)]));
  await service.send([workflowEnd(), taskInfo({ runId: "another", taskId: 2 })]);
  const senderId = newSenderId();
  await service.send([sample(1), sample(2)], { senderId, first: 3 });
  // Some of it is known, some is new, before and behind it.
  await service.send(
    Array.from({ length: 6 }, (_, n) => sample(n - 1)),
    {
      ...{ senderId, first: 1, lastSequence: 9 },
      losses: [{ first: 7, last: 8, kind: "TASK_INFO" }],
    },
  );
}

test("a database is made again of what the sink jsonl wrote, exactly", async (t) => {
  const directory = temporaryDirectory(t);
  const lines = join(directory, "messages.jsonl");
  const collector = await startCollector(t, { args: ["--sink", `jsonl=${lines}`, "--timezone", "UTC"] });
  await tellMuch(t, collector.address);
  t.is(await collector.stop(), 0);

  const again = join(directory, "again.db");
  const packed = `${lines}.gz`;
  writeFileSync(packed, gzipSync(readFileSync(lines)));
  const first = await runToEnd(t, ["replay", packed, "--database", again, "--timezone", "UTC"]);
  t.like(first, { exit: 0, stderr: "" });
  const before = openDatabase(t, collector.database);
  const after = openDatabase(t, again);
  // In the log there are no messages that came more than once.
  const uncounted = /"repeated":\d+|"received":\d+/g;
  t.is(
    JSON.stringify(contentOf(after)).replaceAll(uncounted, ""),
    JSON.stringify(contentOf(before)).replaceAll(uncounted, ""),
  );
  t.is(before.count("collector_rejected"), 4);

  appendFileSync(lines, '{"sender_id":"x"\n{"sender_id":"x","sequence":1}\n');
  const repeated = await runToEnd(t, ["replay", lines, "--database", again, "--timezone", "UTC"]);
  t.is(repeated.exit, 3);
  t.regex(
    repeated.stderr,
    /messages.jsonl:\d+ is no line of the sink: .*\n.*messages.jsonl:\d+ is no line of the sink: /,
  );
  t.is(after.count("resource"), before.count("resource"));
});

test("a sink goes on where it was when the collector is killed, and has each message, in a new file when its own is moved away", async (t) => {
  const directory = temporaryDirectory(t);
  const lines = join(directory, "messages.jsonl");
  const args = ["--sink", `jsonl=${lines}`];
  let collector = await startCollector(t, { args });
  const { database, address } = collector;
  const client = connect({ address, runId });
  t.teardown(() => client.abort());
  for (let kills = 0; kills < 3; kills += 1) {
    for (let n = 0; n < 2_000; n += 1) await client.send(sample(kills * 2_000 + n));
    await waitUntil("the sink has some", () => existsSync(lines) && readFileSync(lines).length > 1_000);
    await collector.kill();
    if (kills === 0) appendFileSync(lines, '{"sender_id":"half a li'); // what a crash may leave
    if (kills === 1) renameSync(lines, `${lines}.1`);
    collector = await startCollector(t, { database, listen: address, args });
  }
  await client.close();
  t.is(await collector.stop(), 0);

  const names = [...linesOf(`${lines}.1`), ...linesOf(lines)].flatMap(({ sequence }) => sequence ?? []);
  t.deepEqual(
    [...new Set(names)].sort((a, b) => a - b),
    Array.from({ length: 6_000 }, (_, n) => n + 1),
  );
  const positions = openDatabase(t, database).rows("SELECT name FROM collector_follower");
  t.deepEqual(positions, [{ name: `jsonl=${lines}` }]);
});

(noNatsServer === undefined ? test : test.skip)(
  "a NATS server that is killed in the middle of 20,000 messages and comes back has each once, and holds up nobody meanwhile",
  async (t) => {
    const directory = temporaryDirectory(t);
    const first = await startNatsServer(t, directory);
    const collector = await startCollector(t, {
      args: ["--sink", `nats=nats://${first.address}`, "--metrics", "127.0.0.1:0"],
    });
    const lag = async (): Promise<number> => {
      const scrape = await Scrape.of(collector.metrics ?? "");
      return (
        scrape.value("parsl_collector_sink_lag_envelopes", { sink: `nats=nats://${first.address}` }) ?? NaN
      );
    };
    const client = connect({ address: collector.address, runId });
    t.teardown(() => client.abort());
    for (let n = 0; n < 20_000; n += 1) {
      await client.send(sample(n));
      if (n === 10_000) await first.kill();
    }
    await client.flush();
    t.true((await lag()) > 0);
    await waitUntil("it is told", () => /sink takes nothing for now/.test(collector.stderr));

    const second = await startNatsServer(t, directory, Number(first.address.split(":")[1]));
    await waitUntil("the sink has all", async () => (await lag()) === 0);
    const { connect: connectNats } = await import("@nats-io/transport-node");
    const { jetstreamManager } = await import("@nats-io/jetstream");
    const connection = await connectNats({ servers: second.address });
    const { state } = await (
      await jetstreamManager(connection)
    ).streams.info("PARSL", { subjects_filter: ">" });
    await connection.close();
    t.is(state.messages, 20_000);
    t.deepEqual(state.subjects, { [`parsl.${runId}.RESOURCE_INFO`]: 20_000 });
  },
);

test("a sink that can never be is told at the start", async (t) => {
  const database = join(temporaryDirectory(t), "monitoring.db");
  const told = async (sink: string): Promise<string> => {
    const { exit, stderr } = await runToEnd(t, ["serve", "--database", database, "--sink", sink]);
    t.not(exit, 0);
    return stderr;
  };

  t.regex(await told("jsnl=x"), /load sink "jsnl": .*did you mean "jsonl"\?/);
  t.regex(
    await told("jsonl=/no/such/place"),
    /append to \/no\/such\/place: ENOENT.*; name a file in a directory/,
  );
  t.regex(await told("nats=nats://h?strem=x"), /there is no option strem, there are stream, prefix, format/);
  t.regex(await told("jsonl"), /expected name=address, as jsonl=messages.jsonl/);
});
