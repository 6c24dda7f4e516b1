import { createSecretKey } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { networkInterfaces } from "node:os";

import test, { type ExecutionContext } from "ava";

import type { Message } from "../../../src/client/message.js";
import type { OutgoingEnvelope } from "../../../src/radios/radio.js";
import { unseal } from "../../../src/radios/udp/datagram.js";
import { openUdpReceiver } from "../../../src/radios/udp/receiver.js";
import { openUdpSender } from "../../../src/radios/udp/sender.js";
import { sample, taskInfo } from "../../support/builders.js";
import { runKey } from "../../support/datagrams.js";
import { envelopeOf, newSenderId, type EnvelopeFields } from "../../support/encoded.js";
import { EnvelopeInbox } from "../../support/envelope-inbox.js";
import { recordingLogger } from "../../support/log-lines.js";
import { UdpRelay } from "../../support/udp-relay.js";
import { waitUntil } from "../../support/wait.js";

const { logger } = recordingLogger();

async function openedReceiver(t: ExecutionContext, address = "127.0.0.1:0") {
  const inbox = new EnvelopeInbox();
  const receiver = await openUdpReceiver(address, inbox, { logger, key: runKey });
  t.teardown(() => receiver[Symbol.asyncDispose]());
  return { inbox, address: receiver.address };
}

function openedSender(t: ExecutionContext, address: string) {
  const sender = openUdpSender(address, { key: runKey });
  t.teardown(() => sender[Symbol.asyncDispose]());
  return sender;
}

function outgoing(messages: readonly Message[], fields: EnvelopeFields = {}): OutgoingEnvelope {
  const senderId = fields.senderId ?? newSenderId();
  const bytes = envelopeOf(messages, { ...fields, senderId });
  return { bytes, senderId, firstSequence: fields.first ?? 1, count: messages.length };
}

/** A task of about this many bytes. */
function large(bytes: number): Message {
  return taskInfo({ taskStdout: "x".repeat(bytes) });
}

test("a receipt says that the envelope was handed over, and the inbox has it", async (t) => {
  const { inbox, address } = await openedReceiver(t);
  const sender = openedSender(t, address);

  t.deepEqual(await sender.send(outgoing([sample(1), sample(2)])), { delivery: "handed-over" });

  await waitUntil("it is there", () => inbox.heard.length === 1);
  t.deepEqual(inbox.sequences, [1, 2]);
});

test("a name is looked up, and so is an address of IPv6", async (t) => {
  for (const [listen, host] of [
    ["127.0.0.1:0", "localhost"],
    ["[::1]:0", "[::1]"],
  ] as const) {
    const { inbox, address } = await openedReceiver(t, listen);
    const sender = openedSender(t, `${host}:${address.slice(address.lastIndexOf(":") + 1)}`);

    await sender.send(outgoing([sample(1)]));

    await waitUntil(`it came by ${host}`, () => inbox.heard.length === 1);
  }
  t.pass();
});

test("envelopes travel in the order of the calls, each in datagrams of 16 KiB at most on one host", async (t) => {
  const { inbox, address } = await openedReceiver(t);
  const relay = await UdpRelay.start(t, address);
  const sender = openedSender(t, relay.address);
  const messages = Array.from({ length: 500 }, (_, n) => sample(n));
  const senderId = newSenderId();

  await Promise.all([1, 501, 1_001].map((first) => sender.send(outgoing(messages, { senderId, first }))));

  await waitUntil("all are there", () => inbox.sequences.length === 1_500);
  t.deepEqual(
    inbox.sequences,
    Array.from({ length: 1_500 }, (_, n) => n + 1),
  );
  t.true(relay.heard.every(({ length }) => length <= 16 * 1024));
  t.true(relay.heard.length < 30, String(relay.heard.length));
});

const elsewhere = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ internal, family }) => !internal && family === "IPv4")?.address;
(elsewhere === undefined ? test.skip : test)(
  "on the way to an address of a network a datagram of several messages has 1,400 bytes at most (skipped where there is no network)",
  async (t) => {
    const heard: Buffer[] = [];
    const socket = createSocket("udp4").bind(0, elsewhere);
    await once(socket, "listening");
    t.teardown(() => socket.close());
    socket.on("message", (datagram) => heard.push(datagram));
    const sender = openedSender(t, `${String(elsewhere)}:${String(socket.address().port)}`);

    await sender.send(outgoing([...Array.from({ length: 50 }, (_, n) => sample(n)), large(3_000)]));
    await waitUntil("the large one is there", () => heard.some(({ length }) => length > 3_000));

    t.true(heard.length > 3);
    t.true(heard.slice(0, -1).every(({ length }) => length <= 1_400));
    t.true(heard.slice(0, -2).every(({ length }) => length > 1_000));
  },
);

