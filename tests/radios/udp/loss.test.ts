import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import test, { type ExecutionContext } from "ava";
import Database from "better-sqlite3";

import { connect, radios, type Client } from "../../../src/index.js";
import { Envelope } from "../../../src/model/envelope.js";
import { runId, sample, taskInfo } from "../../support/builders.js";
import { startCollector, type RunningCollector } from "../../support/collector.js";
import { openDatabase } from "../../support/database.js";
import { DatagramSource, runKey } from "../../support/datagrams.js";
import { rollDice } from "../../support/dice.js";
import { envelopeOf } from "../../support/encoded.js";
import { runToEnd } from "../../support/run.js";
import { Service } from "../../support/service.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { UdpRelay } from "../../support/udp-relay.js";
import { waitUntil, within } from "../../support/wait.js";

/** Bytes of a datagram before its envelope. */
const headBytes = 60;

interface Listening {
  readonly collector: RunningCollector;
  readonly service: Service;
  /** Where datagrams go. */
  readonly address: string;
}

async function startListening(t: ExecutionContext): Promise<Listening> {
  const keyFile = join(temporaryDirectory(t), "key");
  writeFileSync(keyFile, runKey, { mode: 0o600 });
  const collector = await startCollector(t, { args: ["--radio", "udp=127.0.0.1:0", "--key-file", keyFile] });
  return {
    collector,
    service: Service.connect(t, collector.address),
    address: collector.radios["udp"] ?? "",
  };
}

function connectByUdp(t: ExecutionContext, address: string): Client {
  const client = connect({ radio: radios.get("udp").openSender(address, { key: runKey }), runId });
  t.teardown(() => client.abort());
  return client;
}

async function allClosed(service: Service, count: number) {
  return waitUntil(`${String(count)} senders have closed`, async () => {
    const { senders } = await service.status();
    return senders.length === count && senders.every(({ closed }) => closed) && senders;
  });
}

test("what the ledger misses of each sender is what was dropped on the way, closing notes among it", async (t) => {
  const dice = rollDice(t);
  const { service, address } = await startListening(t);
  const relay = await UdpRelay.start(t, address);
  const lost = new Map<string, number>();
  const notesLost = new Map<string, number>();
  relay.isLost = (datagram) => {
    const { senderId, messages, closingNote } = Envelope.decode(datagram.subarray(headBytes));
    const dropped = notesLost.get(senderId) ?? 0;
    if (closingNote !== undefined) {
      if (dropped === 3) return false; // the fourth arrives
      notesLost.set(senderId, dropped + 1);
      return true;
    }
    if (dice() > 0.2) return false;
    lost.set(senderId, (lost.get(senderId) ?? 0) + messages.length);
    return true;
  };
  const perSender = 3_000;

  const clients = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const client = connectByUdp(t, relay.address);
      for (let n = 0; n < perSender; n += 1) await client.send(sample(n));
      await within("the client's close", client.close());
      return client;
    }),
  );

  const senders = await allClosed(service, clients.length);
  t.true(senders.some(({ counts }) => (counts?.missing ?? 0n) > 0n));
  for (const { senderId, counts, missing } of senders) {
    const expected = BigInt(lost.get(senderId) ?? 0);
    t.like(counts, { stored: BigInt(perSender) - expected, missing: expected, repeated: 0n, lost: 0n });
    t.is(
      missing.reduce((sum, { first, last }) => sum + last - first + 1n, 0n),
      expected,
    );
  }
});

test("case 32: of 50,000 samples by UDP the ledger says how many came and how many are missing", async (t) => {
  const { collector, service, address } = await startListening(t);
  const client = connectByUdp(t, address);
  const samples = 50_000;

  for (let n = 0; n < samples; n += 1) await client.send(sample(n));
  await within("the client's close", client.close());

  const [sender] = await allClosed(service, 1);
  const rows = BigInt(openDatabase(t, collector.database).count("resource"));
  t.log(`${String(rows)} of ${String(samples)} came`);
  t.like(sender, {
    senderId: client.senderId,
    counts: { stored: rows, missing: BigInt(samples) - rows },
    radios: [{ radio: "udp", received: rows }],
  });
});

test("case 84: what comes without the key, or again, is counted and leaves no trace; the next sender is heard", async (t) => {
  const { collector, service, address } = await startListening(t);
  const db = openDatabase(t, collector.database);
  const created = join(temporaryDirectory(t), "created");
  const source = DatagramSource.open(t, address);
  const genuine = source.seal(envelopeOf([]));
  const refusals = async (): Promise<Record<string, bigint>> => {
    const { receivers } = await service.status();
    return receivers.find(({ radio }) => radio === "udp")?.refused ?? {};
  };

  await source.send(Buffer.from("5 byt"));
  await source.send(source.seal(envelopeOf([taskInfo()]), randomBytes(32)));
  await source.send(Buffer.from(`cbuiltins\nopen\n(V${created}\nVw\ntR.`));
  await source.send(randomBytes(200));
  await source.send(genuine);
  await source.send(genuine);
  await source.send(source.seal(Buffer.from("no envelope")));
  await waitUntil("the last one is refused", async () => (await refusals())["invalid"] === 1n);

  t.deepEqual(await refusals(), { malformed: 3n, forged: 1n, replayed: 1n, invalid: 1n });
  t.is(db.count("task"), 0);
  t.false(existsSync(created));
  const client = connectByUdp(t, address);
  await client.send(taskInfo());
  await client.close();
  await waitUntil("the row of the genuine sender is there", () => db.count("task") === 1);
});

test("while the database is locked for long, what finds no room is counted, and the ledger misses it", async (t) => {
  const { collector, service, address } = await startListening(t);
  const client = connectByUdp(t, address);
  const large = 50_000;
  const count = 400; // 20 MB, of which the collector keeps 16 MiB
  const lock = new Database(collector.database);
  t.teardown(() => lock.close());
  const noRoom = async (): Promise<bigint> => {
    const { receivers } = await service.status();
    return receivers.find(({ radio }) => radio === "udp")?.refused["no room"] ?? 0n;
  };

  lock.exec("BEGIN IMMEDIATE");
  for (let n = 0; n < count; n += 1) {
    await client.send(taskInfo({ taskId: n, taskStdout: "x".repeat(large) }));
  }
  await within("the client's close", client.close());
  await waitUntil("there was no room", async () => (await noRoom()) > 0n);
  lock.exec("ROLLBACK");

  const [sender] = await allClosed(service, 1);
  const rows = openDatabase(t, collector.database).count("task");
  const missing = BigInt(count - rows);
  t.like(sender?.counts, { stored: BigInt(rows), missing });
  t.true((await noRoom()) <= missing, "each is missing");
});

test("a collector that is to listen by UDP and has no key does not start, and says what to do", async (t) => {
  const database = join(temporaryDirectory(t), "m.db");

  const { exit, stderr } = await runToEnd(t, [
    "serve",
    ...["--database", database, "--radio", "udp=127.0.0.1:0"],
  ]);

  t.is(exit, 1);
  t.regex(stderr, /listen by udp on 127\.0\.0\.1:0: .*--key-file/);
});
