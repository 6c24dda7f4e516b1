import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";

import test, { type ExecutionContext } from "ava";

import { CollectorError } from "../../../src/base/errors.js";
import type { Message } from "../../../src/client/message.js";
import { openGrpcSender } from "../../../src/radios/grpc/sender.js";
import type { OutgoingEnvelope } from "../../../src/radios/radio.js";
import { resourceInfo, sample, taskInfo, workflowStart } from "../../support/builders.js";
import { startCollector } from "../../support/collector.js";
import { openDatabase } from "../../support/database.js";
import { envelopeOf, type EnvelopeFields } from "../../support/encoded.js";
import { Service } from "../../support/service.js";
import { TcpProxy } from "../../support/tcp-proxy.js";
import { waitUntil } from "../../support/wait.js";

async function refusal(t: ExecutionContext, promise: Promise<unknown>): Promise<CollectorError> {
  return t.throwsAsync(promise, { instanceOf: CollectorError });
}

/** An envelope of one and the same sender, as a client hands it to a radio. */
function envelope(messages: readonly Message[] = [], fields: EnvelopeFields = {}): OutgoingEnvelope {
  const { senderId = "5e".repeat(16), first = messages.length === 0 ? 0 : 1 } = fields;
  const bytes = envelopeOf(messages, { ...fields, senderId, first });
  return { bytes, senderId, firstSequence: first, count: messages.length };
}

test("overlapping sends resolve in order, each with its own acknowledgement", async (t) => {
  const collector = await startCollector(t);
  await using sender = openGrpcSender({ address: collector.address });
  const order: number[] = [];

  const receipts = await Promise.all(
    [1, 3, 5].map(async (firstSequence) => {
      const receipt = await sender.send(
        envelope([sample(firstSequence), sample(firstSequence + 1)], { first: firstSequence }),
      );
      order.push(firstSequence);
      return receipt;
    }),
  );

  t.deepEqual(order, [1, 3, 5]);
  t.deepEqual(
    receipts.map((receipt) => receipt.delivery === "stored" && receipt.acknowledgement.committed),
    [
      { first: 1n, last: 2n },
      { first: 3n, last: 4n },
      { first: 5n, last: 6n },
    ],
  );
});

test("an envelope of 20 MB arrives whole", async (t) => {
  const collector = await startCollector(t);
  await using sender = openGrpcSender({ address: collector.address });

  await sender.send(envelope([workflowStart(), taskInfo({ taskInputs: "x".repeat(20e6) })]));

  t.is(openDatabase(t, collector.database).value("SELECT length(task_inputs) FROM task"), 20e6);
});

test("a collector that is not there is unavailable, and the next send tries again", async (t) => {
  const away = createServer().listen(0, "127.0.0.1");
  await once(away, "listening");
  const address = `127.0.0.1:${String((away.address() as AddressInfo).port)}`;
  away.close();
  await once(away, "close");
  await using sender = openGrpcSender({ address });

  const error = await refusal(t, sender.send(envelope([sample(1)])));
  t.is(error.code, "unavailable");
  t.regex(error.message, /ECONNREFUSED/);

  await startCollector(t, { listen: address });
  t.is((await sender.send(envelope([sample(1)]))).delivery, "stored");
});

test("a peer that takes the connection and never speaks is given up after the deadline, and its connection is ended", async (t) => {
  const sockets: Socket[] = [];
  const silent = createServer((socket) => sockets.push(socket.on("error", () => socket.destroy()))).listen(
    0,
    "127.0.0.1",
  );
  await once(silent, "listening");
  t.teardown(() => silent.close());
  const address = `127.0.0.1:${String((silent.address() as AddressInfo).port)}`;
  await using sender = openGrpcSender({ address, connectTimeoutMs: 200 });

  // On a busy machine the first attempt may be over before the peer has taken the connection.
  let error: CollectorError;
  do error = await refusal(t, sender.send(envelope([sample(1)])));
  while (sockets.length === 0);

  t.is(error.code, "deadline");
  t.true(error.retryable);
  t.is(error.message, `connect to collector ${address}: no answer within 0.2 s; is it a collector?`);
  for (const socket of sockets) socket.resume();
  await waitUntil("the connection has ended", () =>
    sockets.every((socket) => socket.destroyed || socket.readableEnded),
  );
});

