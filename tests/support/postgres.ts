import test from "ava";
import { Client } from "pg";

import type { ReadableDatabase, Row } from "./database.js";
import { PostgresServer, whyNoPostgres } from "./postgres-server.js";
import type { Scope } from "./scope.js";

export { PostgresServer, whyNoPostgres };

/** One server for all tests of the calling file. The function that is returned may be called in tests only. */
export function sharedPostgres(settings: readonly string[] = []): () => PostgresServer {
  const undo: (() => unknown)[] = [];
  const scope: Scope = { teardown: (fn) => undo.push(fn), passed: true, log: () => undefined };
  let shared: PostgresServer | undefined;

  test.before(async () => {
    if (whyNoPostgres() === undefined) shared = await PostgresServer.start(scope, settings);
  });
  test.after.always(async () => {
    for (const fn of undo.reverse()) await fn();
  });

  return () => {
    if (shared === undefined) throw new Error("the server of this file has not started");
    return shared;
  };
}

const timestamp = 1114;

/** Connects to a database until the test ends. Its rows are as SQLite would have them: times as text in Parsl's form. */
export async function readPostgres(t: Scope, url: string): Promise<AsyncDatabase> {
  const client = new Client(url);
  await client.connect();
  t.teardown(() => client.end());
  // So that one query reads both.
  await client.query(
    "CREATE FUNCTION pg_temp.hex(bytea) RETURNS text LANGUAGE sql AS $$ SELECT upper(encode($1, 'hex')) $$",
  );
  const rows = async (sql: string, ...values: readonly unknown[]): Promise<Row[]> => {
    const { rows: found, fields } = await client.query<Row>({
      text: sql.replaceAll("HEX(", "pg_temp.hex("),
      values: [...values],
      types: {
        getTypeParser: (oid: number) => (text: string) => valueOf(oid, text),
      },
    });
    return found.map((row) => Object.fromEntries(fields.map(({ name }) => [name, row[name]])));
  };
  return {
    rows,
    value: async (sql, ...values) => Object.values((await rows(sql, ...values))[0] ?? {})[0],
    count: async (table) =>
      Number(Object.values((await rows(`SELECT count(*) FROM "${table}"`))[0] ?? {})[0]),
  };
}

/** As ReadableDatabase, over a connection. */
export interface AsyncDatabase {
  readonly rows: (...args: Parameters<ReadableDatabase["rows"]>) => Promise<Row[]>;
  readonly value: (...args: Parameters<ReadableDatabase["value"]>) => Promise<unknown>;
  readonly count: (table: string) => Promise<number>;
}

const [boolean, bytes, int8, int2, int4, float4, float8] = [16, 17, 20, 21, 23, 700, 701];

function valueOf(oid: number, text: string): unknown {
  if (oid === boolean) return text === "t" ? 1 : 0;
  if (oid === bytes) return text;
  if ([int8, int2, int4, float4, float8].includes(oid)) return Number(text);
  if (oid !== timestamp) return text;
  const [seconds = "", fraction = ""] = text.split(".");
  return `${seconds}.${fraction.padEnd(6, "0")}`;
}
