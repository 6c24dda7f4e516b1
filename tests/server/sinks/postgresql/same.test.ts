import { join } from "node:path";

import test from "ava";
import fc from "fast-check";

import { monitoringMessage } from "../../../../src/client/message.js";
import { MonitoringMessage } from "../../../../src/model/messages.js";
import type { Principal } from "../../../../src/model/principal.js";
import type { Arrival } from "../../../../src/server/sinks/sink.js";
import * as build from "../../../support/builders.js";
import { openDatabase } from "../../../support/database.js";
import { envelopeOfBytes } from "../../../support/encoded.js";
import { messageOnFewKeys } from "../../../support/few-keys.js";
import { openPostgresWriter } from "../../../support/postgres-writer.js";
import { readPostgres, sharedPostgres, whyNoPostgres } from "../../../support/postgres.js";
import { comparableTables } from "../../../support/same-tables.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { openWriter } from "../../../support/writer.js";

const why = whyNoPostgres();
const server = sharedPostgres();

/** Samples under few keys with different content: some are repeats, some are refused, some moved on. */
const sample = fc.record({
  timestamp: fc.constantFrom(build.at(1), build.at(2)),
  psutilProcessTimeUser: fc.constantFrom(1, 2.5, Infinity),
});
const usage = fc.record({
  timestamp: fc.constantFrom(build.at(1), build.at(1.000001)),
  hostname: fc.constantFrom("n1", "n2"),
  cpuPercent: fc.constantFrom(1, 2),
});
const bytes = fc.oneof(
  { weight: 20, arbitrary: messageOnFewKeys.map((message) => encoded(message)) },
  {
    weight: 3,
    arbitrary: sample.map((fields) => encoded(build.resourceInfo({ taskId: 1, tryId: 0, ...fields }))),
  },
  { weight: 3, arbitrary: usage.map((fields) => encoded(build.nodeUsage(fields))) },
  { weight: 1, arbitrary: fc.constantFrom(Uint8Array.of(255, 255), new Uint8Array()) },
);

const principal: fc.Arbitrary<Principal | undefined> = fc.constantFrom(
  undefined,
  undefined,
  { name: "ada", runs: "own" as const },
  { name: "bob", runs: "own" as const },
);

/** An envelope of one of few senders, whose sequences overlap with others of it and have gaps. */
const arrival: fc.Arbitrary<Arrival> = fc
  .record({
    messages: fc.array(bytes, { maxLength: 6 }),
    senderId: fc.constantFrom("s1", "s2", "s3"),
    first: fc.integer({ min: 1, max: 30 }),
    lastSequence: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined, freq: 8 }),
    losses: fc.constantFrom([], [], [{ first: 3, last: 9, kind: "RESOURCE_INFO" }]),
    runId: fc.constantFrom("run-a", "run-b", "run-c", ""),
    radio: fc.constantFrom("grpc", "udp"),
    principal,
  })
  .map(({ messages, radio, principal: who, lastSequence, ...fields }) => ({
    envelope: envelopeOfBytes(messages, { ...fields, ...(lastSequence !== undefined && { lastSequence }) }),
    radio,
    principal: who,
  }));

function encoded(message: Parameters<typeof monitoringMessage>[0]): Uint8Array {
  return MonitoringMessage.encode(monitoringMessage(message)).finish();
}

(why === undefined ? test : test.skip)(
  `the same groups become the same tables in SQLite and, by two writers in turn, in PostgreSQL, and are answered the same${why === undefined ? "" : ` (skipped: ${why})`}`,
  async (t) => {
    const folder = temporaryDirectory(t);
    const database = await server().newDatabase();
    const writers = [await openPostgresWriter(t, database), await openPostgresWriter(t, database)];
    const reading = await readPostgres(t, database);
    let files = 0;

    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(arrival, { minLength: 1, maxLength: 5 }), { maxLength: 12 }),
        async (groups) => {
          await reading.rows(
            `DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') FROM pg_tables
            WHERE schemaname = 'public'); END $$`,
          );
          const path = join(folder, `${String((files += 1))}.db`);
          const sqlite = openWriter(path);

          const answers = [];
          const expected = [];
          for (const [index, group] of groups.entries()) {
            answers.push(await writers[index % 2]?.store(group));
            expected.push(sqlite.store(group));
          }
          sqlite.close();

          t.deepEqual(answers, expected);
          const file = openDatabase(t, path);
          t.deepEqual(await comparableTables(reading.rows), await comparableTables((sql) => file.rows(sql)));
        },
      ),
      // Shrinking a failure would take minutes; the seed that is printed repeats it.
      { numRuns: 60, endOnFailure: true, includeErrorInReport: true },
    );
  },
);
