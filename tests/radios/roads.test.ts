import { writeFileSync } from "node:fs";
import { join } from "node:path";

import test from "ava";

import { connect, type CollectorError } from "../../src/index.js";
import { runId, sample } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { Service } from "../support/service.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil, within } from "../support/wait.js";

test("when the port is gone files take over, when it is back gRPC does, and each message is there once", async (t) => {
  const directory = join(temporaryDirectory(t), "messages");
  const collector = await startCollector(t, { args: ["--radio", `filesystem=${directory}`] });
  const proxy = await TcpProxy.start(t, collector.address);
  const warnings: string[] = [];
  const client = connect({
    radios: [
      { radio: "grpc", address: proxy.address },
      { radio: "filesystem", address: directory },
    ],
    fallbackAfterMs: 300,
    runId,
    hostname: "n1",
    onWarning: ({ message }: CollectorError) => void warnings.push(message),
  });
  t.teardown(() => client.abort());
  let sent = 0;
  const send = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n += 1) await client.send(sample((sent += 1)));
  };
  const told = (pattern: RegExp): Promise<true> =>
    waitUntil(String(pattern), () => warnings.some((text) => pattern.test(text)) || undefined);

  await send(700);
  await within("the messages by gRPC", client.flush());
  proxy.target = "127.0.0.1:9"; // nobody listens there
  proxy.cut();
  await send(700);
  await within("the messages by files", client.flush());
  await told(/messages go by filesystem to .* until the first radio works again: /);
  await send(700);
  await within("more by files", client.flush());

  proxy.target = collector.address;
  await waitUntil("the way back", async () => {
    await send(1);
    await client.flush();
    return warnings.some((text) => /messages go by grpc to .* again/.test(text)) || undefined;
  });
  await send(700);
  await within("the client's close", client.close());

  const { rows, count } = openDatabase(t, collector.database);
  await waitUntil("all rows", () => count("resource") === sent || undefined);
  t.deepEqual(rows("SELECT stored, rejected, last_sequence FROM collector_sender"), [
    { stored: sent, rejected: 0, last_sequence: sent },
  ]);
  const { senders } = await Service.connect(t, collector.address).status();
  t.like(senders[0], { closed: true, missing: [] });
  t.deepEqual(
    senders[0]?.radios.map(({ radio }) => radio),
    ["filesystem", "grpc"],
  );
  t.is(warnings.length, 2);
});

test("what is too large for a datagram goes by the next road", async (t) => {
  const directory = join(temporaryDirectory(t), "messages");
  const keyFile = join(temporaryDirectory(t), "key");
  const key = Buffer.alloc(32, 5);
  writeFileSync(keyFile, key);
  const args = ["--radio", "udp=127.0.0.1:0", "--radio", `filesystem=${directory}`, "--key-file", keyFile];
  const collector = await startCollector(t, { args });
  const client = connect({
    radios: [
      { radio: "udp", address: collector.radios["udp"] ?? "" },
      { radio: "filesystem", address: directory },
    ],
    key,
    runId,
    onWarning: ({ message }) => t.fail(message),
  });
  for (const taskId of [0, 1, 2]) {
    const taskInputs = taskId === 1 ? "x".repeat(100_000) : "x";
    await client.send({
      taskInfo: {
        taskId,
        tryId: 0,
        taskInputs,
        taskStatusName: "pending",
        timestamp: { seconds: 1n, nanos: 0 },
      },
    });
  }
  await within("the client's close", client.close());

  const service = Service.connect(t, collector.address);
  const sender = await waitUntil("all three", async () => {
    const [one] = (await service.status()).senders;
    return one?.closed === true && one.missing.length === 0 && one;
  });
  t.is(Number(sender.lastSequence), 3);
  t.deepEqual(
    sender.radios.map(({ radio }) => radio),
    ["filesystem", "udp"],
  );
});
