import { status, type ServiceError } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";

import { requestOf } from "../../../src/radios/grpc/request.js";
import { sample, taskInfo } from "../../support/builders.js";
import { envelopeOf, newSenderId } from "../../support/encoded.js";
import { startReceiver, type TestReceiver } from "../../support/grpc-receiver.js";
import { frame, post } from "../../support/raw-connection.js";
import { Service, type Stream } from "../../support/service.js";
import { TcpProxy } from "../../support/tcp-proxy.js";
import { waitUntil, within } from "../../support/wait.js";

/** A client that comes from another address than the hog, which comes from 127.0.0.1. */
async function stranger(t: ExecutionContext, { receiver }: TestReceiver): Promise<Service> {
  const proxy = await TcpProxy.start(t, receiver.address, "127.0.0.2");
  return Service.connect(t, proxy.address);
}

/** Lets commits wait from now on. Returns how to let all of them go. */
function holdCommits({ inbox }: TestReceiver): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  inbox.commit = promise;
  return () => {
    inbox.commit = Promise.resolve();
    resolve();
  };
}

async function assertIsServed(t: ExecutionContext, service: Service): Promise<void> {
  const stream = service.stream();
  await stream.write(envelopeOf([sample(1)]));
  t.is((await within("an acknowledgement", stream.acknowledged(1))).length, 1);
  t.is((await stream.end()).code, status.OK);
}

/** Writes envelopes with messages of `bytes` bytes until `count` are written, as far as the receiver reads them. */
function flood(stream: Stream, count: number, bytes = 0): void {
  const senderId = newSenderId();
  for (let first = 1; first <= count; first += 1) {
    void stream.write(envelopeOf([taskInfo({ taskInputs: "x".repeat(bytes) })], { senderId, first }));
  }
}

test("an address that has as many calls open as it may gets no more, and others do", async (t) => {
  const subject = await startReceiver(t, { limits: { streamsPerPeer: 2 } });
  const { receiver, warnings } = subject;
  const hog = Service.connect(t, receiver.address);
  const open = [hog.stream(), hog.stream()];
  for (const stream of open) {
    await stream.write(envelopeOf([sample(1)]));
    await stream.acknowledged(1);
  }

  const beyond = await Promise.all([hog.stream().ended, hog.stream().ended]);

  for (const { code, details } of beyond) {
    t.is(code, status.RESOURCE_EXHAUSTED);
    t.regex(details, /127\.0\.0\.1 has 2 open.*--max-streams-per-peer raises that/);
  }
  t.is(receiver.refused.get("streams-per-peer"), 2);
  t.is(warnings().length, 1, "logged once");
  t.like(warnings()[0], { peer: "127.0.0.1" });
  await assertIsServed(t, await stranger(t, subject));

  await open[0]?.end();
  await waitUntil("a call that ended makes room for another", async () => {
    const stream = hog.stream();
    const ended = await stream.end();
    return ended.code === status.OK;
  });
});

test("a stream with as many envelopes in flight as it may is read no further until they are acknowledged", async (t) => {
  const subject = await startReceiver(t, { limits: { inFlight: 4 } });
  const { receiver, inbox } = subject;
  const letGo = holdCommits(subject);
  const hog = Service.connect(t, receiver.address);
  const stream = hog.stream();

  flood(stream, 10);
  await waitUntil("the first are read", () => inbox.heard.length >= 4);
  inbox.commit = Promise.resolve();
  await assertIsServed(t, hog); // on the same connection, behind all that the stream has written

  t.is(inbox.heard.length, 4 + 1);
  t.deepEqual(receiver.streams, { open: 1, paused: 1 });
  letGo();
  t.is((await stream.acknowledged(10)).length, 10);
  t.deepEqual(receiver.streams, { open: 1, paused: 0 });
});

test("a request with more envelopes than may be in flight is refused, for now", async (t) => {
  const { receiver, inbox } = await startReceiver(t, { limits: { inFlight: 4 } });
  const envelopes = Array.from({ length: 5 }, () => envelopeOf([sample(1)]));

  const tooMany = await post(receiver.address, frame(0, requestOf(envelopes)));
  const enough = await post(receiver.address, frame(0, requestOf(envelopes.slice(1))));

  t.is(tooMany, status.RESOURCE_EXHAUSTED);
  t.is(receiver.refused.get("in-flight"), 1);
  t.is(enough, status.OK);
  t.is(inbox.heard.length, 1); // of several, a single call takes the first
});

test("a connection with as many single calls in flight as it may gets no more, and others do", async (t) => {
  const subject = await startReceiver(t, { limits: { inFlight: 2 } });
  const { receiver, inbox } = subject;
  const letGo = holdCommits(subject);
  const hog = Service.connect(t, receiver.address);
  const sent = [hog.send([sample(1)]), hog.send([sample(2)])];
  await waitUntil("both are read", () => inbox.heard.length === 2);

  const error: ServiceError = await t.throwsAsync(hog.send([sample(3)]));

  t.is(error.code, status.RESOURCE_EXHAUSTED);
  t.regex(error.details, /2 envelopes of this connection.*--max-in-flight raises that/);
  t.is(receiver.refused.get("in-flight"), 1);
  inbox.commit = Promise.resolve();
  await assertIsServed(t, Service.connect(t, receiver.address));
  letGo();
  await Promise.all(sent);
  t.is((await hog.send([sample(4)])).committed?.last, 1n);
});

test("streams whose envelopes fill their address's share are read no further, and others are", async (t) => {
  const subject = await startReceiver(t);
  const { receiver, inbox } = subject;
  const letGo = holdCommits(subject);
  const hog = Service.connect(t, receiver.address);
  const streams = Array.from({ length: 8 }, () => hog.stream());
  const megabyte = 1024 * 1024;

  for (const stream of streams) flood(stream, 4, megabyte);
  await waitUntil("the share is full", () => inbox.heard.length >= 4);
  const late = hog.send([sample(1)]);
  inbox.commit = Promise.resolve();
  await assertIsServed(t, await stranger(t, subject));

  // Four of them are the share, and each stream may have been in the middle of one.
  t.true(inbox.heard.length - 1 <= 4 + streams.length, `${String(inbox.heard.length)} were read`);
  t.is(receiver.streams.paused, streams.length);
  letGo();
  for (const stream of streams) await stream.acknowledged(4);
  t.is((await late).committed?.last, 1n);
  t.is(inbox.heard.length, 8 * 4 + 2);
});
