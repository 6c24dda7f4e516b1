import { readFileSync } from "node:fs";
import { join } from "node:path";

import Database from "better-sqlite3";
import test from "ava";

import { columnsOf, parslSchema } from "../../../../src/server/sinks/sqlite/schema.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { openWriter } from "../../../support/writer.js";

/** The schema that Parsl 2026.10.26 makes. */
const golden = readFileSync(new URL("../../../../../tests/golden/schema.sql", import.meta.url), "utf8");

/** All that SQLite knows of a table. */
function descriptionOf(db: Database.Database, table: string) {
  const indexes = db.pragma(`index_list("${table}")`) as { name: string }[];
  return {
    columns: db.pragma(`table_info("${table}")`),
    indexes: indexes.map((index) => ({ ...index, columns: db.pragma(`index_info("${index.name}")`) })),
    foreignKeys: db.pragma(`foreign_key_list("${table}")`),
    sql: db.prepare("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? ORDER BY name").all(table),
  };
}

for (const table of Object.keys(parslSchema)) {
  test(`table ${table} is what Parsl makes: columns, types, keys, indexes and text`, (t) => {
    const path = join(temporaryDirectory(t), "monitoring.db");
    openWriter(path).close();
    using ours = open(path);
    using parsls = open(":memory:");
    parsls.db.exec(golden);

    const description = descriptionOf(ours.db, table);

    t.true((description.columns as unknown[]).length > 0);
    t.deepEqual(description, descriptionOf(parsls.db, table));
    t.deepEqual(
      (description.columns as { name: string }[]).map(({ name }) => name),
      columnsOf(table),
    );
  });
}

test("a file of an earlier collector gets the table of nodes' samples, with the columns of its rows", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  openWriter(path).close();
  using file = open(path);
  file.db.exec("DROP TABLE collector_node_usage");

  openWriter(path).close();

  const columns = file.db.pragma('table_info("collector_node_usage")') as { name: string }[];
  t.true(columns.length > 0);
  t.deepEqual(
    columns.map(({ name }) => name),
    columnsOf("collector_node_usage"),
  );
});

test("there are Parsl's tables, and our own whose names begin with collector_", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  openWriter(path).close();
  using ours = open(path);
  using parsls = open(":memory:");
  parsls.db.exec(golden);
  const names = (db: Database.Database) =>
    db
      .prepare(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name",
      )
      .pluck()
      .all() as string[];

  t.deepEqual(
    names(ours.db).filter((name) => !name.startsWith("collector_")),
    names(parsls.db),
  );
});

test("a file that Parsl made is continued as it is", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  using made = open(path);
  made.db.exec(golden);

  openWriter(path).close();

  for (const table of Object.keys(parslSchema)) {
    using parsls = open(":memory:");
    parsls.db.exec(golden);
    t.deepEqual(descriptionOf(made.db, table), descriptionOf(parsls.db, table));
  }
});

test("a file whose table lacks a column is refused with table, column and cure", (t) => {
  const path = join(temporaryDirectory(t), "monitoring.db");
  using made = open(path);
  made.db.exec(golden.replace(/\ttask_joins TEXT, \n/, "").replace(/\ttask_stdin TEXT, \n/, ""));

  t.throws(() => openWriter(path), {
    message:
      /open database .*monitoring\.db: its table task lacks the column task_stdin, .* move the file aside/,
  });
});

function open(path: string) {
  const db = new Database(path);
  return { db, [Symbol.dispose]: () => db.close() };
}
