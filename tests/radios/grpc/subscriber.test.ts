import { credentials, makeGenericClientConstructor, type ClientReadableStream } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";

import { connect, subscribe, type CommittedMessage, type SubscribeOptions } from "../../../src/index.js";
import {
  CollectorServiceService,
  SubscribeRequest,
  type SubscribeResponse,
} from "../../../src/gen/parsl_collector/v1/collector_service.js";
import { resourceInfo, runId, sample, taskInfo, workflowStart } from "../../support/builders.js";
import { startCollector } from "../../support/collector.js";
import { openDatabase } from "../../support/database.js";
import { envelopeOf, newSenderId } from "../../support/encoded.js";
import { Service } from "../../support/service.js";
import { TcpProxy } from "../../support/tcp-proxy.js";
import { waitUntil } from "../../support/wait.js";

/** Reads in the background until the test ends. */
class Subscriber {
  readonly messages: CommittedMessage[] = [];
  position: string | undefined;
  readonly ended: Promise<unknown>;
  readonly #stop = new AbortController();

  constructor(t: ExecutionContext, options: SubscribeOptions) {
    this.ended = this.#read({ ...options, signal: this.#stop.signal }).catch((cause: unknown) => cause);
    t.teardown(() => this.stop());
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }

  /** As `<sequence>` of each message, in the order in which they came. */
  get sequences(): number[] {
    return this.messages.map(({ sequence }) => Number(sequence));
  }

  async listens(): Promise<void> {
    await waitUntil("the subscriber has a position", () => this.position !== undefined);
  }

  async has(count: number): Promise<void> {
    await waitUntil(`${String(count)} messages have come`, () => this.messages.length >= count);
  }

  async #read(options: SubscribeOptions): Promise<undefined> {
    for await (const { messages, position } of subscribe(options)) {
      this.position = position;
      this.messages.push(...messages);
    }
    return undefined;
  }
}

test("what is committed is told from now on: of the runs and kinds that are wanted, and each message once", async (t) => {
  const { address } = await startCollector(t);
  const service = Service.connect(t, address);
  await service.send([workflowStart()]);
  const all = new Subscriber(t, { address });
  const tasks = new Subscriber(t, { address, kinds: ["TASK_INFO"], runIds: [runId] });
  await Promise.all([all.listens(), tasks.listens()]);

  const senderId = newSenderId();
  const other = taskInfo({ runId: "another" });
  await service.sendBytes(envelopeOf([sample(1), taskInfo(), other], { senderId, hostname: "node-7" }));
  await service.sendBytes(envelopeOf([taskInfo(), other, sample(2)], { senderId, first: 2 }));
  await all.has(4);
  await tasks.has(1);
  await service.send([resourceInfo({ taskId: undefined })]);
  await all.has(5);

  t.deepEqual(all.sequences, [1, 2, 3, 4, 1]);
  t.like(all.messages[0], { senderId, runId, hostname: "node-7", rejectedReason: "" });
  t.is(all.messages[2]?.runId, "another");
  t.is(all.messages[0]?.message?.kind?.$case, "resourceInfo");
  t.regex(all.messages[4]?.rejectedReason ?? "", /task_id/);
  t.deepEqual(tasks.sequences, [2]);
});

