import { connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";

import { status } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";

import { sample } from "../support/builders.js";
import { envelopeOf, lengthDelimited, newSenderId } from "../support/encoded.js";
import {
  callHeaders,
  endHeaders,
  frameTypes,
  header,
  hpackInteger,
  http2Frame,
  RawHttp2,
  settingIds,
  settings,
  uint32,
} from "../support/http2-frames.js";
import { memoryMib } from "../support/process.js";
import { frame, http2Preface, post } from "../support/raw-connection.js";
import { sharedCollector } from "../support/shared-collector.js";
import { within } from "../support/wait.js";

/** What an attacker can say who reaches the port, and speaks HTTP/2 as no library does. While he does, and after it,
 *  another client is served, and the collector's memory stays what it is. */

const shared = sharedCollector();

const streamHeaders = callHeaders("StreamMessages");

/** A stream's number: the odd ones are a client's. */
const streamId = (n: number): number => 2 * n + 1;

/** What the other side takes before it says that it takes more, of a connection and of a stream. */
const firstWindowBytes = 65_535;

/** `count` of them in one write. */
function frames(count: number, frameOf: (n: number) => Uint8Array): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, n) => frameOf(n)));
}

/** Runs an attack while a good client sends one envelope after the other, each of which must be acknowledged. */
async function withGoodClient(
  t: ExecutionContext,
  attack: (address: string) => Promise<unknown>,
  mostGrownMib = 200, // garbage that is not collected yet; the attacks would take gigabytes
): Promise<void> {
  const { collector, service } = shared();
  const stream = service.stream();
  const senderId = newSenderId();
  let sent = 0;
  const send = async (): Promise<void> => {
    sent += 1;
    await stream.write(envelopeOf([sample(sent)], { senderId, first: sent }));
    await within("an acknowledgement", stream.acknowledged(sent));
  };
  await send();
  const before = memoryMib(collector.pid, "VmRSS");

  const attacked = attack(collector.address).then(() => "over");
  do await send();
  while ((await Promise.race([attacked, Promise.resolve("goes on")])) !== "over");
  await send();

  const grown = memoryMib(collector.pid, "VmRSS") - before;
  t.true(grown < mostGrownMib, `memory grew by ${grown.toFixed(0)} MiB`);
  t.is((await stream.end()).code, status.OK);
}

interface Flood {
  /** CVE numbers are those of servers that fell. */
  readonly name: string;
  /** Before the flood. */
  readonly first?: Uint8Array;
  readonly flood: (n: number) => Uint8Array;
  /** Whether the attacker reads what he gets. */
  readonly isRead?: boolean;
}

const openStream = http2Frame(frameTypes.headers, endHeaders, 1, streamHeaders);

const deadly: readonly Flood[] = [
  {
    name: "calls that are reset at once (CVE-2023-44487)",
    flood: (n) =>
      frames(100, (k) => {
        const id = streamId(100 * n + k);
        return Buffer.concat([
          http2Frame(frameTypes.headers, endHeaders, id, streamHeaders),
          http2Frame(frameTypes.rstStream, 0, id, uint32(constants.NGHTTP2_CANCEL)),
        ]);
      }),
  },
  {
    name: "calls that make the collector reset them (CVE-2025-8671)",
    flood: (n) =>
      frames(100, (k) => {
        const id = streamId(100 * n + k);
        return Buffer.concat([
          http2Frame(frameTypes.headers, endHeaders, id, streamHeaders),
          http2Frame(frameTypes.windowUpdate, 0, id, uint32(0)),
        ]);
      }),
  },
  {
    name: "headers without end (CVE-2024-27316)",
    first: http2Frame(frameTypes.headers, 0, 1, streamHeaders),
    flood: (n) =>
      frames(100, (k) =>
        http2Frame(frameTypes.continuation, 0, 1, header(`x-${String(100 * n + k)}`, "x".repeat(100))),
      ),
  },
  { name: "settings (CVE-2019-9515)", flood: () => frames(1_000, () => settings()), isRead: false },
  {
    name: "pings (CVE-2019-9512)",
    flood: () => frames(1_000, () => http2Frame(frameTypes.ping, 0, 0, Buffer.alloc(8))),
    isRead: false,
  },
  {
    name: "empty data frames (CVE-2019-9518)",
    first: openStream,
    flood: () => frames(1_000, () => http2Frame(frameTypes.data, 0, 1, new Uint8Array())),
  },
  {
    name: "priorities (CVE-2019-9513)",
    flood: () =>
      frames(1_000, (k) =>
        http2Frame(frameTypes.priority, 0, streamId(k), Buffer.concat([uint32(0), Uint8Array.of(1)])),
      ),
  },
  {
    name: "frames of no known type",
    flood: () => frames(1_000, () => http2Frame(0xbb, 0, 0, Buffer.alloc(10))),
  },
  {
    name: "a window beyond its bound",
    flood: () => frames(2, () => http2Frame(frameTypes.windowUpdate, 0, 0, uint32(0x7fff_ffff))),
  },
  {
    name: "more open calls than a connection may have",
    flood: (n) =>
      frames(100, (k) => http2Frame(frameTypes.headers, endHeaders, streamId(100 * n + k), streamHeaders)),
  },
];

