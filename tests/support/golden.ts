import { readFileSync } from "node:fs";

import { connect } from "../../src/client/connect.js";
import type { Message } from "../../src/client/message.js";
import { timestampFromMicros } from "../../src/client/timestamps.js";
import type { Timestamp } from "../../src/model/messages.js";
import { startCollector } from "./collector.js";
import type { Row } from "./database.js";
import type { Scope } from "./scope.js";

// The tests run from build/tests/support; what is not compiled stays in tests/.
const directory = new URL("../../../tests/golden/", import.meta.url);

/** What one real workflow put into the queue of Parsl's own hub, in order. Its times have no zone: they are
 *  taken for UTC, and the collector that stores them must be told `--timezone UTC`. */
export function goldenMessages(): Message[] {
  return lines("messages.jsonl").flatMap((line) => {
    const { type, body } = JSON.parse(line) as { type: string; body: Body | Body[] };
    return (Array.isArray(body) ? body : [body]).map((one) => message(type, one));
  });
}

/** A file in which a collector has stored these messages, until the test ends. */
export async function goldenDatabase(t: Scope): Promise<string> {
  const collector = await startCollector(t, { args: ["--timezone", "UTC"] });
  const client = connect({ address: collector.address });
  for (const message of goldenMessages()) await client.send(message);
  await client.close();
  await collector.stop();
  return collector.database;
}

/** The rows that Parsl's own database manager made of them, by table. */
export function goldenRows(): Record<string, Row[]> {
  const rows = JSON.parse(readFileSync(new URL("rows.json", directory), "utf8")) as Record<string, Row[]>;
  return Object.fromEntries(Object.entries(rows).map(([table, some]) => [table, comparable(table, some)]));
}

/** The same tables of a database, by what runs a query in it. */
export async function rowsLikeGolden(
  query: (sql: string) => Row[] | Promise<Row[]>,
): Promise<Record<string, Row[]>> {
  const tables: Record<string, Row[]> = {};
  for (const table of Object.keys(goldenRows())) {
    tables[table] = comparable(table, await query(`SELECT * FROM "${table}"`));
  }
  return tables;
}

/** Rows in an order of their own, without `node.id`, which counts in the order of arrival. */
function comparable(table: string, rows: readonly Row[]): Row[] {
  const kept = rows.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([column]) => table !== "node" || column !== "id")),
  );
  return kept
    .map((row) => ({ row, key: JSON.stringify(row, Object.keys(row).sort()) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ row }) => row);
}

type Body = Readonly<Record<string, unknown>>;

function message(type: string, body: Body): Message {
  const fields = Object.fromEntries(
    Object.entries(body)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => [camelCase(name), field(name, value)]),
  );
  switch (type) {
    case "WORKFLOW_INFO":
      return "python_version" in body ? { workflowStart: fields } : { workflowEnd: fields };
    case "TASK_INFO":
      return { taskInfo: fields };
    case "NODE_INFO":
      return { nodeInfo: fields };
    case "BLOCK_INFO":
      return { blockInfo: fields };
    case "RESOURCE_INFO":
      return { resourceInfo: fields };
    case "WORKER_TASK_INFO":
      return { workerTaskInfo: fields };
    default:
      throw new Error(`no message has the type ${type}`);
  }
}

function field(name: string, value: unknown): unknown {
  if (name === "start_time" || name === "idle_since") {
    return timestampFromMicros(BigInt(Math.round(Number(value) * 1e6)));
  }
  if (name === "total_memory") return BigInt(value as number);
  if (name === "tasks") return (value as number[]).map(BigInt);
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT[\d:.]+$/.test(value)) return timestamp(value);
  if (typeof value === "object" && value !== null && "float" in value) return Infinity; // the only such value
  return value;
}

/** As "2026-11-25T01:25:17.560465". */
function timestamp(text: string): Timestamp {
  const [seconds = "", fraction = ""] = text.split(".");
  return timestampFromMicros(BigInt(Date.parse(`${seconds}Z`)) * 1000n + BigInt(fraction.padEnd(6, "0")));
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function lines(name: string): string[] {
  return readFileSync(new URL(name, directory), "utf8")
    .split("\n")
    .filter((line) => line !== "");
}
