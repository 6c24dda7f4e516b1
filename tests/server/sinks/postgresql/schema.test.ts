import { readFileSync } from "node:fs";

import test from "ava";

import { parslSchema } from "../../../../src/server/sinks/sqlite/schema.js";
import { openPostgresWriter } from "../../../support/postgres-writer.js";
import {
  readPostgres,
  sharedPostgres,
  whyNoPostgres,
  type AsyncDatabase,
} from "../../../support/postgres.js";

/** The schema that SQLAlchemy makes of Parsl 2026.10.26 in PostgreSQL. */
const golden = readFileSync(
  new URL("../../../../../tests/golden/schema-postgresql.sql", import.meta.url),
  "utf8",
);

const why = whyNoPostgres();
const unlessSkipped = why === undefined ? test : test.skip;
const reason = why === undefined ? "" : ` (skipped: ${why})`;
const server = sharedPostgres();

/** All that PostgreSQL knows of Parsl's tables: columns in their order, keys and indexes. */
async function descriptionOf(database: AsyncDatabase): Promise<object> {
  const tables = Object.keys(parslSchema);
  return {
    columns: await database.rows(
      `SELECT table_name, column_name, data_type, is_nullable, column_default, ordinal_position
      FROM information_schema.columns WHERE table_name = ANY($1) ORDER BY table_name, ordinal_position`,
      tables,
    ),
    constraints: await database.rows(
      `SELECT conrelid::regclass::text AS "table", conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
      WHERE conrelid::regclass::text = ANY($1) ORDER BY conrelid::regclass::text, conname`,
      tables,
    ),
    indexes: await database.rows(
      "SELECT tablename, indexdef FROM pg_indexes WHERE tablename = ANY($1) ORDER BY indexname",
      tables,
    ),
  };
}

unlessSkipped(
  `Parsl's tables are what SQLAlchemy makes: columns, types, keys and indexes${reason}`,
  async (t) => {
    const url = await server().newDatabase();
    await openPostgresWriter(t, url);
    const parsls = await server().newDatabase();
    await server().execute(parsls, golden);

    const description = await descriptionOf(await readPostgres(t, url));

    t.true(JSON.stringify(description).length > 5_000);
    t.deepEqual(description, await descriptionOf(await readPostgres(t, parsls)));
  },
);

unlessSkipped(
  `there are Parsl's tables, and our own whose names begin with collector_${reason}`,
  async (t) => {
    const url = await server().newDatabase();
    await openPostgresWriter(t, url);

    const names = await (
      await readPostgres(t, url)
    ).rows(
      "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')",
    );

    t.deepEqual(
      names
        .map(({ relname }) => String(relname))
        .filter((name) => !name.startsWith("collector_"))
        .sort(),
      Object.keys(parslSchema).sort(),
    );
  },
);

unlessSkipped(`tables that Parsl made are continued as they are${reason}`, async (t) => {
  const url = await server().newDatabase();
  await server().execute(url, golden);
  const database = await readPostgres(t, url);
  const before = await descriptionOf(database);

  await openPostgresWriter(t, url);

  t.deepEqual(await descriptionOf(database), before);
});

unlessSkipped(`two that make the tables at once both open${reason}`, async (t) => {
  const url = await server().newDatabase();

  await Promise.all(Array.from({ length: 4 }, () => openPostgresWriter(t, url)));

  t.is(await (await readPostgres(t, url)).count("task"), 0);
});

unlessSkipped(
  `a database whose table lacks a column is refused with table, column and cure${reason}`,
  async (t) => {
    const url = await server().newDatabase();
    await server().execute(url, golden.replace(/\ttask_joins TEXT, \n/, ""));

    await t.throwsAsync(openPostgresWriter(t, url), {
      message: /open database postgresql:.*: its table try lacks the column task_joins, .* rename its tables/,
    });
  },
);
