import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import { createServer, type AddressInfo } from "node:net";

import test, { type ExecutionContext } from "ava";

import { connect, type Client, type ClientState } from "../../src/index.js";
import { openGrpcSender } from "../../src/radios/grpc/sender.js";
import { nodeInfo, runId, sample, taskInfo, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { Service } from "../support/service.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { waitUntil, within } from "../support/wait.js";

/** An address at which nothing listens now. */
async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return `127.0.0.1:${String(port)}`;
}

async function sendSamples(client: Client, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 1) await client.send(sample(n));
}

/** Every sample from 0 to below `count` is a row, once. */
function haveAllSamples(t: ExecutionContext, database: string, count: number): void {
  const { rows } = openDatabase(t, database);
  t.deepEqual(rows("SELECT count(*) AS stored, count(DISTINCT timestamp) AS different FROM resource"), [
    { stored: count, different: count },
  ]);
}

test("case 36: a collector that is killed in the middle of 20,000 messages and started again has each once", async (t) => {
  const first = await startCollector(t);
  const client = connect({ address: first.address, runId });
  t.teardown(() => client.abort());
  await client.send(workflowStart());
  const sending = sendSamples(client, 0, 20_000);

  await waitUntil("a quarter is acknowledged", () => client.counts.acknowledged > 5_000);
  await first.kill();
  t.true(client.counts.acknowledged < 20_001, "the kill came in the middle");
  const second = await startCollector(t, { database: first.database, listen: first.address });
  await sending;
  await within("the client's close", client.close());

  t.deepEqual(client.counts, { sent: 20_001, acknowledged: 20_001, rejected: 0, spooled: 0, lost: 0 });
  haveAllSamples(t, first.database, 20_000);
  const { senders } = await Service.connect(t, second.address).status();
  t.like(senders[0], { senderId: client.senderId, lastSequence: 20_001n, closed: true, missing: [] });
});

test("a collector that is stopped by SIGTERM loses nothing, and the client goes on with the next", async (t) => {
  const first = await startCollector(t);
  const client = connect({ address: first.address, runId });
  t.teardown(() => client.abort());
  const sending = sendSamples(client, 0, 20_000);

  await waitUntil("a quarter is acknowledged", () => client.counts.acknowledged > 5_000);
  t.is(await first.stop(), 0);
  await startCollector(t, { database: first.database, listen: first.address });
  await sending;
  await within("the client's close", client.close());

  haveAllSamples(t, first.database, 20_000);
});

test("case 38: 50 NodeInfo whose acknowledgement is lost after the commit are 50 rows", async (t) => {
  const collector = await startCollector(t);
  const proxy = await TcpProxy.start(t, collector.address);
  let lost: Promise<void> | undefined;
  const client = connect({
    address: proxy.address,
    runId,
    onStateChange: ({ at }) => {
      // The first message is acknowledged and the 50 that gathered behind it leave in one envelope.
      if (at === "connected") lost ??= proxy.loseNextReply();
    },
  });
  t.teardown(() => client.abort());
  void client.send(workflowStart());
  for (let n = 0; n < 50; n += 1) void client.send(nodeInfo({ uid: `manager-${String(n)}` }));

  await waitUntil("the client is connected", () => lost !== undefined);
  await within("the client's close", client.close());
  await within("the loss of an acknowledgement", lost ?? Promise.reject(new Error("never connected")));

  t.is(openDatabase(t, collector.database).count("node"), 50);
  t.is(proxy.connections, 2);
  const { total } = await Service.connect(t, collector.address).status();
  t.like(total, { stored: 51n, repeated: 50n, missing: 0n });
});

test("case 39: ten resets in 10,000 messages lose none and double none", async (t) => {
  const collector = await startCollector(t);
  const proxy = await TcpProxy.start(t, collector.address);
  const client = connect({ address: proxy.address, runId });
  t.teardown(() => client.abort());

  for (let reset = 0; reset < 10; reset += 1) {
    await sendSamples(client, reset * 1_000, (reset + 1) * 1_000);
    await waitUntil("the client is connected", () => client.state.at === "connected");
    proxy.cut();
    await waitUntil("the client has noticed", () => client.state.at !== "connected");
  }
  await within("the client's close", client.close());

  t.is(proxy.connections, 11);
  haveAllSamples(t, collector.database, 10_000);
});

