import test from "ava";

import { connect } from "../../src/index.js";
import { sample } from "../support/builders.js";
import { newRunId, sharedCollector } from "../support/shared-collector.js";
import { within } from "../support/wait.js";

/** What a radio that gives no answers loses, and nobody can tell. */

const shared = sharedCollector();

test("case 32: of 50,000 samples by gRPC none is lost, and the ledger says so of their sender and radio", async (t) => {
  const { collector, service, db } = shared();
  const runId = newRunId();
  const client = connect({ address: collector.address, runId });
  t.teardown(() => client.abort());
  const samples = 50_000;

  for (let n = 0; n < samples; n += 1) await client.send(sample(n));
  await within("the client's close", client.close());

  t.is(db.value("SELECT count(*) FROM resource WHERE run_id = ?", runId), samples);
  const { senders } = await service.status(runId);
  t.is(senders.length, 1);
  t.like(senders[0], {
    senderId: client.senderId,
    closed: true,
    missing: [],
    lost: [],
    radios: [{ radio: "grpc", received: BigInt(samples) }],
  });
});

test("case 32: what a sender numbered and never sent is told by sender, with the gaps", async (t) => {
  const { service } = shared();
  const runId = newRunId();

  const { senderId } = await service.send([sample(1), sample(2)], { runId, first: 1 });
  await service.send([sample(5)], { runId, senderId, first: 5, lastSequence: 7 });

  const { senders } = await service.status(runId);
  t.like(senders[0]?.counts, { stored: 3n, missing: 4n });
  t.deepEqual(senders[0]?.missing, [
    { first: 3n, last: 4n },
    { first: 6n, last: 7n },
  ]);
});