test("when the connection breaks, everything that waits is refused and may be sent again", async (t) => {
  const collector = await startCollector(t);
  const proxy = await TcpProxy.start(t, collector.address);
  await using sender = openGrpcSender({ address: proxy.address });
  await sender.send(envelope([sample(1)]));
  proxy.blackHole();
  const waiting = [2, 3].map((firstSequence) =>
    sender.send(envelope([sample(firstSequence)], { first: firstSequence })),
  );

  proxy.cut();

  for (const promise of waiting) t.true((await refusal(t, promise)).retryable);
  proxy.restore();
  t.is((await sender.send(envelope([sample(2)], { first: 2 }))).delivery, "stored");
});

test("a half-closed connection is a broken one", async (t) => {
  const collector = await startCollector(t);
  const proxy = await TcpProxy.start(t, collector.address);
  await using sender = openGrpcSender({ address: proxy.address });
  await sender.send(envelope([sample(1)]));
  proxy.blackHole();
  const waiting = sender.send(envelope([sample(2)], { first: 2 }));

  proxy.halfClose();

  t.true((await refusal(t, waiting)).retryable);
});

test("bytes that are no envelope are refused for good", async (t) => {
  const collector = await startCollector(t);
  await using sender = openGrpcSender({ address: collector.address });
  const bytes = new Uint8Array([0xff, 0xff, 0xff]);

  const error = await refusal(t, sender.send({ ...envelope(), bytes }));

  t.is(error.code, "invalid-envelope");
  t.false(error.retryable);
});

test("a signal ends the wait for an answer, and the answers of others still find their senders", async (t) => {
  const collector = await startCollector(t);
  const proxy = await TcpProxy.start(t, collector.address);
  await using sender = openGrpcSender({ address: proxy.address });
  await sender.send(envelope([sample(1)]));
  proxy.blackHole();
  const patience = new AbortController();
  const impatient = sender.send(envelope([sample(2)], { first: 2 }), patience.signal);
  const patient = sender.send(envelope([sample(3)], { first: 3 }));

  patience.abort(new Error("enough"));

  await t.throwsAsync(impatient, { message: "enough" });
  proxy.restore();
  const receipt = await patient;
  t.deepEqual(receipt.delivery === "stored" && receipt.acknowledgement.committed, { first: 3n, last: 3n });
});

test("disposing refuses what waits and what comes later, and twice is once", async (t) => {
  const collector = await startCollector(t);
  const proxy = await TcpProxy.start(t, collector.address);
  const sender = openGrpcSender({ address: proxy.address });
  await sender.send(envelope([sample(1)]));
  proxy.blackHole();
  const waiting = sender.send(envelope([sample(2)], { first: 2 }));

  const disposals = [sender[Symbol.asyncDispose](), sender[Symbol.asyncDispose]()];

  t.is((await refusal(t, waiting)).code, "closed");
  t.is((await refusal(t, sender.send(envelope()))).code, "closed");
  await Promise.all(disposals);
});

test("the unary call gives the stream's answers, and an envelope that comes again changes nothing", async (t) => {
  const collector = await startCollector(t);
  await using sender = openGrpcSender({ address: collector.address });
  const unary = Service.connect(t, collector.address);
  const noTask = resourceInfo({ taskId: undefined });
  const sent = envelope([workflowStart(), sample(1), noTask], { lastSequence: 3 });

  const first = await unary.sendBytes(sent.bytes);
  const again = await unary.sendBytes(sent.bytes);
  const streamed = await sender.send(sent);

  t.is(first.rejections.length, 1);
  t.like(first, { committed: { first: 1n, last: 3n }, closed: true });
  t.deepEqual(again, first);
  t.deepEqual(streamed, { delivery: "stored", acknowledgement: first });
  const database = openDatabase(t, collector.database);
  t.is(database.count("resource"), 1);
  t.is(database.count("workflow"), 1);
  t.is(database.count("collector_rejected"), 1);
});
