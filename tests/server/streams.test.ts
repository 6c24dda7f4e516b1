import { status } from "@grpc/grpc-js";
import test from "ava";

import { sample } from "../support/builders.js";
import { envelopeOf, newSenderId } from "../support/encoded.js";
import { Service } from "../support/service.js";
import { newRunId, sharedCollector } from "../support/shared-collector.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { waitUntil } from "../support/wait.js";

const shared = sharedCollector();

test("acknowledgements come in the order of the envelopes, one each, after the commit", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();
  const senderId = newSenderId();
  const stream = service.stream();

  for (let first = 1; first <= 100; first += 1) {
    await stream.write(envelopeOf([sample(first)], { runId, senderId, first }));
  }
  const acknowledgements = await stream.acknowledged(100);

  t.deepEqual(
    acknowledgements.map(({ committed }) => Number(committed?.first)),
    Array.from({ length: 100 }, (_, n) => n + 1),
  );
  t.is(db.value("SELECT count(*) FROM resource WHERE run_id = ?", runId), 100);
});

test("answers stay below the 4 MiB that a client takes by default, were every message rejected", async (t) => {
  const { service } = shared();
  const senderId = newSenderId();
  const stream = service.stream();
  const messages = Array.from({ length: 20_000 }, () => ({ unreadableMessage: {} }));
  const envelopes = 8; // those that come while the first is stored are one group

  for (let n = 0; n < envelopes; n += 1) {
    await stream.write(envelopeOf(messages, { senderId, first: n * messages.length + 1 }));
  }
  const acknowledgements = await stream.acknowledged(envelopes);

  t.is(acknowledgements.flatMap(({ rejections }) => rejections).length, envelopes * messages.length);
});

test("the reason of a rejection is told by its first 150 characters, and kept whole", async (t) => {
  const { service, db } = shared();
  const runId = newRunId();
  const reason = "no message at all, ".repeat(20);

  const { rejections } = await service.send([{ unreadableMessage: { reason } }], { runId });

  const kept = String(db.value("SELECT reason FROM collector_rejected WHERE run_id = ?", runId));
  t.is(kept, `the sender could not read it: ${reason}`);
  t.is(rejections[0]?.reason, kept.slice(0, 150));
});

test("one stream may carry envelopes of several senders, and a sender's may come by several streams", async (t) => {
  const { service } = shared();
  const runId = newRunId();
  const senders = [newSenderId(), newSenderId()];
  const streams = [service.stream(), service.stream()];

  for (const [n, stream] of streams.entries()) {
    for (const senderId of senders) {
      await stream.write(envelopeOf([sample(n)], { runId, senderId, first: n + 1 }));
    }
  }
  for (const stream of streams) {
    const acknowledgements = await stream.acknowledged(2);
    t.deepEqual(
      acknowledgements.map(({ senderId }) => senderId),
      senders,
    );
  }

  t.like((await service.status(runId)).total, { stored: 4n, missing: 0n });
});

test("a closing note is acknowledged, and then the status proves that everything is there", async (t) => {
  const { service } = shared();
  const runId = newRunId();
  const senderId = newSenderId();

  const early = await service.send([sample(3)], { runId, senderId, first: 3, lastSequence: 3 });
  const incomplete = (await service.status(runId)).senders[0];
  await service.send([sample(1), sample(2)], { runId, senderId, first: 1 });
  const complete = (await service.status(runId)).senders[0];

  t.true(early.closed);
  t.like(incomplete, { closed: true, lastSequence: 3n, missing: [{ first: 1n, last: 2n }] });
  t.like(complete, { closed: true, lastSequence: 3n, missing: [], counts: { stored: 3n, missing: 0n } });
});

test("a status comes after everything that was received before it is committed", async (t) => {
  const { service } = shared();
  const runId = newRunId();
  const senderId = newSenderId();
  const stream = service.stream();

  for (let n = 0; n < 20; n += 1) {
    const samples = Array.from({ length: 50 }, (_, k) => sample(n * 50 + k));
    await stream.write(envelopeOf(samples, { runId, senderId, first: n * 50 + 1 }));
  }
  await stream.acknowledged(1);
  const seen = Number((await service.status(runId)).total?.stored);
  const acknowledged = stream.acknowledgements.length * 50;

  t.true(seen >= acknowledged, `the status says ${String(seen)}, ${String(acknowledged)} were acknowledged`);
  await stream.acknowledged(20);
});

test.serial("streams that ended, were broken off or lost their connection are forgotten", async (t) => {
  const { collector, service } = shared();
  const proxy = await TcpProxy.start(t, collector.address);
  const open = async () => (await service.status()).openStreams;
  await waitUntil("no stream of another test is open", async () => (await open()) === 0);
  const byProxy = Service.connect(t, proxy.address);
  const streams = [service, service, byProxy].map((each) => each.stream());
  for (const stream of streams) {
    await stream.write(envelopeOf([sample(1)]));
    await stream.acknowledged(1);
  }
  t.is(await open(), 3);

  const [ends, breaksOff, loses] = streams;
  t.is((await ends?.end())?.code, status.OK);
  breaksOff?.cancel();
  proxy.cut();
  t.is((await loses?.ended)?.code, status.UNAVAILABLE);

  await waitUntil("all three are forgotten", async () => (await open()) === 0);
  t.is(await open(), 0);
});
