import { join } from "node:path";

import test, { type ExecutionContext } from "ava";

import type { Message } from "../../../../src/client/message.js";
import type { Principal } from "../../../../src/model/principal.js";
import type { SqliteWriter } from "../../../../src/server/sinks/sqlite/writer.js";
import { nodeUsage, runId, taskInfo, workflowStart } from "../../../support/builders.js";
import { openDatabase } from "../../../support/database.js";
import { envelopeOf, newSenderId } from "../../../support/encoded.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { openWriter } from "../../../support/writer.js";

const alice: Principal = { name: "alice", runs: "own" };
const bob: Principal = { name: "bob", runs: "own" };
const otherRun = "22222222-2222-4222-8222-222222222222";

function setUp(t: ExecutionContext) {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const writer = openWriter(path);
  t.teardown(() => writer.close());
  return { path, writer, db: openDatabase(t, path) };
}

interface Said {
  readonly senderId?: string;
  readonly envelopeRun?: string;
  readonly first?: number;
}

/** Why it was forbidden; "stored" when it was not. */
function write(
  writer: SqliteWriter,
  principal: Principal | undefined,
  messages: readonly Message[],
  { senderId = newSenderId(), envelopeRun = runId, first = 1 }: Said = {},
): string {
  const envelope = envelopeOf(messages, { senderId, runId: envelopeRun, first });
  const [outcome] = writer.store([{ envelope, radio: "grpc", principal }]);
  if (outcome === undefined || "invalid" in outcome) throw new Error("no outcome of a whole envelope");
  return "forbidden" in outcome ? outcome.forbidden : "stored";
}

test("a run belongs to the principal who was the first to write it, and nobody else writes it", (t) => {
  const { writer, db } = setUp(t);

  t.is(write(writer, alice, [workflowStart()]), "stored");
  t.is(write(writer, alice, [taskInfo()]), "stored");
  t.is(write(writer, bob, [taskInfo({ taskId: 1 })]), `run ${runId} is not one that bob may write`);
  t.is(write(writer, bob, [taskInfo()], { envelopeRun: otherRun }), "stored");
  t.is(
    write(writer, alice, [taskInfo({ runId: otherRun })], { envelopeRun: "" }),
    `run ${otherRun} is not one that alice may write`,
  );

  t.deepEqual(db.rows("SELECT run_id, owner FROM collector_run_owner ORDER BY owner"), [
    { run_id: runId, owner: "alice" },
    { run_id: otherRun, owner: "bob" },
  ]);
  t.is(db.count("task"), 2);
});

test("of a forbidden envelope nothing is kept: no row, no sender, nothing rejected, no run of its own", (t) => {
  const { writer, db } = setUp(t);
  write(writer, alice, [workflowStart()]);
  const senders = db.count("collector_sender");

  write(writer, bob, [taskInfo({ runId: otherRun }), taskInfo()]);

  t.is(db.count("task"), 0);
  t.is(db.count("collector_sender"), senders);
  t.is(db.count("collector_rejected"), 0);
  t.is(db.count("collector_run_owner"), 1);
});

test("a forbidden envelope takes none of its group with it", (t) => {
  const { writer, db } = setUp(t);
  write(writer, alice, [workflowStart()]);
  const of = (principal: Principal, taskId: number) => ({
    ...{ envelope: envelopeOf([taskInfo({ taskId })]), radio: "grpc", principal },
  });

  const outcomes = writer.store([of(alice, 1), of(bob, 2), of(alice, 3)]);

  t.deepEqual(
    outcomes.map((outcome) => Object.keys(outcome)[0]),
    ["acknowledgement", "forbidden", "acknowledgement"],
  );
  t.deepEqual(db.rows("SELECT task_id FROM task ORDER BY task_id"), [{ task_id: 1 }, { task_id: 3 }]);
});

test("the envelope's own run, and the run of its sender, are those of the owner too", (t) => {
  const { writer } = setUp(t);
  const senderId = newSenderId();
  write(writer, alice, [workflowStart()], { senderId });

  t.regex(write(writer, bob, [nodeUsage()], { envelopeRun: runId }), /is not one that bob may write/);
  // Under the name of a sender of hers he would mark as stored what she has not sent yet.
  t.regex(
    write(writer, bob, [nodeUsage()], { senderId, envelopeRun: "", first: 2 }),
    /is not one that bob may write/,
  );
});

test("an owner is known after the file was opened again", (t) => {
  const { path, writer } = setUp(t);
  write(writer, alice, [workflowStart()]);

  const again = openWriter(path);
  t.teardown(() => again.close());

  t.regex(write(again, bob, [taskInfo()]), /is not one that bob may write/);
  t.is(write(again, alice, [taskInfo()]), "stored");
});

test("a run that was written without a principal is nobody's; who may write all or this one by name may write it", (t) => {
  const { writer } = setUp(t);
  write(writer, undefined, [workflowStart()]);

  t.regex(write(writer, alice, [taskInfo()]), /is not one that alice may write/);
  t.is(write(writer, { name: "gateway", runs: "all" }, [taskInfo()]), "stored");
  t.is(write(writer, { name: "one", runs: [runId] }, [taskInfo({ taskId: 1 })]), "stored");
  t.regex(write(writer, { name: "one", runs: [otherRun] }, [taskInfo({ taskId: 2 })]), /is not one/);
});

test("a status tells a principal of its own runs only", (t) => {
  const { writer } = setUp(t);
  write(writer, alice, [workflowStart(), taskInfo()]);
  write(writer, bob, [workflowStart()], { envelopeRun: otherRun });

  const { runs, senders, total } = writer.status("", bob);

  t.deepEqual(
    runs.map((run) => run.runId),
    [otherRun],
  );
  t.deepEqual(
    senders.map((sender) => sender.runId),
    [otherRun],
  );
  t.is(total?.stored, 1n);
  t.deepEqual(writer.status(runId, bob).senders, []);
  t.is(writer.status("", { name: "admin", runs: "all" }).runs.length, 2);
});
