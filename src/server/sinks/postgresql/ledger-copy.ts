import Database from "better-sqlite3";

import { columnsOf, collectorSchema, parslSchema } from "../sqlite/schema.js";
import { inTransaction, type Connection } from "./connection.js";
import { selectedColumns } from "./loader.js";
import type { Columns } from "./schema.js";

const ofSenders = "sender IN (SELECT sender FROM collector_sender_run WHERE run_id = $1)";

/** What the ledger is, and which of it is of one run. */
const ledger: Readonly<Record<string, string>> = {
  workflow: "run_id = $1",
  collector_sender: `id IN (SELECT sender FROM collector_sender_run WHERE run_id = $1)`,
  collector_sequence: ofSenders,
  collector_lost: ofSenders,
  collector_sender_radio: ofSenders,
  collector_sender_run: ofSenders,
  collector_run_owner: "run_id = $1",
  collector_pruned: "run_id = $1",
};

/** The ledger of one moment, of one run or of all with an empty `runId`, as a SQLite database in memory: what reads a
 *  file's reads this one too. The caller closes it. */
export async function copyLedger(
  connection: Connection,
  types: Columns,
  runId = "",
): Promise<Database.Database> {
  const db = new Database(":memory:");
  for (const statement of [...Object.values(parslSchema), ...collectorSchema]) db.exec(statement);
  await inTransaction(
    connection,
    async () => {
      for (const [table, isOfRun] of Object.entries(ledger)) {
        const select = `SELECT ${selectedColumns(table, types)} FROM "${table}" each`;
        const rows =
          runId === ""
            ? await connection.query(select)
            : await connection.query(`${select} WHERE ${isOfRun}`, [runId]);
        const columns = columnsOf(table);
        const insert = db.prepare(
          `INSERT INTO "${table}" (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
        );
        db.transaction(() => rows.forEach((row) => insert.run(...row)))();
      }
    },
    "REPEATABLE READ READ ONLY",
  );
  return db;
}
