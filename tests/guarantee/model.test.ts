/** Random senders, a hostile network and crashes at every step, against what the user was promised.
 *
 *  The seed is printed always. A failure names the seed and the path to its case, which repeat it; repeated, the case
 *  is also made smaller, which may take a minute:
 *      PARSL_COLLECTOR_MODEL_SEED=123 PARSL_COLLECTOR_MODEL_PATH=45:1:0 npm run test:model
 *  More runs than by default: npm run test:model -- --runs 100000 */
import { deepStrictEqual } from "node:assert/strict";
import { copyFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

import test from "ava";
import Database from "better-sqlite3";
import fc from "fast-check";

import type { FaultPoint } from "../../src/base/fault-points.js";
import { windowLimits } from "../../src/client/window.js";
import type { Message } from "../../src/client/message.js";
import * as build from "../support/builders.js";
import { diceOf } from "../support/dice.js";
import { envelopeOf } from "../support/encoded.js";
import { messageOnFewKeys, tablesOf } from "../support/few-keys.js";
import { memoryDirectory } from "../support/temporary-directory.js";
import { acknowledgementsOf, openWriter } from "../support/writer.js";
import { host, World } from "./world.js";

/** As many as whoever runs it asks for; without a word, those of a test suite, at 28 ms of CPU each. */
const toldRuns = process.env["PARSL_COLLECTOR_MODEL_RUNS"];
const runs = Number(toldRuns ?? 500);
/** Longest that the runs of a whole test suite go on, in ms: a machine with other work makes fewer, and says how
 *  many. Whoever asks for a number of runs gets them all. */
const mostMs = 60_000;
const seed = Number(process.env["PARSL_COLLECTOR_MODEL_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const path = process.env["PARSL_COLLECTOR_MODEL_PATH"];

type Step =
  | { readonly do: "send"; readonly sender: number; readonly messages: readonly Message[] }
  | { readonly do: "deliver"; readonly count: number; readonly again: boolean }
  | { readonly do: "answer"; readonly count: number }
  | { readonly do: "commit" | "stray" | "advance" | "inherit" }
  | { readonly do: "cut" | "close" | "burst" | "break disk"; readonly sender: number }
  | { readonly do: "crash collector"; readonly point: FaultPoint | "now" }
  | { readonly do: "crash sender"; readonly sender: number; readonly then: "resend" | "inherit" | "nothing" }
  | { readonly do: "crash a sender"; readonly point: FaultPoint };

/** Year 33658: no table can hold it, and it is kept as rejected. */
const tooLate = { seconds: 10n ** 12n, nanos: 0 };
const unstorable = build.taskInfo({ timestamp: tooLate });

/** More than one envelope holds, so that several are on their way. */
const burst = Array.from({ length: windowLimits.messages + 1 }, () => build.sample(0));

const sender = fc.nat({ max: 2 });
const message = fc.oneof(
  { weight: 12, arbitrary: messageOnFewKeys },
  { weight: 1, arbitrary: fc.constant(unstorable) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      sender,
      messages: fc.array(message, { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      do: fc.constant("deliver" as const),
      count: fc.integer({ min: 1, max: 4 }),
      again: fc.boolean(),
    }),
  },
  { weight: 8, arbitrary: fc.constant({ do: "commit" as const }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("answer" as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 4, arbitrary: fc.constant({ do: "advance" as const }) },
  { weight: 2, arbitrary: fc.constant({ do: "stray" as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut" as const), sender }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom("close", "burst", "break disk"), sender }) },
  { weight: 1, arbitrary: fc.constant({ do: "inherit" as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("crash a sender" as const),
      point: fc.constantFrom<FaultPoint>(
        "spool: written",
        "spool: segment rewritten",
        "spool: segment acknowledged",
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("crash collector" as const),
      point: fc.constantFrom<FaultPoint | "now">(
        "now",
        "writer: transaction begun",
        "writer: rows written",
        "writer: ledger written",
        "writer: committed",
        "batcher: before acknowledgement",
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("crash sender" as const),
      sender,
      then: fc.constantFrom("resend" as const, "inherit" as const, "nothing" as const),
    }),
  },
);

async function take(world: World, step: Step): Promise<void> {
  switch (step.do) {
    case "send":
      world.send(step.sender, step.messages);
      break;
    case "deliver":
      world.deliver(step.count, step.again);
      break;
    case "answer":
      world.answer(step.count);
      break;
    case "commit":
      world.commit();
      break;
    case "stray":
      world.stray();
      break;
    case "advance":
      world.advance();
      break;
    case "cut":
      world.cut(step.sender);
      break;
    case "close":
      world.end(step.sender);
      break;
    case "burst":
      world.send(step.sender, burst);
      break;
    case "break disk":
      world.breakDisk(step.sender);
      break;
    case "inherit":
      world.inherit();
      break;
    case "crash a sender":
      world.armSender(step.point);
      break;
    case "crash collector":
      world.crashCollector(step.point);
      break;
    case "crash sender":
      world.crashSender(step.sender, step.then);
      break;
  }
  await world.settle();
}

/** What the ledger must say of each sender that was heard of. */
function truthOf(world: World): unknown[] {
  return world.senders.flatMap(({ client, messages }) => {
    const heard = world.stored.get(client.senderId);
    if (heard === undefined) return [];
    const told = world.told.get(client.senderId) ?? new Map<number, string>();
    const closed = world.closed.has(client.senderId);
    const last = closed ? messages.length : Math.max(0, ...told.keys(), ...heard);
    const sequences = Array.from({ length: last }, (_, index) => index + 1);
    const lost = sequences.filter((one) => !heard.has(one) && told.has(one));
    const kinds = [...new Set(lost.map((one) => told.get(one) ?? ""))].sort();
    const rejected = [...heard].filter((one) => messages[one - 1] === unstorable).length;
    return {
      ...{ senderId: client.senderId, lastSequence: last, closed, rejected },
      stored: heard.size - rejected,
      repeated: world.repeated.get(client.senderId) ?? 0,
      lost: kinds.map((kind) => [kind, lost.filter((one) => told.get(one) === kind).length]),
      missing: sequences.filter((one) => !heard.has(one) && !told.has(one)),
    };
  });
}

function ledgerOf(world: World): unknown[] {
  const order = world.senders.map(({ client }) => client.senderId);
  return [...world.status().senders]
    .sort((a, b) => order.indexOf(a.senderId) - order.indexOf(b.senderId))
    .map(({ senderId, lastSequence, closed, counts, lost, missing }) => ({
      ...{ senderId, lastSequence: Number(lastSequence), closed },
      rejected: Number(counts?.rejected),
      stored: Number(counts?.stored),
      repeated: Number(counts?.repeated),
      lost: lost.map(({ kind, count }) => [kind, Number(count)]).sort(),
      missing: missing.flatMap(({ first, last }) =>
        Array.from({ length: Number(last - first) + 1 }, (_, index) => Number(first) + index),
      ),
    }));
}

/** Sender and sequence of each row of collector_rejected, and what should be there. */
function rejectedIn(file: string): string[] {
  const db = new Database(file, { readonly: true });
  const rows = db
    .prepare("SELECT sender_id || ' ' || sequence FROM collector_rejected")
    .pluck()
    .all() as string[];
  db.close();
  return rows.sort();
}

function rejectedTruth(world: World): string[] {
  return world.senders
    .flatMap(({ client, messages }) =>
      [...(world.stored.get(client.senderId) ?? [])]
        .filter((one) => messages[one - 1] === unstorable)
        .map((one) => `${client.senderId} ${String(one)}`),
    )
    .sort();
}

/** Removes every row; the writer notices that another changed its file, and forgets what it remembers. */
function emptyingOf(db: Database.Database): () => void {
  const tables = db
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    .pluck()
    .all() as string[];
  const deletions = tables.map((table) => db.prepare(`DELETE FROM "${table}"`));
  return db.transaction(() => {
    for (const deletion of deletions) deletion.run();
  });
}

test("what was acknowledged is stored once, whatever dies, repeats, comes late or out of order", async (t) => {
  const folder = memoryDirectory(t);
  const prepared = join(folder, "prepared");
  openWriter(prepared).close();
  let files = 0;
  let made = 0;
  const newPath = (): string => join(folder, `${String((files += 1))}.db`);
  const newFile = (): string => {
    const file = newPath();
    copyFileSync(prepared, file);
    return file;
  };
  // One file for all runs, emptied after each: opening one takes as long as the rest of a run.
  const inOrder = join(folder, "in-order");
  copyFileSync(prepared, inOrder);
  const reference = openWriter(inOrder);
  const emptying = new Database(inOrder);
  emptying.pragma("foreign_keys = OFF"); // as in the file of a collector
  t.teardown(() => {
    emptying.close();
    reference.close();
  });
  const emptyReference = emptyingOf(emptying);
  let crashes = 0;
  console.log(`PARSL_COLLECTOR_MODEL_SEED=${String(seed)}`);

  await t.notThrowsAsync(
    fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 10, maxLength: 60, size: "max" }),
        fc.integer(),
        async (steps, diceSeed) => {
          made += 1;
          const world = new World(newFile(), newPath, diceOf(diceSeed));
          try {
            for (const one of steps) await take(world, one);
            await world.drain();
            world.mustHaveKept();
            const ledger = ledgerOf(world);
            world.close();
            const truth = truthOf(world);
            const stored = world.senders.flatMap(({ client, messages }) =>
              messages.filter((_, index) => world.stored.get(client.senderId)?.has(index + 1)),
            );
            acknowledgementsOf(reference, [envelopeOf(stored, { runId: "run-a", hostname: host })]);

            deepStrictEqual(ledger, truth);
            deepStrictEqual(rejectedIn(world.path), rejectedTruth(world));
            deepStrictEqual(tablesOf(world.path), tablesOf(inOrder));
          } finally {
            crashes += world.crashes;
            world.close();
            emptyReference();
            for (const name of readdirSync(folder)) if (/^\d/.test(name)) rmSync(join(folder, name));
          }
        },
      ),
      {
        numRuns: runs,
        ...(toldRuns === undefined ? { interruptAfterTimeLimit: mostMs } : {}),
        seed,
        includeErrorInReport: true,
        endOnFailure: path === undefined,
        ...(path === undefined ? {} : { path }),
      },
    ),
  );
  t.true(made >= 100, `only ${String(made)} runs in ${String(mostMs)} ms`);
  t.log(`${String(made)} runs, ${String(crashes)} crashes of the collector, seed ${String(seed)}`);
});
