import { join } from "node:path";

import Database from "better-sqlite3";
import test from "ava";
import fc, { type GeneratorValue } from "fast-check";

import type { Message } from "../../../../src/client/message.js";
import { columnsOf, parslSchema } from "../../../../src/server/sinks/sqlite/schema.js";
import * as build from "../../../support/builders.js";
import { envelopeOf, newSenderId } from "../../../support/encoded.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { acknowledgementsOf, openWriter } from "../../../support/writer.js";

// Few runs, tasks, tries and times, so that messages meet in one row, and rows under one key, all the time.
const time = fc.constantFrom(build.at(1), build.at(1.000001), build.at(2));
const runId = fc.constantFrom("run-a", "run-a", "run-b");
const taskId = fc.nat({ max: 1 });
const tryId = fc.nat({ max: 2 });
const text = fc.option(fc.constantFrom("", "x", "y"), { nil: undefined });
const total = fc.option(fc.nat({ max: 5 }), { nil: undefined });

const message: fc.Arbitrary<Message> = fc.oneof(
  fc
    .record({ runId, timeBegan: time, workflowName: text, tasksCompletedCount: total })
    .map(build.workflowStart),
  fc
    .record({ runId, timeCompleted: time, tasksFailedCount: total, tasksCompletedCount: total })
    .map(build.workflowEnd),
  fc
    .record({
      ...{ runId, taskId, tryId, timestamp: time, taskInputs: text, taskHashsum: text, taskStdout: text },
      taskStatusName: fc.constantFrom("pending", "launched", "exec_done"),
      taskExecutor: fc.constantFrom("htex", "threads"),
      taskTryTimeLaunched: fc.option(time, { nil: undefined }),
      taskFailCount: fc.nat({ max: 2 }),
      taskFailHistory: text,
      tasksCompletedCount: total,
    })
    .map(build.taskInfo),
  fc
    .record({ runId, taskId, tryId, timestamp: time, hostname: text, blockId: text, firstMsg: fc.boolean() })
    .map((fields) => build.workerTaskInfo({ ...fields, lastMsg: !fields.firstMsg })),
  // Equal keys have equal content here: of two different samples under one key the first one stands.
  fc.record({ runId, taskId, tryId, timestamp: time }).map(build.resourceInfo),
  fc.record({ runId, timestamp: time, uid: fc.constantFrom("a", "b") }).map(build.nodeInfo),
  fc
    .record({ runId, timestamp: time, jobId: text, status: fc.constantFrom("PENDING", "RUNNING") })
    .map(build.blockInfo),
);

/** All rows of Parsl's tables, without the numbers that `node` gives its rows. */
function tablesOf(path: string): Record<string, string[]> {
  const db = new Database(path, { readonly: true });
  try {
    return Object.fromEntries(
      Object.keys(parslSchema).map((table) => {
        const columns = columnsOf(table).filter((column) => column !== "id");
        const rows = db
          .prepare(`SELECT ${columns.join(", ")} FROM "${table}"`)
          .raw()
          .all();
        return [table, rows.map((row) => JSON.stringify(row)).sort()];
      }),
    );
  } finally {
    db.close();
  }
}

/** Stores messages one by one, in their order. */
function storeInOrder(path: string, messages: readonly Message[]): void {
  const writer = openWriter(path);
  acknowledgementsOf(writer, [envelopeOf(messages)]);
  writer.close();
}

/** Stores the same messages as a hostile network brings them: in another order, by several senders, in
 *  envelopes of any size that come late, early and again (cut otherwise), in groups of any size, across a
 *  restart. */
function storeInDisorder(path: string, messages: readonly Message[], random: GeneratorValue): void {
  const pick = (max: number) => random(fc.nat, { max });
  const shuffled = random(fc.shuffledSubarray<Message>, [...messages], {
    minLength: messages.length,
    maxLength: messages.length,
  });
  const envelopes: Uint8Array[] = [];
  const insert = (envelope: Uint8Array) => envelopes.splice(pick(envelopes.length), 0, envelope);
  for (let senders = 1 + pick(2); senders > 0; senders -= 1) {
    const own = shuffled.splice(0, Math.ceil(shuffled.length / senders));
    const senderId = newSenderId();
    const insertRun = (from: number, to: number) =>
      insert(envelopeOf(own.slice(from, to), { senderId, first: from + 1 }));
    for (let from = 0; from < own.length;) {
      const to = from + 1 + pick(4);
      insertRun(from, to);
      from = to;
    }
    for (let repeats = pick(2); repeats > 0 && own.length > 0; repeats -= 1) {
      const from = pick(own.length - 1);
      insertRun(from, from + 1 + pick(own.length - from - 1));
    }
  }
  const restart = pick(envelopes.length);

  for (const part of [envelopes.slice(0, restart), envelopes.slice(restart)]) {
    const writer = openWriter(path);
    while (part.length > 0) acknowledgementsOf(writer, part.splice(0, 1 + pick(3)));
    writer.close();
  }
}

test("the tables are the same in whatever order, by whichever senders and how often messages come", (t) => {
  const folder = temporaryDirectory(t);
  let files = 0;
  const newFile = () => join(folder, `${String((files += 1))}.db`);

  fc.assert(
    fc.property(fc.array(message, { maxLength: 60, size: "max" }), fc.gen(), (messages, random) => {
      const inOrder = newFile();
      const inDisorder = newFile();

      storeInOrder(inOrder, messages);
      storeInDisorder(inDisorder, messages, random);

      t.deepEqual(tablesOf(inDisorder), tablesOf(inOrder));
    }),
    // Shrinking a failure would take minutes; the seed that is printed repeats it.
    { numRuns: 100, endOnFailure: true },
  );
});
