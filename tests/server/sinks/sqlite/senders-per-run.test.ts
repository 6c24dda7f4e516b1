import { join } from "node:path";

import test from "ava";

import type { Message } from "../../../../src/client/message.js";
import { runId, sample, taskInfo } from "../../../support/builders.js";
import { openDatabase } from "../../../support/database.js";
import { envelopeOf, newSenderId, type EnvelopeFields } from "../../../support/encoded.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { arrivals, openWriter } from "../../../support/writer.js";

const otherRun = "22222222-2222-4222-8222-222222222222";

test("a new sender beyond those that its run may have is refused for now, and the ledger keeps nothing of it", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  const open = () => openWriter(path, { sendersPerRun: 2 });
  let writer = open();
  const [first, second, third] = [newSenderId(), newSenderId(), newSenderId()];
  const store = (messages: readonly Message[], fields: EnvelopeFields): string => {
    const [outcome] = writer.store(arrivals([envelopeOf(messages, fields)]));
    if (outcome === undefined) throw new Error("no outcome");
    return "exhausted" in outcome ? outcome.exhausted : (Object.keys(outcome)[0] ?? "");
  };
  const tooMany =
    `store an envelope of a new sender: run ${runId} has 2 senders, as many as one may have; ` +
    "--max-senders-per-run raises that";

  t.is(store([sample(1)], { senderId: first }), "acknowledgement");
  const group = [second, third].map((senderId) => envelopeOf([sample(2)], { senderId }));
  t.deepEqual(
    writer.store(arrivals(group)).map((outcome) => Object.keys(outcome)[0]),
    ["acknowledgement", "exhausted"],
    "in one group",
  );
  t.is(store([sample(3)], { senderId: third }), tooMany);
  t.is(store([taskInfo({ runId })], { senderId: third, runId: "" }), tooMany, "a run that its message names");
  t.is(store([sample(3)], { senderId: second, first: 2 }), "acknowledgement", "one that is known");
  t.is(store([sample(3)], { senderId: third, runId: otherRun }), "acknowledgement", "another run");

  writer.close();
  writer = open();
  t.is(store([sample(4)], {}), tooMany, "after a restart");
  t.is(store([sample(4)], { senderId: first, first: 2 }), "acknowledgement", "after a restart");
  writer.close();

  const db = openDatabase(t, path);
  t.is(db.count("collector_sender"), 3);
  t.is(db.value("SELECT count(*) FROM resource WHERE run_id = ?", runId), 3 + 1);
});
