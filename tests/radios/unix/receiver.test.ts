import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { join } from "node:path";

import test, { type ExecutionContext } from "ava";
import { pino } from "pino";

import { CollectorError } from "../../../src/base/errors.js";
import { Acknowledgement } from "../../../src/model/envelope.js";
import { frameKinds, frameOf, FrameReader, type Frame } from "../../../src/radios/unix/frames.js";
import { openUnixReceiver } from "../../../src/radios/unix/receiver.js";
import { openUnixSender } from "../../../src/radios/unix/sender.js";
import type { RadioReceiver } from "../../../src/radios/radio.js";
import { sample } from "../../support/builders.js";
import { envelopeOf } from "../../support/encoded.js";
import { EnvelopeInbox } from "../../support/envelope-inbox.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { within } from "../../support/wait.js";

const logger = pino({ level: "silent" });
const senderId = "a".repeat(32);

async function open(
  t: ExecutionContext,
  path = join(temporaryDirectory(t), "socket"),
): Promise<{ receiver: RadioReceiver; inbox: EnvelopeInbox; path: string }> {
  const inbox = new EnvelopeInbox();
  const receiver = await openUnixReceiver(path, inbox, { logger });
  t.teardown(() => receiver[Symbol.asyncDispose]());
  return { receiver, inbox, path };
}

async function connectTo(t: ExecutionContext, path: string): Promise<Socket> {
  const socket = createConnection({ path });
  t.teardown(() => socket.destroy());
  await within("a connection", once(socket, "connect"));
  return socket;
}

/** All that the other side says until it ends. */
async function framesUntilEnd(socket: Socket): Promise<Frame[]> {
  const reader = new FrameReader();
  const frames: Frame[] = [];
  socket.on("data", (chunk: Buffer) => frames.push(...reader.take(chunk)));
  await within("the end of the connection", once(socket, "close"));
  return frames;
}

function outgoing(first: number, count: number) {
  const messages = Array.from({ length: count }, (_, n) => sample(first + n));
  return { bytes: envelopeOf(messages, { senderId, first }), senderId, firstSequence: first, count };
}

test("the socket is this user's alone, and gone when the receiver is", async (t) => {
  const { receiver, path } = await open(t);

  t.is(statSync(path).mode & 0o777, 0o600);
  await receiver[Symbol.asyncDispose]();
  t.false(existsSync(path));
});

test("a socket that a dead process left is replaced; one that is in use, or no socket, is not", async (t) => {
  const { path } = await open(t);
  await t.throwsAsync(openUnixReceiver(path, new EnvelopeInbox(), { logger }), {
    message: `listen on socket ${path}: another process listens there; choose another path`,
  });

  const left = join(temporaryDirectory(t), "left");
  const program = `require("node:net").createServer().listen(${JSON.stringify(left)}, () => console.log("listens"))`;
  const dead = spawn(process.execPath, ["--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
  t.teardown(() => dead.kill("SIGKILL"));
  await within("a listening process", once(dead.stdout, "data"));
  dead.kill("SIGKILL");
  await within("its end", once(dead, "close"));
  t.true(existsSync(left));
  await using sender = openUnixSender((await open(t, left)).path);
  t.is((await sender.send(outgoing(1, 1))).delivery, "stored");

  const file = join(temporaryDirectory(t), "file");
  writeFileSync(file, "");
  await t.throwsAsync(openUnixReceiver(file, new EnvelopeInbox(), { logger }), {
    message: /something that is no socket is there; remove it, or choose another path/,
  });

  const long = join(temporaryDirectory(t), "x".repeat(100));
  await t.throwsAsync(openUnixReceiver(long, new EnvelopeInbox(), { logger }), {
    message: /its path has more than 90 bytes; choose a shorter one/,
  });
});

test("bytes cut anywhere make the same frames", (t) => {
  const payloads = ["", "a", "b".repeat(300)].map((text) => Buffer.from(text));
  const whole = Buffer.concat(payloads.flatMap((payload) => [...frameOf(1, payload)]));

  for (const size of [1, 2, 3, 7, 100, whole.length]) {
    const reader = new FrameReader();
    const frames: Frame[] = [];
    for (let from = 0; from < whole.length; from += size) {
      frames.push(...reader.take(whole.subarray(from, from + size)));
    }
    t.deepEqual(
      frames.map(({ payload }) => payload.toString()),
      payloads.map(String),
    );
  }
});

test("a length that no frame has ends the connection with the reason, and harms no other", async (t) => {
  const { inbox, path } = await open(t);
  const socket = await connectTo(t, path);
  socket.write(Buffer.from([255, 255, 255, 255, 1]));

  const [told] = await framesUntilEnd(socket);

  t.is(told?.kind, frameKinds.refusal);
  t.regex(told?.payload.toString() ?? "", /it claims 4294967295 bytes/);
  await using sender = openUnixSender(path);
  t.is((await sender.send(outgoing(1, 2))).delivery, "stored");
  t.is(inbox.heard.length, 1);
});

test("frames of a later version are passed over, and answers come in order", async (t) => {
  const { path } = await open(t);
  const socket = await connectTo(t, path);
  for (const part of frameOf(99, Buffer.from("of a later version"))) socket.write(part);
  for (const first of [1, 3]) {
    for (const part of frameOf(frameKinds.envelope, outgoing(first, 2).bytes)) socket.write(part);
  }
  socket.end();

  const frames = await framesUntilEnd(socket);

  t.deepEqual(
    frames.map(({ payload }) => Acknowledgement.decode(payload).committed?.first),
    [1n, 3n],
  );
});

test("a sender finds the receiver again after it was away", async (t) => {
  const first = await open(t);
  await using sender = openUnixSender(first.path);
  await sender.send(outgoing(1, 1));
  await first.receiver[Symbol.asyncDispose]();

  await t.throwsAsync(sender.send(outgoing(2, 1)), {
    instanceOf: CollectorError,
    message: /send to socket /,
  });
  const second = await open(t, first.path);
  t.is((await sender.send(outgoing(2, 1))).delivery, "stored");
  t.is(second.inbox.heard.length, 1);
});
