import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { createServer, type AddressInfo } from "node:net";

import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { credentials, makeGenericClientConstructor, status, type ServiceError } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";

import { CollectorServiceService } from "../../src/gen/parsl_collector/v1/collector_service.js";
import { sample } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { diceOf } from "../support/dice.js";
import { envelopeOf, lengthDelimited, newSenderId } from "../support/encoded.js";
import { memoryMib } from "../support/process.js";
import { frame, throwAt } from "../support/raw-connection.js";
import { Service } from "../support/service.js";
import { inputs, seed } from "./budget.js";
import { EnvelopeSource } from "./envelopes.js";
import { mutated } from "./mutations.js";

/** Bytes from anybody at the port of a real collector. */

// A request through a port takes as long as dozens of those that are read on the spot.
const requests = Math.ceil(inputs / 50);
const connections = Math.ceil(inputs / 200);
const sideBySide = 20;

/** How a collector may answer: that it has stored what came, or that it never will. */
const allowed = new Set([status.OK, status.INVALID_ARGUMENT]);

const bytesAsTheyAre = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
const RawClient = makeGenericClientConstructor(
  {
    sendMessages: { ...CollectorServiceService.sendMessages, requestSerialize: bytesAsTheyAre },
    getStatus: { ...CollectorServiceService.getStatus, requestSerialize: bytesAsTheyAre },
  },
  "CollectorService",
);
type Method = "sendMessages" | "getStatus";
type RawCall = (request: Uint8Array, callback: (error: ServiceError | null) => void) => void;

/** Calls a method with bytes in place of a request, until the test ends, and says how that ended. */
function rawCalls(
  t: ExecutionContext,
  address: string,
): (method: Method, request: Uint8Array) => Promise<status> {
  const client = new RawClient(address, credentials.createInsecure(), {
    "grpc.enable_retries": 0,
    "grpc.max_send_message_length": -1,
  });
  t.teardown(() => client.close());
  return (method, request) =>
    new Promise((resolve) => {
      (client[method] as RawCall).call(client, request, (error) => resolve(error?.code ?? status.OK));
    });
}

/** What an HTTP/2 client writes when it calls SendMessages with one good envelope. */
async function bytesOfOneCall(): Promise<Buffer> {
  const body = frame(0, lengthDelimited(1, envelopeOf([sample(1)])));
  const written = Promise.withResolvers<Buffer>();
  const server = createServer((socket) => {
    const chunks: Buffer[] = [];
    socket.on("error", () => undefined); // the client goes away, as it should
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      const all = Buffer.concat(chunks);
      if (all.includes(body)) written.resolve(all);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const session = connectHttp2(`http://127.0.0.1:${String((server.address() as AddressInfo).port)}`);
  session.on("error", () => undefined); // the server speaks no HTTP/2
  const call = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: "/parsl_collector.v1.CollectorService/SendMessages",
    "content-type": "application/grpc",
    te: "trailers",
  });
  call.on("error", () => undefined); // the same
  call.end(body);
  const bytes = await written.promise;
  session.destroy();
  server.close();
  return bytes;
}

async function inTurns(count: number, act: () => Promise<unknown>): Promise<void> {
  for (let left = count; left > 0; left -= sideBySide) {
    await Promise.all(Array.from({ length: Math.min(left, sideBySide) }, act));
  }
}

async function assertGoodClientWorks(t: ExecutionContext, address: string): Promise<void> {
  const acknowledgement = await Service.connect(t, address).send([sample(1)], { runId: newSenderId() });
  t.is(acknowledgement.committed?.last, 1n);
  t.deepEqual(acknowledgement.rejections, []);
}

