import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";

import { status } from "@grpc/grpc-js";
import test from "ava";

import { sample } from "../support/builders.js";
import { envelopeOf, lengthDelimited, newSenderId } from "../support/encoded.js";
import { frame, http2Preface, post, throwAt } from "../support/raw-connection.js";
import { newRunId, sharedCollector } from "../support/shared-collector.js";
import { within } from "../support/wait.js";

/** What reaches an open port: scanners, broken proxies, clients with bugs. */

const shared = sharedCollector();

async function assertGoodClientWorks(t: { is(actual: unknown, expected: unknown): void }): Promise<void> {
  const { service, db } = shared();
  const runId = newRunId();
  await service.send([sample(1)], { runId });
  t.is(db.value("SELECT count(*) FROM resource WHERE run_id = ?", runId), 1);
}

test("case 46: random bytes and broken HTTP/2 at the port leave the collector serving", async (t) => {
  const { address } = shared().collector;
  const junk = Array.from({ length: 1_000 }, (_, n) => {
    const bytes = randomBytes(1 + (n % 400));
    if (n % 4 === 0) return bytes;
    if (n % 4 === 1) return Buffer.concat([Buffer.from(http2Preface), bytes]);
    if (n % 4 === 2) return Buffer.from(http2Preface.slice(0, n % http2Preface.length));
    return Buffer.from(`GET /${bytes.toString("hex")} HTTP/1.1\r\nhost: x\r\n\r\n`);
  });

  for (let from = 0; from < junk.length; from += 50) {
    await Promise.all(junk.slice(from, from + 50).map((bytes) => throwAt(address, bytes)));
  }

  await assertGoodClientWorks(t);
});

test("case 46: bad gzip, lengths that lie and unknown encodings are errors of their own call", async (t) => {
  const { address } = shared().collector;
  const gzip = { "grpc-encoding": "gzip" };
  const request = Buffer.concat([Buffer.from([0x0a, 0]), randomBytes(20)]);

  for (let n = 0; n < 125; n += 1) {
    const codes = await Promise.all([
      post(address, frame(1, randomBytes(50)), gzip),
      post(address, frame(1, gzipSync(request).subarray(0, 15)), gzip),
      post(address, frame(1, randomBytes(50)), { "grpc-encoding": "zstd" }),
      post(address, frame(1, randomBytes(50))),
      post(address, frame(0, randomBytes(50), 5_000)),
      post(address, frame(0, randomBytes(50), 2 ** 32 - 1)),
      post(address, frame(0, randomBytes(50))),
      post(address, new Uint8Array()),
    ]);
    for (const code of codes) t.not(code, status.OK);
  }

  await assertGoodClientWorks(t);
});

test("case 44: a client whose stream is silent and that pings far too often is answered, not cut off", async (t) => {
  const session = connectHttp2(`http://${shared().collector.address}`);
  t.teardown(() => session.destroy());
  let cutOff: string | undefined;
  session.on("goaway", (code) => (cutOff = `GOAWAY ${String(code)}`));
  session.on("error", (cause: Error) => (cutOff = cause.message));
  await once(session, "connect");
  const stream = session.request({
    ":method": "POST",
    ":path": "/parsl_collector.v1.CollectorService/StreamMessages",
    "content-type": "application/grpc",
    te: "trailers",
  });
  const send = async (): Promise<void> => {
    stream.write(frame(0, lengthDelimited(1, envelopeOf([sample(1)], { senderId: newSenderId() }))));
    await within("an acknowledgement", once(stream, "data"));
  };
  const ping = promisify((payload: Buffer, answered: (error: Error | null) => void) => {
    session.ping(payload, answered);
  });

  // Nine of them come in 90 s from a client that pings every 10 s.
  await send();
  for (let n = 0; n < 500; n += 1) await within("the answer to a ping", ping(randomBytes(8)));
  await send();

  t.is(cutOff, undefined);
});

test("a request that is larger than the limit is refused and is no end of the collector", async (t) => {
  const { service } = shared();

  const error = await t.throwsAsync(service.sendBytes(new Uint8Array(64 * 1024 * 1024 + 1)));

  t.is((error as unknown as { code: number }).code, status.RESOURCE_EXHAUSTED);
  await assertGoodClientWorks(t);
});

test("a call for one envelope takes the first, and nothing of which nobody would hear", async (t) => {
  const { address } = shared().collector;
  const runId = newRunId();
  const envelope = lengthDelimited(1, envelopeOf([sample(1)], { senderId: newSenderId(), runId, first: 1 }));
  const more = lengthDelimited(2, envelopeOf([sample(2)], { senderId: newSenderId(), runId, first: 1 }));

  const code = await post(address, frame(0, Buffer.concat([envelope, more])));

  t.is(code, status.OK);
  await assertGoodClientWorks(t); // which is stored behind all that came before
  t.is(shared().db.value("SELECT count(*) FROM resource WHERE run_id = ?", runId), 1);
});

test("bytes that are no envelope are refused for good, with the reason", async (t) => {
  const { service } = shared();

  const broken = await t.throwsAsync(service.sendBytes(Uint8Array.of(0xff, 0xff)));
  const nameless = await t.throwsAsync(service.send([sample(1)], { senderId: "" }));

  for (const error of [broken, nameless]) {
    t.is((error as unknown as { code: number }).code, status.INVALID_ARGUMENT);
  }
  t.regex(broken.message, /its bytes are no envelope/);
  t.regex(nameless.message, /sender_id must have 1 to 64 characters/);
});

test("a stream ends at an envelope that is none, and everything else of its sender can still be stored", async (t) => {
  const { service, db } = shared();
  const stream = service.stream();
  const senderId = newSenderId();
  const runId = newRunId();

  await stream.write(envelopeOf([sample(1)], { senderId, runId, first: 1 }));
  await stream.acknowledged(1);
  await stream.write(Uint8Array.of(0xff, 0xff));
  await stream.write(envelopeOf([sample(2)], { senderId, runId, first: 2 }));
  const { code, details } = await stream.ended;

  t.is(code, status.INVALID_ARGUMENT);
  t.regex(details, /its bytes are no envelope/);
  t.is(stream.acknowledgements.length, 1);
  await service.send([sample(2)], { senderId, runId, first: 2 });
  t.is(db.value("SELECT count(*) FROM resource WHERE run_id = ?", runId), 2);
  await assertGoodClientWorks(t);
});

test("a client that goes away with envelopes on their way leaves them stored and the collector serving", async (t) => {
  const { service, collector } = shared();
  const runId = newRunId();
  const session = connectHttp2(`http://${collector.address}`);
  session.on("error", () => undefined);
  const request = session.request({
    ":method": "POST",
    ":path": "/parsl_collector.v1.CollectorService/StreamMessages",
    "content-type": "application/grpc",
    te: "trailers",
  });
  request.on("error", () => undefined);
  const senderId = newSenderId();
  const envelopes = Array.from({ length: 50 }, (_, n) =>
    envelopeOf([sample(n)], { senderId, runId, first: n + 1 }),
  );
  for (const envelope of envelopes) request.write(frame(0, lengthDelimited(1, envelope)));
  await once(request, "data");
  session.destroy();

  // What was read is stored; what was not is the sender's to resend, as here.
  for (const [n, envelope] of envelopes.entries()) {
    t.is((await service.sendBytes(envelope)).committed?.last, BigInt(n + 1));
  }
  t.is((await service.status(runId)).total?.stored, 50n);
});
