import { finished } from "node:stream/promises";

import { Client, types, type ClientConfig } from "pg";
import { from as copyFrom } from "pg-copy-streams";

import type { SqlValue } from "../../rows/value.js";

/** A row as its columns are asked for. */
export type Row = readonly SqlValue[];

export interface Settings {
  /** Whether a commit must be on the server's disk. */
  readonly durable: boolean;
}

/** What holds for all that we do there.
 *  - All reads are of rows whose keys we know, and a plan that was made while a table was small must not read all of it
 *    when it is large. Where there is no other way the plan is taken for costly then, and compiled: for 0.3 s.
 *  - What a lock of another holds up is told after 2 s: longer than the server takes to find a deadlock.
 *  - A collector that dies without closing its connection must not keep its locks. */
const settings = `SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off;
SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = error`;

/** A connection that is used by one at a time. */
export class Connection {
  readonly #client: Client;
  #isBroken = false;

  private constructor(client: Client) {
    this.#client = client;
    // It ends by itself when the server does; the next query tells.
    client.on("error", () => (this.#isBroken = true));
    client.on("end", () => (this.#isBroken = true));
  }

  static async open(config: ClientConfig, { durable }: Settings): Promise<Connection> {
    const client = new Client({
      ...config,
      types: { getTypeParser: parserOf as typeof types.getTypeParser },
    });
    const connection = new Connection(client);
    try {
      await client.connect();
      await client.query(settings);
      const level = await client.query<[string]>({ text: "SHOW synchronous_commit", rowMode: "array" });
      const isDurable = level.rows[0]?.[0] !== "off";
      if (durable !== isDurable) await client.query(`SET synchronous_commit = ${durable ? "on" : "off"}`);
    } catch (cause) {
      await connection.close();
      throw cause;
    }
    return connection;
  }

  /** Whether it is of no more use. */
  get isBroken(): boolean {
    return this.#isBroken;
  }

  /** The rows of a statement, or of the last of several. One with values is prepared once. */
  async query(text: string, values?: readonly unknown[]): Promise<Row[]> {
    const named = values === undefined ? {} : { values: [...values], name: nameOf(text) };
    const result = await this.#client.query<SqlValue[]>({ text, rowMode: "array", ...named });
    // Of several statements pg gives several results, which its types do not say.
    const results = result as typeof result | (typeof result)[];
    return (Array.isArray(results) ? results.at(-1)?.rows : results.rows) ?? [];
  }

  /** Sends text in COPY's own form. */
  async copy(statement: string, text: string): Promise<void> {
    const stream = this.#client.query(copyFrom(statement));
    stream.end(text);
    await finished(stream);
  }

  /** Never rejects: there is nothing to be lost by it. */
  async close(): Promise<void> {
    this.#isBroken = true;
    await this.#client.end().catch(() => undefined);
  }
}

/** All that `act` writes is on the disk when this resolves, or nothing of it when it rejects. */
export async function inTransaction<T>(
  connection: Connection,
  act: () => Promise<T>,
  mode = "READ COMMITTED",
): Promise<T> {
  await connection.query(`BEGIN ISOLATION LEVEL ${mode}`);
  try {
    const result = await act();
    await connection.query("COMMIT");
    return result;
  } catch (cause) {
    if (!connection.isBroken) await connection.query("ROLLBACK").catch(() => undefined);
    throw cause;
  }
}

/** Integers of 64 bits as SQLite's driver gives them where they fit, exact beyond. */
function parserOf(oid: Parameters<typeof types.getTypeParser>[0]): (text: string) => unknown {
  if (oid === types.builtins.INT8)
    return (text) => (Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text));
  return types.getTypeParser(oid) as (text: string) => unknown;
}

const names = new Map<string, string>();

/** The server keeps prepared statements by name, of 63 characters at most. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = `collector_${String(names.size)}`));
  return name;
}