test("a slow line and a half-closed connection lose nothing", async (t) => {
  const collector = await startCollector(t);
  const proxy = await TcpProxy.start(t, collector.address);
  proxy.delayMs = 5;
  const client = connect({ address: proxy.address, runId });
  t.teardown(() => client.abort());

  await sendSamples(client, 0, 1_000);
  await waitUntil("the client is connected", () => client.state.at === "connected");
  proxy.halfClose();
  await sendSamples(client, 1_000, 2_000);
  await within("the client's close", client.close());

  haveAllSamples(t, collector.database, 2_000);
});

test("a collector that takes the connection and does not speak is tried again until it does", async (t) => {
  const collector = await startCollector(t);
  const proxy = await TcpProxy.start(t, collector.address);
  proxy.blackHole();
  const states: ClientState[] = [];
  const radio = openGrpcSender({ address: proxy.address, connectTimeoutMs: 100 });
  const client = connect({ radio, runId, onStateChange: (state) => states.push(state) });
  t.teardown(() => client.abort());
  await client.send(sample(0));

  const waiting = await waitUntil("an attempt is given up", () =>
    states.find((state) => state.at === "waiting"),
  );
  t.is(waiting.reason.code, "deadline");
  proxy.restore();
  await within("the client's close", client.close());

  haveAllSamples(t, collector.database, 1);
});

test("send waits when the buffer is full and the collector is away, and nothing is lost", async (t) => {
  const address = await freeAddress();
  const client = connect({ address, runId, bufferBytes: 64 * 1024 });
  t.teardown(() => client.abort());
  let taken = 0;
  const sending = (async () => {
    for (let n = 0; n < 2_000; n += 1) {
      await client.send(sample(n));
      taken = n + 1;
    }
  })();

  await waitUntil(
    "the client has failed to connect twice",
    () => client.counts.sent > taken && client.state.at === "waiting",
  );
  const takenWhileAway = taken;
  t.true(takenWhileAway > 100 && takenWhileAway < 1_000, `${String(takenWhileAway)} messages in 64 KiB`);
  const collector = await startCollector(t, { listen: address });
  await sending;
  await within("the client's close", client.close());

  haveAllSamples(t, collector.database, 2_000);
});

test("a message of 5 MB is stored whole, one over 32 MiB with a mark, and neither holds up the others", async (t) => {
  const collector = await startCollector(t);
  const client = connect({ address: collector.address, runId });
  t.teardown(() => client.abort());
  await client.send(workflowStart());

  await client.send(taskInfo({ taskId: 0, taskInputs: "5".repeat(5_000_000) }));
  await client.send(taskInfo({ taskId: 1, taskInputs: "4".repeat(40_000_000) }));
  for (let taskId = 2; taskId < 12; taskId += 1) await client.send(taskInfo({ taskId }));
  await within("the client's close", client.close());

  const { rows, count } = openDatabase(t, collector.database);
  t.is(count("task"), 12);
  const [whole, cut] = rows(
    "SELECT length(task_inputs) AS length, substr(task_inputs, -80) AS tail FROM task ORDER BY task_id",
  );
  t.is(whole?.["length"], 5_000_000);
  t.regex(String(cut?.["tail"]), /4\.\.\. \[cut by parsl-collector: kept 33\d{6} of 40000000 characters\]$/);
});

test("what no table takes is told to the sender, kept with its reason, and costs no other message", async (t) => {
  const collector = await startCollector(t);
  const told: number[] = [];
  const client = connect({
    address: collector.address,
    runId,
    onRejected: ({ sequence }) => told.push(sequence),
  });
  t.teardown(() => client.abort());
  await client.send(workflowStart());
  await client.send({ resourceInfo: { taskId: 0 } });
  await client.send({ unreadableMessage: { reason: "expected a tuple of two, got NoneType", text: "None" } });
  await client.send(sample(0));
  await client.close();

  t.deepEqual(told, [2, 3]);
  t.deepEqual(client.counts, { sent: 4, acknowledged: 4, rejected: 2, spooled: 0, lost: 0 });
  const { count } = openDatabase(t, collector.database);
  t.is(count("resource"), 1);
  t.is(count("collector_rejected"), 2);
});

test("an address at which something else answers is a failure that says so", async (t) => {
  const other = createHttp2Server((_, response) => {
    response.statusCode = 404;
    response.end();
  }).listen(0, "127.0.0.1");
  await once(other, "listening");
  t.teardown(() => other.close());
  const address = `127.0.0.1:${String((other.address() as AddressInfo).port)}`;
  const client = connect({ address, runId });
  await client.send(sample(0));

  const error = await t.throwsAsync(within("the client's failure", client.flush()));

  t.regex(
    error.message,
    /UNIMPLEMENTED.*no collector listens there, check the address; 1 of 1 messages are not/,
  );
});
