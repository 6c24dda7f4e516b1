import { createSocket } from "node:dgram";
import { createSecretKey, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import test, { type ExecutionContext } from "ava";

import { CollectorError } from "../../../src/base/errors.js";
import type { RadioReceiver } from "../../../src/radios/radio.js";
import { openUdpReceiver, UdpReceiver } from "../../../src/radios/udp/receiver.js";
import { sample } from "../../support/builders.js";
import { DatagramSource, runKey } from "../../support/datagrams.js";
import { envelopeOf } from "../../support/encoded.js";
import { EnvelopeInbox } from "../../support/envelope-inbox.js";
import { recordingLogger } from "../../support/log-lines.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { waitUntil } from "../../support/wait.js";

interface Opened {
  readonly receiver: RadioReceiver;
  readonly inbox: EnvelopeInbox;
  readonly source: DatagramSource;
  readonly lines: readonly Record<string, unknown>[];
}

async function openedAt(t: ExecutionContext, address = "127.0.0.1:0"): Promise<Opened> {
  const { logger, lines } = recordingLogger();
  const inbox = new EnvelopeInbox();
  const receiver = await openUdpReceiver(address, inbox, { logger, key: runKey });
  t.teardown(() => receiver[Symbol.asyncDispose]());
  return { receiver, inbox, source: DatagramSource.open(t, receiver.address), lines };
}

const oneSample = envelopeOf([sample(1)]);

/** Waits until the receiver has come to a genuine datagram, so to all that were sent before. */
async function pastAll({ inbox, source }: Opened): Promise<void> {
  const before = inbox.heard.length;
  await source.send(source.seal(oneSample));
  await waitUntil("the genuine datagram is there", () => inbox.heard.length > before);
}

test("what a genuine datagram carries is given to the inbox, as come by udp", async (t) => {
  const opened = await openedAt(t);

  await pastAll(opened);

  t.is(opened.inbox.heard[0]?.radio, "udp");
  t.deepEqual(opened.inbox.sequences, [1]);
  t.deepEqual(opened.receiver.refused, new Map());
});

test("a receiver can be reached over IPv6", async (t) => {
  const opened = await openedAt(t, "[::1]:0");

  await pastAll(opened);

  t.regex(opened.receiver.address, /^\[::1\]:\d+$/);
  t.is(opened.inbox.heard.length, 1);
});

test("case 84: a datagram under another key is refused and counted, and the next genuine one is taken", async (t) => {
  const opened = await openedAt(t);
  const { receiver, inbox, source } = opened;

  await source.send(source.seal(oneSample, randomBytes(32)));
  await pastAll(opened);

  t.deepEqual(receiver.refused, new Map([["forged", 1]]));
  t.is(inbox.heard.length, 1);
});

test("case 84: a datagram of each length from 0 to 100, of random bytes and of a genuine one's first, is refused", async (t) => {
  const opened = await openedAt(t);
  const { receiver, inbox, source } = opened;
  const genuine = source.seal(oneSample);

  for (let length = 0; length <= 100; length += 1) {
    await source.send(randomBytes(length));
    await source.send(genuine.subarray(0, length));
  }
  await pastAll(opened);

  t.is(receiver.refused?.get("malformed"), 101 + 60);
  t.is(receiver.refused?.get("forged"), 41);
  t.is(inbox.heard.length, 1);
});

test("case 84: a pickle that would create a file is refused, and makes none", async (t) => {
  const opened = await openedAt(t);
  const { receiver, source } = opened;
  const created = join(temporaryDirectory(t), "created");
  // What Parsl's UDP receiver would load: open(created, "w").
  const pickle = Buffer.from(`cbuiltins\nopen\n(V${created}\nVw\ntR.`);

  await source.send(pickle);
  await source.send(Buffer.concat([randomBytes(64), pickle]));
  await pastAll(opened);

  t.is(receiver.refused?.get("malformed"), 2);
  t.false(existsSync(created));
});

test("case 84: a pickle under the run's key is bytes like any other, and no envelope", async (t) => {
  const opened = await openedAt(t);
  const { receiver, inbox, source } = opened;
  inbox.refusal = new CollectorError("invalid-envelope", "no envelope");

  await source.send(source.seal(Buffer.from("cbuiltins\nopen\n(V/tmp/x\nVw\ntR.")));
  await waitUntil("it is refused", () => receiver.refused?.get("invalid") === 1);

  t.deepEqual(inbox.heard, []);
});

test("a datagram that comes again is refused as replayed", async (t) => {
  const opened = await openedAt(t);
  const { receiver, inbox, source } = opened;
  const datagram = source.seal(oneSample);

  for (let time = 0; time < 3; time += 1) await source.send(datagram);
  await pastAll(opened);

  t.deepEqual(receiver.refused, new Map([["replayed", 2]]));
  t.is(inbox.heard.length, 2);
});

test("without room messages are refused and counted, and a closing note is taken all the same", async (t) => {
  const opened = await openedAt(t);
  const { receiver, inbox, source } = opened;
  inbox.room = Promise.resolve();

  await source.send(source.seal(oneSample));
  await source.send(source.seal(envelopeOf([sample(2)], { lastSequence: 2 })));
  await source.send(source.seal(envelopeOf([], { lastSequence: 2 })));
  await waitUntil("the note is there", () => inbox.notes === 1);
  inbox.room = undefined;
  await pastAll(opened);

  t.deepEqual(receiver.refused, new Map([["no room", 2]]));
  t.is(inbox.heard.length, 2);
});

test("a flood of forged datagrams is told once, and counted whole", async (t) => {
  const opened = await openedAt(t);
  const { receiver, source, lines } = opened;

  for (let n = 0; n < 1_000; n += 1) await source.send(randomBytes(100));
  await pastAll(opened);

  t.is(receiver.refused?.get("malformed"), 1_000);
  t.is(lines.filter(({ reason }) => reason === "malformed").length, 1);
  t.like(lines[0], { msg: "datagram refused", count: 1, radio: "udp" });
  t.regex(String(lines[0]?.["hint"]), /keep what comes from there away from this port/);
});

for (const key of [undefined, new Uint8Array()]) {
  test(`a receiver with ${key === undefined ? "no" : "an empty"} key is not opened, and says how to give one`, async (t) => {
    const { logger } = recordingLogger();

    const error = await t.throwsAsync(openUdpReceiver("127.0.0.1:0", new EnvelopeInbox(), { logger, key }));

    t.like(error, { code: "invalid-argument" });
    t.regex(error.message, /^listen by udp on 127\.0\.0\.1:0: .*--key-file/);
  });
}

test("an address that is taken, that is not here, or that is none is refused with its cure", async (t) => {
  const { receiver } = await openedAt(t);
  const { logger } = recordingLogger();
  const open = (address: string) => openUdpReceiver(address, new EnvelopeInbox(), { logger, key: runKey });

  await t.throwsAsync(open(receiver.address), { message: /in use by another program; name another port/ });
  await t.throwsAsync(open("192.0.2.1:0"), { message: /name an address of this machine/ });
  await t.throwsAsync(open("127.0.0.1"), { message: /expected host:port, as 127\.0\.0\.1:7000/ });
  await t.throwsAsync(open("127.0.0.1:65536"), { message: /expected host:port/ });
});

const limitPath = "/proc/sys/net/core/rmem_max";
(existsSync(limitPath) ? test : test.skip)(
  "a receive buffer that is smaller than asked for is told with the command that raises it (skipped where /proc does not say the limit)",
  async (t) => {
    const { logger, lines } = recordingLogger();
    const limit = Number(readFileSync(limitPath, "utf8"));
    const openWith = async (receiveBufferBytes: number) => {
      const options = { logger, key: runKey, receiveBufferBytes };
      const receiver = await openUdpReceiver("127.0.0.1:0", new EnvelopeInbox(), options);
      await receiver[Symbol.asyncDispose]();
    };

    await openWith(limit);
    t.deepEqual(lines, []);

    await openWith(2 * limit);
    t.like(lines[0], { grantedBytes: limit, wantedBytes: 2 * limit });
    t.regex(String(lines[0]?.["msg"]), new RegExp(`sysctl -w net.core.rmem_max=${String(2 * limit)}`));
  },
);

test("a receiver that is disposed takes what was sent before, and waits until it is committed", async (t) => {
  const { receiver, inbox, source } = await openedAt(t);
  const committed = Promise.withResolvers<void>();
  inbox.commit = committed.promise;
  for (let n = 1; n <= 50; n += 1) await source.send(source.seal(envelopeOf([sample(n)], { first: n })));

  let isDisposed = false;
  const disposal = receiver[Symbol.asyncDispose]().then(() => (isDisposed = true));
  const port = Number(receiver.address.split(":")[1]);
  await waitUntil("the port is free", () => isFree(port));
  t.is(inbox.heard.length, 50);
  t.false(isDisposed);

  committed.resolve();
  await disposal;
  t.true(isDisposed);
});

async function isFree(port: number): Promise<boolean> {
  const socket = createSocket("udp4").bind(port, "127.0.0.1");
  try {
    await once(socket, "listening");
    return true;
  } catch {
    return false;
  } finally {
    socket.close();
  }
}

test("errors of the socket between datagrams are told and borne; a hundred in succession are its end", async (t) => {
  const { logger, lines } = recordingLogger();
  const inbox = new EnvelopeInbox();
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  const address = `127.0.0.1:${String(socket.address().port)}`;
  const receiver = new UdpReceiver(socket, address, inbox, createSecretKey(runKey), logger);
  t.teardown(() => receiver[Symbol.asyncDispose]());
  const source = DatagramSource.open(t, address);
  let failure: CollectorError | undefined;
  void receiver.failed.then((error) => (failure = error));
  const fail = (times: number): void => {
    for (let n = 0; n < times; n += 1) socket.emit("error", new Error("recvmsg ENOMEM"));
  };

  fail(99);
  await source.send(source.seal(oneSample));
  await waitUntil("the datagram is there", () => inbox.heard.length === 1);
  fail(99);
  await Promise.resolve();
  t.is(failure, undefined);
  t.is(lines.filter(({ msg }) => msg === "reading datagrams failed").length, 1);

  fail(1);
  await receiver.failed;
  t.is(failure?.message, `listen by udp on ${address}: recvmsg ENOMEM`);
});
