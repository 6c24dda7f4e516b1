import { join } from "node:path";

import Database from "better-sqlite3";
import test, { type ExecutionContext } from "ava";

import { timestampFromMicros } from "../../../../src/client/timestamps.js";
import { StoreCounts, type Distribution } from "../../../../src/server/store-counts.js";
import { SqliteWriter } from "../../../../src/server/sinks/sqlite/writer.js";
import { sample, taskInfo, workflowStart } from "../../../support/builders.js";
import { envelopeOf, envelopeOfBytes, newSenderId } from "../../../support/encoded.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";

/** What a writer counts, and how others see it. */

function setUp(t: ExecutionContext) {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const counts = new StoreCounts(["grpc", "udp"]);
  const writer = new SqliteWriter(
    { path, journalMode: "auto", durability: "normal" },
    () => undefined,
    () => undefined,
    counts,
  );
  t.teardown(() => writer.close());
  const store = (radio: string, ...envelopes: Uint8Array[]) =>
    writer.store(envelopes.map((envelope) => ({ envelope, radio })));
  return { path, counts, writer, store };
}

/** The counts that are not 0, as "radio kind outcome count". */
function counted(counts: StoreCounts): string[] {
  return counts
    .messages()
    .filter(({ count }) => count > 0)
    .map(({ radio, kind, outcome, count }) => `${radio} ${kind} ${outcome} ${String(count)}`);
}

function countOf({ upTo }: Distribution): number | undefined {
  return upTo.get(Infinity);
}

test("messages are counted by radio, kind and what became of them", (t) => {
  const { counts, store } = setUp(t);
  const senderId = newSenderId();
  const tasks = envelopeOf([taskInfo(), taskInfo({ taskStatusName: undefined })], { senderId });

  store("grpc", tasks, envelopeOf([workflowStart()]));
  store("udp", tasks, envelopeOf([taskInfo({ taskId: 1 }), sample(1)], { senderId, first: 2 }));
  store("carrier pigeon", envelopeOfBytes([Uint8Array.of(0xff)]));

  t.deepEqual(counted(counts), [
    "grpc WORKFLOW_INFO stored 1",
    "grpc TASK_INFO stored 1",
    "grpc TASK_INFO rejected 1",
    "udp TASK_INFO repeated 3",
    "udp RESOURCE_INFO stored 1",
    "other UNREADABLE rejected 1",
  ]);
});

test("other holders of the same memory see what a writer counts", (t) => {
  const { counts, store } = setUp(t);
  const reader = new StoreCounts(["grpc", "udp"], counts.memory);

  store("udp", envelopeOf([sample(1)]));

  t.deepEqual(counted(reader), ["udp RESOURCE_INFO stored 1"]);
  t.is(reader.batchMessages.sum, 1);
});

test("a group counts once in batch size and commit time, and each new row in the lag", (t) => {
  const { counts, store } = setUp(t);
  const twoSecondsAgo = timestampFromMicros(BigInt(Date.now() - 2_000) * 1_000n);
  const ahead = timestampFromMicros(BigInt(Date.now() + 60_000) * 1_000n);
  const envelope = envelopeOf([
    taskInfo({ timestamp: twoSecondsAgo }),
    taskInfo({ taskId: 1, timestamp: ahead }),
  ]);

  store("grpc", envelope, envelopeOf([]));
  store("grpc", envelope);

  t.is(countOf(counts.commitSeconds), 2);
  t.true(counts.commitSeconds.sum > 0);
  t.is(counts.batchMessages.sum, 4);
  t.deepEqual([...counts.batchMessages.upTo].slice(0, 2), [
    [1, 0],
    [2, 2],
  ]);
  t.is(countOf(counts.lagSeconds), 2);
  t.is(counts.lagSeconds.upTo.get(1), 1);
  t.true(counts.lagSeconds.sum >= 2 && counts.lagSeconds.sum < 60, String(counts.lagSeconds.sum));
});

test("what is rolled back and done again is counted once", (t) => {
  const { counts, path, store } = setUp(t);
  const user = new Database(path);
  // Refuses one message in the middle of a group, so that the group is tried anew message by message.
  user.exec(
    "CREATE TRIGGER no_seven BEFORE INSERT ON task WHEN new.task_id = 7 BEGIN SELECT raise(ABORT, 'no'); END",
  );
  user.close();

  store("grpc", envelopeOf([6, 7, 8].map((taskId) => taskInfo({ taskId }))));

  t.deepEqual(counted(counts), ["grpc TASK_INFO stored 2", "grpc TASK_INFO rejected 1"]);
  t.is(counts.batchMessages.sum, 3);
});

test("missing and lost are those of all senders, as the status adds them up", (t) => {
  const { writer, store } = setUp(t);
  t.deepEqual(writer.losses(), { missing: 0, lost: 0 });
  const gaveUp = newSenderId();

  store(
    "grpc",
    envelopeOf([sample(1)], { first: 3, lastSequence: 4 }), // lacks 1, 2, 4
    envelopeOf([], { lastSequence: 2 }), // lacks both
    envelopeOf([sample(2)]),
    envelopeOf([sample(3), sample(4)], {
      ...{ senderId: gaveUp, first: 5 }, // lacks 1
      losses: [
        { first: 2, last: 3, kind: "RESOURCE_INFO" },
        { first: 3, last: 5, kind: "TASK_INFO" }, // 5 came all the same
      ],
    }),
  );

  t.deepEqual(writer.losses(), { missing: 6, lost: 3 });
  t.like(writer.status("").total, { missing: 6n, lost: 3n });
});