test("a large message travels alone, up to the most that UDP carries", async (t) => {
  const { inbox, address } = await openedReceiver(t);
  const sender = openedSender(t, address);
  const senderId = newSenderId();
  const overhead = 60 + outgoing([large(65_000)], { senderId, first: 2 }).bytes.length - 65_000;
  const largest = large(65_507 - overhead);

  await sender.send(outgoing([sample(1), largest, sample(3)], { senderId }));

  await waitUntil("all are there", () => inbox.sequences.length === 3);
  t.deepEqual(
    inbox.heard.map(({ envelope }) => envelope.messages.length),
    [1, 1, 1],
  );
});

test("an envelope with a message that no datagram carries is refused for ever, and nothing of it is sent", async (t) => {
  const { inbox, address } = await openedReceiver(t);
  const sender = openedSender(t, address);

  const error = await t.throwsAsync(sender.send(outgoing([sample(1), large(66_000)])));
  await sender.send(outgoing([sample(1)], { first: 9 }));
  await waitUntil("the other one is there", () => inbox.heard.length === 1);

  t.like(error, { code: "invalid-envelope", retryable: false });
  t.regex(
    error.message,
    /a datagram of 66\d+ bytes, and 65507 are the most; gRPC and the filesystem take it/,
  );
  t.deepEqual(inbox.sequences, [9]);
});

test("bytes that are no envelope are refused for ever", async (t) => {
  const { address } = await openedReceiver(t);
  const bytes = Buffer.from("ffff", "hex");

  const sent = openedSender(t, address).send({ bytes, senderId: "", firstSequence: 1, count: 1 });

  t.like(await t.throwsAsync(sent), { code: "invalid-envelope" });
});

test("a closing note is sent five times, alone, before the sender is disposed of", async (t) => {
  const { inbox, address } = await openedReceiver(t);
  const relay = await UdpRelay.start(t, address);
  const sender = openUdpSender(relay.address, { key: runKey });

  await sender.send(outgoing([sample(1)], { lastSequence: 1 }));
  await sender[Symbol.asyncDispose]();

  await waitUntil("all are there", () => inbox.heard.length === 6);
  t.deepEqual(
    inbox.heard.map(({ envelope }) => [envelope.messages.length, envelope.closingNote?.lastSequence]),
    [[1, undefined], ...Array.from({ length: 5 }, () => [0, 1n])],
  );
  const counters = relay.heard.map((datagram) => unseal(createSecretKey(runKey), datagram));
  t.deepEqual(
    counters.map((datagram) => typeof datagram === "object" && datagram.counter),
    [1, 2, 3, 4, 5, 6],
  );
});

test("a sender that is disposed of sends first what it was given", async (t) => {
  const { inbox, address } = await openedReceiver(t);
  const sender = openUdpSender(address, { key: runKey });

  const sends = [1, 2, 3].map((first) => sender.send(outgoing([sample(first)], { first })));
  await sender[Symbol.asyncDispose]();

  await Promise.all(sends);
  await waitUntil("all are there", () => inbox.heard.length === 3);
  t.deepEqual(inbox.sequences, [1, 2, 3]);
});

test("that nobody listens is told for now with each envelope, and the next one arrives when somebody does", async (t) => {
  const free = createSocket("udp4").bind(0, "127.0.0.1");
  await once(free, "listening");
  const address = `127.0.0.1:${String(free.address().port)}`;
  free.close();
  await once(free, "close");
  const sender = openedSender(t, address);

  for (let time = 0; time < 3; time += 1) {
    const error = await t.throwsAsync(sender.send(outgoing([sample(1)])));
    t.like(error, { code: "unavailable", retryable: true });
    t.is(error.message, `send by udp to ${address}: nobody listens there`);
  }
  const { inbox } = await openedReceiver(t, address);
  await sender.send(outgoing([sample(1)]));

  await waitUntil("it is there", () => inbox.heard.length === 1);
});

test("a name that is not known is told for now", async (t) => {
  const sent = openedSender(t, "nowhere.invalid:7000").send(outgoing([sample(1)]));

  t.like(await t.throwsAsync(sent), { code: "unavailable" });
});

test("a sender without a key is not opened, and says how to give one", (t) => {
  t.throws(() => openUdpSender("127.0.0.1:7000"), {
    code: "invalid-argument",
    message: /^send by udp to 127\.0\.0\.1:7000: .*--key-file/,
  });
});

test("an address that is none is refused when the sender is opened", (t) => {
  for (const address of ["", "host", "host:", ":7000", "[::1:7000", "a b:1", "::1:7000"]) {
    t.throws(() => openUdpSender(address, { key: runKey }), { message: /expected host:port/ }, address);
  }
});

test("an aborted send is not begun, and one after the disposal is refused", async (t) => {
  const { inbox, address } = await openedReceiver(t);
  const sender = openedSender(t, address);

  await t.throwsAsync(sender.send(outgoing([sample(1)]), AbortSignal.abort()), { name: "AbortError" });
  await sender.send(outgoing([sample(1)], { first: 2 }));
  await sender[Symbol.asyncDispose]();
  const late = await t.throwsAsync(sender.send(outgoing([sample(1)])));

  t.like(late, { code: "closed" });
  await waitUntil("the one between them is there", () => inbox.heard.length === 1);
  t.deepEqual(inbox.sequences, [2]);
});