for (const { name, first, flood, isRead = true } of deadly) {
  test.serial(`a flood of ${name} ends its own connection and harms no other`, async (t) => {
    await withGoodClient(t, async (address) => {
      const attacker = await RawHttp2.connect(t, address);
      if (!isRead) attacker.stopReading();
      if (first !== undefined) await attacker.write(first);
      for (let n = 0; n < 1_000 && (await attacker.write(flood(n))); n += 1);
      t.true(attacker.isClosed);
    });
  });
}

/** A header of 3,900 bytes that is put into the table of HPACK, and named 12,000 times by one byte each: 46 MB in a
 *  request of 16 kB. */
const tableEntry = Buffer.concat([
  Uint8Array.of(0x40, 1, 0x78),
  hpackInteger(3_900, 7),
  Buffer.alloc(3_900, "x"),
]);
const nameIt = Buffer.alloc(12_000, 0x80 | 62);

const harmless: readonly (Flood & { readonly times: number })[] = [
  {
    name: "small windows",
    first: openStream,
    flood: () => frames(1_000, () => http2Frame(frameTypes.windowUpdate, 0, 1, uint32(1))),
    times: 100,
  },
  {
    name: "headers that unpack to megabytes",
    first: http2Frame(frameTypes.headers, endHeaders, 1, Buffer.concat([streamHeaders, tableEntry])),
    flood: (n) =>
      http2Frame(frameTypes.headers, endHeaders, streamId(n + 1), Buffer.concat([streamHeaders, nameIt])),
    times: 100,
  },
];

for (const { name, first, flood, times } of harmless) {
  test.serial(`a flood of ${name} costs the collector nothing`, async (t) => {
    await withGoodClient(t, async (address) => {
      const attacker = await RawHttp2.connect(t, address);
      if (first !== undefined) await attacker.write(first);
      for (let n = 0; n < times; n += 1) await attacker.write(flood(n));
    });
  });
}

test.serial("a client that never reads its answers is read no further", async (t) => {
  const noWindow = Buffer.concat([
    Buffer.from(http2Preface),
    settings([[settingIds.initialWindowSize, 0]]),
    openStream,
  ]);
  const senderId = newSenderId();
  /** Envelopes with nothing but their sender, which are answered with as much. */
  const envelope = frame(0, lengthDelimited(1, envelopeOf([], { senderId })));
  const perWrite = Math.floor(16_384 / envelope.length);
  const data = http2Frame(
    frameTypes.data,
    0,
    1,
    frames(perWrite, () => envelope),
  );

  await withGoodClient(t, async (address) => {
    const attacker = await RawHttp2.connect(t, address, noWindow);
    let sentBytes = 0;
    // Until its requests are taken no more for as long as 50 questions and answers take.
    for (let still = 0; still < 50;) {
      if (sentBytes + data.length > firstWindowBytes + attacker.windowBytes) {
        still += 1;
        await shared().service.status();
      } else {
        still = 0;
        sentBytes += data.length;
        await attacker.write(data);
      }
    }
    t.log(`${String(Math.floor(sentBytes / envelope.length))} envelopes were read`);
    t.true(sentBytes < 4 * 1024 * 1024);
  });
});

test.serial("requests that never become whole take no more memory than one address may have", async (t) => {
  const calls = 10;
  const chunk = Buffer.alloc(1024 * 1024);
  const mostBytes = 64 * 1024 * 1024; // of one request

  await withGoodClient(
    t,
    async (address) => {
      // Node's own client would refuse the answers, for what it has still to send.
      const session = connectHttp2(`http://${address}`, {
        maxSessionMemory: 1_000,
        createConnection: ({ hostname, port }) =>
          connect({ host: hostname, port: Number(port), localAddress: "127.0.0.2" }),
      });
      session.on("error", () => undefined);
      const codes = await Promise.all(
        Array.from({ length: calls }, async () => {
          const request = session.request({
            ":method": "POST",
            ":path": "/parsl_collector.v1.CollectorService/SendMessages",
            "content-type": "application/grpc",
            te: "trailers",
          });
          let code: number | undefined;
          request.on("response", (headers) => (code = Number(headers["grpc-status"])));
          request.on("error", () => undefined);
          request.resume();
          const ended = new Promise((resolve) => request.once("close", resolve));
          request.write(frame(0, new Uint8Array(), mostBytes));
          for (let sent = chunk.length; sent < mostBytes && !request.closed; sent += chunk.length) {
            await Promise.race([new Promise((resolve) => request.write(chunk, resolve)), ended]);
          }
          return code;
        }),
      );
      session.destroy();
      const refused = codes.filter((code) => code === status.RESOURCE_EXHAUSTED).length;
      t.true(refused >= calls - 3, `${String(refused)} of ${String(calls)} were refused`);
    },
    300,
  );
});

test.serial("a gzip that unpacks to 10 GiB is refused, and not unpacked", async (t) => {
  // As gzip has it, one after the other is one.
  const part = gzipSync(Buffer.alloc(64 * 1024 * 1024));
  const bomb = Buffer.concat(Array.from({ length: 160 }, () => part));

  await withGoodClient(t, async (address) => {
    const codes = await Promise.all(
      Array.from({ length: 10 }, () => post(address, frame(1, bomb), { "grpc-encoding": "gzip" })),
    );
    t.deepEqual(new Set(codes), new Set([status.UNIMPLEMENTED]));
  });
});
