import { status } from "@grpc/grpc-js";
import test from "ava";

import { connect } from "../../src/index.js";
import { sample } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { envelopeOf } from "../support/encoded.js";
import { Service } from "../support/service.js";
import { newRunId } from "../support/shared-collector.js";
import { waitUntil, within } from "../support/wait.js";

test("limits are options, GetStatus counts what is beyond them, and a client delivers once they are raised", async (t) => {
  const runId = newRunId();
  const args = [
    ...["--max-senders-per-run", "1", "--max-streams-per-peer", "3"],
    ...["--max-in-flight", "100", "--max-connections-per-peer", "10"],
  ];
  const first = await startCollector(t, { args });
  const service = Service.connect(t, first.address);
  const refused = async () => (await service.status()).receivers[0]?.refused ?? {};
  await service.send([sample(1)], { runId });

  const client = connect({ address: first.address, runId });
  t.teardown(() => client.abort());
  await client.send(sample(2));
  await waitUntil("it has been refused more than once", async () => {
    return ((await refused())["senders-per-run"] ?? 0n) > 1n;
  });
  t.is(client.counts.acknowledged, 0);
  t.is((await service.send([sample(1)], { runId: newRunId() })).committed?.last, 1n, "another run's sender");

  const streams = Array.from({ length: 4 }, () => service.stream());
  await Promise.all(streams.map((stream) => stream.write(envelopeOf([sample(3)], { runId: newRunId() }))));
  const { code, details } = await within("a refusal", Promise.race(streams.map(({ ended }) => ended)));
  t.is(code, status.RESOURCE_EXHAUSTED);
  t.regex(details, /--max-streams-per-peer raises that/);
  for (const stream of streams) stream.cancel();

  await first.stop();
  await startCollector(t, { database: first.database, listen: first.address });
  await within("the client's close", client.close());

  t.is(client.counts.acknowledged, client.counts.sent);
  t.is(openDatabase(t, first.database).value("SELECT count(*) FROM resource WHERE run_id = ?", runId), 2);
});