test("a subscriber that is killed and goes on 20 times, over a collector that is killed too, has each message once and in order", async (t) => {
  let collector = await startCollector(t);
  const { address } = collector;
  const client = connect({ address, runId });
  t.teardown(() => client.abort());
  const seen: CommittedMessage[] = [];
  let position: string | undefined;
  await client.send(workflowStart());
  await client.flush();
  {
    const first = new Subscriber(t, { address, fromOldest: true });
    await first.listens();
    await first.stop();
    position = first.position;
  }
  for (let kills = 0; kills < 20; kills += 1) {
    const subscriber = new Subscriber(t, { address, position });
    for (let n = 0; n < 1_000; n += 1) await client.send(sample(kills * 1_000 + n));
    await subscriber.has(500);
    await subscriber.stop();
    position = subscriber.position;
    seen.push(...subscriber.messages);
    if (kills !== 10) continue;
    await collector.kill();
    collector = await startCollector(t, { database: collector.database, listen: address });
  }
  const last = new Subscriber(t, { address, position });
  await client.flush();
  await last.has(20_000 - seen.length);
  await last.stop();
  seen.push(...last.messages);

  t.deepEqual(
    seen.map(({ sequence }) => Number(sequence)),
    Array.from({ length: 20_000 }, (_, n) => n + 2),
  );
});

test("a connection that breaks is made again, and nothing is told twice or missed", async (t) => {
  const { address } = await startCollector(t);
  const proxy = await TcpProxy.start(t, address);
  const subscriber = new Subscriber(t, { address: proxy.address });
  await subscriber.listens();
  const service = Service.connect(t, address);

  const senderId = newSenderId();
  for (let n = 1; n <= 30; n += 1) {
    await service.sendBytes(envelopeOf([sample(n)], { senderId, first: n }));
    if (n % 10 === 0) proxy.cut();
  }
  await subscriber.has(30);

  t.deepEqual(
    subscriber.sequences,
    Array.from({ length: 30 }, (_, n) => n + 1),
  );
});

test("one who does not read holds up nobody, and is told when what it has not read is no longer kept", async (t) => {
  const collector = await startCollector(t, { args: ["--log-bytes", "10000000"] });
  const { address } = collector;
  const Client = makeGenericClientConstructor(CollectorServiceService, "CollectorService");
  const raw = new Client(address, credentials.createInsecure());
  t.teardown(() => raw.close());
  const { subscribe: method } = raw as unknown as {
    subscribe: (request: SubscribeRequest) => ClientReadableStream<SubscribeResponse>;
  };
  const call = method.call(raw, SubscribeRequest.fromPartial({}));
  const ended = new Promise<{ readonly code: number; readonly details: string }>((resolve) =>
    call.on("error", (error) => resolve(error as unknown as { code: number; details: string })),
  );
  await new Promise((resolve) => call.once("data", resolve));
  call.pause();

  const client = connect({ address, runId });
  t.teardown(() => client.abort());
  const taskInputs = "x".repeat(5_000);
  for (let taskId = 0; taskId < 5_000; taskId += 1) await client.send(taskInfo({ taskId, taskInputs }));
  await client.close();

  call.resume();
  const { code, details } = await ended;
  t.is(code, 11);
  t.regex(details, /no longer kept.*--log-bytes/);
  t.is(openDatabase(t, collector.database).count("task"), 5_000);
  const kept = Number(
    openDatabase(t, collector.database).value("SELECT sum(length(envelope)) FROM collector_log"),
  );
  t.true(kept <= 10_000_000 && kept > 9_000_000, `${String(kept)} bytes are kept`);
});

test("a position that is none, one of another database, and a kind that there is not are told at once", async (t) => {
  const { address } = await startCollector(t);
  const reason = async (options: Omit<SubscribeOptions, "address">): Promise<string> =>
    String(await new Subscriber(t, { address, ...options }).ended);

  t.regex(await reason({ position: "yesterday" }), /position "yesterday": it is none/);
  t.regex(await reason({ position: "0123456789abcdef-7" }), /no longer kept, or it is of another database/);
  t.regex(await reason({ kinds: ["TASK"] }), /kind "TASK": there is none; there are WORKFLOW_INFO, /);
});

test("without a subscriber nothing is logged", async (t) => {
  const { address, database } = await startCollector(t);
  await Service.connect(t, address).send([sample(1)]);

  const db = openDatabase(t, database);
  t.deepEqual(db.rows("SELECT name FROM sqlite_schema WHERE name LIKE 'collector_log%'"), []);
});
