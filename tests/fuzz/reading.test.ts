import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import test from "ava";
import Database from "better-sqlite3";

import type { Acknowledgement } from "../../src/model/envelope.js";
import { envelopesIn } from "../../src/radios/grpc/request.js";
import { readEnvelope } from "../../src/server/envelope-reader.js";
import type { SqliteWriter } from "../../src/server/sinks/sqlite/writer.js";
import { sample } from "../support/builders.js";
import { diceOf } from "../support/dice.js";
import { envelopeOf, lengthDelimited, newSenderId } from "../support/encoded.js";
import { memoryDirectory } from "../support/temporary-directory.js";
import { acknowledgementsOf, arrivals, openWriter } from "../support/writer.js";
import { budget, inputs, seed } from "./budget.js";
import { EnvelopeSource } from "./envelopes.js";
import { mutated, rolled } from "./mutations.js";

/** Bytes from anybody, on the way that a request takes: out of the request, out of the envelope, into tables. */

const groupsOf = 40;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

function heapBytes(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What the senders were told, to be compared with what is in the file. */
class Told {
  readonly #sequences = new Map<string, Set<number>>();
  readonly #messages = new Map<string, number>();
  readonly #rejected = new Set<string>();

  add({ senderId, committed, rejections }: Acknowledgement): void {
    const sequences = this.#sequences.get(senderId) ?? new Set();
    this.#sequences.set(senderId, sequences);
    if (committed === undefined) return;
    const [first, last] = [Number(committed.first), Number(committed.last)];
    const count = last - first + 1;
    for (let offset = 0; offset < count; offset += 1) sequences.add(first + offset);
    this.#messages.set(senderId, (this.#messages.get(senderId) ?? 0) + count);
    for (const { sequence } of rejections) this.#rejected.add(`${senderId} ${String(sequence)}`);
  }

  /** Of each sender: its sequences, and how many messages it was acknowledged in all. */
  get senders(): [string, number[], number][] {
    return [...this.#sequences]
      .map(([senderId, sequences]): [string, number[], number] => [
        senderId,
        [...sequences].sort((a, b) => a - b),
        this.#messages.get(senderId) ?? 0,
      ])
      .sort(([a], [b]) => (a < b ? -1 : 1));
  }

  get rejected(): string[] {
    return [...this.#rejected].sort();
  }
}

interface SenderRow {
  id: number;
  sender_id: string;
  stored: number;
  rejected: number;
  repeated: number;
}

/** The same of a file, by its own ledger. */
function ledgerOf(db: Database.Database): [string, number[], number][] {
  const intervals = db.prepare<[number], { first: number; last: number }>(
    "SELECT first, last FROM collector_sequence WHERE sender = ? ORDER BY first",
  );
  return db
    .prepare<[], SenderRow>("SELECT * FROM collector_sender")
    .all()
    .map(({ id, sender_id, stored, rejected, repeated }): [string, number[], number] => {
      const sequences = intervals
        .all(id)
        .flatMap(({ first, last }) =>
          Array.from({ length: last - first + 1 }, (_, offset) => first + offset),
        );
      if (stored + rejected !== sequences.length) {
        throw new Error(`${sender_id}: ${String(stored)} stored and ${String(rejected)} rejected`);
      }
      return [sender_id, sequences, stored + rejected + repeated];
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** What the receiver does with a request: the bytes of its envelopes, or why there are none. */
function tryEnvelopesIn(request: Uint8Array): Uint8Array[] | string {
  try {
    return envelopesIn(request, 4_096);
  } catch (cause) {
    return cause instanceof Error ? cause.message : "";
  }
}

function assertGoodMessageIsStored(writer: SqliteWriter): Acknowledgement {
  const [acknowledgement] = acknowledgementsOf(writer, [
    envelopeOf([sample(1)], { senderId: newSenderId(), runId: newSenderId() }),
  ]);
  if (acknowledgement?.committed?.last !== 1n || acknowledgement.rejections.length > 0) {
    throw new Error("a good message was not stored");
  }
  return acknowledgement;
}

test("bytes of any kind are refused with a reason, or each message of theirs is stored or rejected once", (t) => {
  console.log(`PARSL_COLLECTOR_FUZZ_SEED=${String(seed)}`);
  const folder = memoryDirectory(t);
  const file = join(folder, "monitoring.db");
  const writer = openWriter(file);
  const dice = diceOf(seed);
  const source = new EnvelopeSource(seed, dice);
  const told = new Told();
  const before = heapBytes();
  let made = 0;
  let refused = 0;

  for (const goesOn = budget(inputs, 1, 1_000); goesOn(made);) {
    const group: Uint8Array[] = [];
    for (let left = 1 + rolled(dice, groupsOf); left > 0; left -= 1) {
      made += 1;
      const more = dice() < 0.2 ? lengthDelimited(2, source.next()) : new Uint8Array();
      const wrapped = Buffer.concat([more, lengthDelimited(1, source.next())]);
      const read = tryEnvelopesIn(dice() < 0.1 ? mutated(wrapped, dice) : wrapped);
      if (typeof read !== "string") group.push(...read);
      else if (read.length > 0) refused += 1;
      else throw new Error("a request was refused without a reason");
    }
    for (const [index, outcome] of writer.store(arrivals(group)).entries()) {
      const envelope = readEnvelope(group[index] ?? new Uint8Array());
      if ("invalid" in outcome) {
        if (outcome.invalid === "" || !("invalid" in envelope)) throw new Error("refused for no reason");
        refused += 1;
      } else if ("forbidden" in outcome || "exhausted" in outcome) {
        throw new Error("refused for what it does not say");
      } else {
        const { senderId, committed } = outcome.acknowledgement;
        if ("invalid" in envelope || envelope.senderId !== senderId) throw new Error("answered to another");
        t.is(Number(committed?.last ?? 0), envelope.sequences?.last ?? 0);
        told.add(outcome.acknowledgement);
      }
    }
    if (dice() < 0.01) told.add(assertGoodMessageIsStored(writer));
  }
  told.add(assertGoodMessageIsStored(writer));
  const status = writer.status("");
  const grownMib = (heapBytes() - before) / 2 ** 20;
  writer.close();

  const db = new Database(file, { readonly: true });
  t.teardown(() => db.close());
  t.deepEqual(ledgerOf(db), told.senders);
  const rejected = db.prepare("SELECT sender_id || ' ' || sequence FROM collector_rejected").pluck().all();
  t.deepEqual((rejected as string[]).sort(), told.rejected);
  t.is(status.senders.length, told.senders.length);
  t.is(db.pragma("integrity_check", { simple: true }), "ok");
  // The rows and senders that a writer keeps, and what was told.
  t.true(grownMib < 100 + made / 10_000, `memory grew by ${grownMib.toFixed(0)} MiB`);
  t.log(`${String(made)} inputs, ${String(refused)} refused, memory grew by ${grownMib.toFixed(0)} MiB`);
  t.log(`seed ${String(seed)}`);
});
