import type Database from "better-sqlite3";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import { Connection } from "./connection.js";
import { cureOf } from "./faults.js";
import { copyLedger } from "./ledger-copy.js";
import { readColumns } from "./schema.js";
import { connectionOf, withoutSecrets } from "./url.js";

/** The ledger of a database as it is now, as a SQLite database in memory, which the caller closes. Rejects with a
 *  CollectorError for a database that cannot be reached, or has no ledger. */
export async function openLedger(url: string): Promise<Database.Database> {
  const fail = (reason: string, cure: string, cause?: unknown): never => {
    throw new CollectorError("database", `read database ${withoutSecrets(url)}: ${reason}; ${cure}`, {
      cause,
    });
  };
  let connection: Connection | undefined;
  try {
    connection = await Connection.open(connectionOf(url), { durable: true });
    const columns = await readColumns(connection, ["workflow", "collector_node_usage", "collector_pruned"]);
    if (!columns.has("collector_pruned")) {
      return fail(
        "it has no ledger",
        "no collector has written it: start `parsl-collector serve` on it once",
      );
    }
    return await copyLedger(connection, columns);
  } catch (cause) {
    if (cause instanceof CollectorError) throw cause;
    return fail(reasonOf(cause), cureOf(cause), cause);
  } finally {
    await connection?.close();
  }
}