test("requests and connections of any bytes leave a collector that serves, is whole and stops in good order", async (t) => {
  console.log(`PARSL_COLLECTOR_FUZZ_SEED=${String(seed)}`);
  const collector = await startCollector(t);
  const dice = diceOf(seed);
  const source = new EnvelopeSource(seed, dice);
  const call = rawCalls(t, collector.address);
  const oneCall = await bytesOfOneCall();
  await inTurns(sideBySide, () => call("sendMessages", source.next())); // so that it has warmed up
  const before = memoryMib(collector.pid, "VmRSS");

  await inTurns(requests, async () => {
    const request = lengthDelimited(1, source.next());
    const code = await call("sendMessages", dice() < 0.3 ? mutated(request, dice) : request);
    if (!allowed.has(code)) t.fail(`a request was answered with status ${String(code)}`);
  });
  await inTurns(connections, () => call("getStatus", mutated(Buffer.from("0a0572756e2d61", "hex"), dice)));
  await inTurns(connections, () => throwAt(collector.address, mutated(oneCall, dice)));

  await assertGoodClientWorks(t, collector.address);
  const grownMib = memoryMib(collector.pid, "VmRSS") - before;
  t.true(grownMib < 150, `memory grew by ${grownMib.toFixed(0)} MiB`);
  t.is(await collector.stop(), 0);
  const db = openDatabase(t, collector.database);
  t.is(db.value("PRAGMA integrity_check"), "ok");
  const unaccounted = db.rows(
    `SELECT sender_id, stored, rejected, sum(last - first + 1) AS sequences
      FROM collector_sender LEFT JOIN collector_sequence ON sender = id
      GROUP BY id HAVING stored + rejected != coalesce(sequences, 0)`,
  );
  t.deepEqual(unaccounted, []);
  t.log(
    `${String(requests)} requests, ${String(2 * connections)} more, memory grew by ${grownMib.toFixed(0)} MiB`,
  );
});

/** Bytes of one request, in MiB. */
const largeMib = 16;

/** `unit` again and again. */
function full(unit: Uint8Array): Buffer {
  return Buffer.alloc(Math.floor((largeMib * 2 ** 20) / unit.length) * unit.length, unit);
}

function hex(text: string): Buffer {
  return Buffer.from(text, "hex");
}

/** Contents of an envelope that take up the most memory for their size. */
const densest: Readonly<Record<string, () => Uint8Array>> = {
  "empty messages": () => full(hex("3200")),
  "as many empty messages as are allowed": () => Buffer.alloc(2 * 20_000, hex("3200")),
  "unknown fields": () => full(hex("7800")),
  "unknown groups": () => full(hex("7b7c")),
  "losses of one sequence": () => full(hex("42060a0408011001")),
  "closing notes": () => full(hex("3a020801")),
  "a node with tasks of one byte": () => {
    const tasks = new BinaryWriter()
      .tag(16, WireType.LengthDelimited)
      .bytes(full(hex("00")))
      .finish();
    return lengthDelimited(6, lengthDelimited(3, tasks));
  },
  "the name of a run": () => lengthDelimited(3, full(Buffer.from("x"))),
  "the inputs of a task": () => lengthDelimited(6, lengthDelimited(2, full(Buffer.from("x")))),
};

test("a large request of whatever takes up memory is answered, and takes thirty times its size at most", async (t) => {
  const collector = await startCollector(t);
  const call = rawCalls(t, collector.address);
  const good = await call("sendMessages", lengthDelimited(1, envelopeOf([sample(1)])));
  const before = memoryMib(collector.pid, "VmHWM");

  const codes: [string, status][] = [];
  for (const [name, contents] of Object.entries(densest)) {
    const request = lengthDelimited(1, Buffer.concat([envelopeOf([]), contents()]));
    codes.push([name, await call("sendMessages", request)]);
  }

  t.is(good, status.OK);
  for (const [name, code] of codes) t.true(allowed.has(code), `${name}: status ${String(code)}`);
  const grownMib = memoryMib(collector.pid, "VmHWM") - before;
  t.true(grownMib < 30 * largeMib, `memory grew by ${grownMib.toFixed(0)} MiB`);
  await assertGoodClientWorks(t, collector.address);
});
