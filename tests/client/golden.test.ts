import test, { type ExecutionContext } from "ava";

import { connect } from "../../src/index.js";
import { startCollector } from "../support/collector.js";
import { openDatabase, type Row } from "../support/database.js";
import { rollDice, shuffled } from "../support/dice.js";
import { goldenMessages, goldenRows, rowsLikeGolden } from "../support/golden.js";
import { readPostgres, sharedPostgres, whyNoPostgres } from "../support/postgres.js";

/** A database as --database names it, and how its tables are read in the end. */
interface Store {
  readonly database?: string;
  readonly tables: (database: string) => Promise<Record<string, Row[]>>;
}

const server = sharedPostgres();

const stores: readonly (readonly [string, string | undefined, (t: ExecutionContext) => Promise<Store>])[] = [
  [
    "SQLite",
    undefined,
    (t) =>
      Promise.resolve({ tables: (database) => rowsLikeGolden((sql) => openDatabase(t, database).rows(sql)) }),
  ],
  [
    "PostgreSQL",
    whyNoPostgres(),
    async (t) => {
      const database = await server().newDatabase();
      const reading = await readPostgres(t, database);
      return {
        database,
        tables: () => rowsLikeGolden(async (sql) => (await reading.rows(sql)).map(asInSqlite)),
      };
    },
  ],
];

/** Parsl puts a truth value into a column of text, which PostgreSQL spells out. */
function asInSqlite(row: Row): Row {
  const memoize = row["task_memoize"];
  return memoize === undefined ? row : { ...row, task_memoize: memoize === "true" ? "1" : "0" };
}

for (const [name, why, open] of stores) {
  const unlessSkipped = why === undefined ? test : test.skip;
  const reason = why === undefined ? "" : ` (skipped: ${why})`;

  unlessSkipped(
    `what Parsl said of a real workflow becomes the rows that Parsl made of it in ${name}${reason}`,
    async (t) => {
      const { tables, ...store } = await open(t);
      const collector = await startCollector(t, { ...store, args: ["--timezone", "UTC"] });
      const client = connect({ address: collector.address });
      const messages = goldenMessages();

      for (const message of messages) await client.send(message);
      await client.close();

      t.deepEqual(client.counts, {
        sent: messages.length,
        acknowledged: messages.length,
        rejected: 0,
        spooled: 0,
        lost: 0,
      });
      t.deepEqual(await tables(collector.database), goldenRows());
    },
  );

  for (const senders of [2, 7]) {
    unlessSkipped(
      `the same messages in a random order from ${String(senders)} senders become the same rows in ${name}${reason}`,
      async (t) => {
        const dice = rollDice(t);
        const { tables, ...store } = await open(t);
        const collector = await startCollector(t, { ...store, args: ["--timezone", "UTC"] });
        const clients = Array.from({ length: senders }, () => connect({ address: collector.address }));

        for (const message of shuffled(goldenMessages(), dice)) {
          const client = clients[Math.floor(dice() * senders)];
          await client?.send(message);
          if (dice() < 0.1) await client?.flush();
        }
        await Promise.all(clients.map((client) => client.close()));

        t.is(
          clients.reduce((sum, client) => sum + client.counts.rejected, 0),
          0,
        );
        t.deepEqual(await tables(collector.database), goldenRows());
      },
    );
  }
}
