import { setTimeout as sleep } from "node:timers/promises";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import type { Principal } from "../../../model/principal.js";
import type { LogEntry, LogSpan } from "../../message-log.js";
import { CommitLog } from "../commit-log.js";
import { Connection, type Row } from "./connection.js";
import { remedyOf } from "./faults.js";
import { withoutNul } from "./text.js";
import { connectionOf, withoutSecrets } from "./url.js";

/** Pause before the server is asked again, in ms. */
const pauseMs = 500;

/** Entries that are looked at for one read: more than fit into what a subscriber is given at once, unless they are small. */
const mostEntries = 1_000;

/** The log of a database, which several collectors may write. */
export class PostgresLog extends CommitLog {
  readonly #url: string;
  #connection: Promise<Connection> | undefined;
  #isClosed = false;

  /** `startKeeping` lets the writer begin. */
  constructor(url: string, startKeeping: () => Promise<void>) {
    super(startKeeping);
    this.#url = url;
  }

  async span(): Promise<LogSpan> {
    const [row] = await this.#whenFree(
      "SELECT id, (SELECT min(position) FROM collector_log), (SELECT max(position) FROM collector_log) FROM collector_log_id",
      [],
    );
    if (row === undefined) throw new CollectorError("database", "read the log of messages: it has no id");
    const [id, first, last] = row;
    return { id: String(id), from: first === null ? 0 : Number(first) - 1, to: Number(last ?? 0) };
  }

  async read(after: number, mostBytes: number): Promise<LogEntry[]> {
    const rows = await this.#whenFree(
      `SELECT position, committed_at_us, radio, envelope, rejections FROM
        (SELECT *, sum(octet_length(envelope)) OVER (ORDER BY position) AS bytes FROM
          (SELECT * FROM collector_log WHERE position > $1 ORDER BY position LIMIT ${String(mostEntries)}) next) counted
      WHERE bytes <= $2 OR bytes = octet_length(envelope) ORDER BY position`,
      [after, mostBytes],
    );
    return rows.map(([position, committedAt, radio, envelope, rejections]) => ({
      position: Number(position),
      committedAt: Number(committedAt),
      radio: String(radio),
      envelope: envelope as Uint8Array,
      rejections: new Map(
        typeof rejections === "string" ? (JSON.parse(rejections) as [number, string][]) : [],
      ),
    }));
  }

  async readable(runIds: ReadonlySet<string>, { name, runs }: Principal): Promise<ReadonlySet<string>> {
    if (runs === "all") return runIds;
    if (runs !== "own") return new Set([...runIds].filter((runId) => runs.includes(runId)));
    const rows = await this.#whenFree(
      "SELECT run_id FROM collector_run_owner WHERE run_id = ANY($1::text[]) AND owner = $2",
      [[...runIds].map(withoutNul), name],
    );
    const own = new Set(rows.map(([runId]) => runId));
    return new Set([...runIds].filter((runId) => own.has(withoutNul(runId))));
  }

  /** Bytes of the database on the server's disk; nothing while it cannot be asked. */
  async sizes(): Promise<Readonly<Record<string, number>>> {
    try {
      const connection = await this.#connect();
      const [row] = await connection.query("SELECT pg_database_size(current_database())", []);
      return { database: Number(row?.[0]) };
    } catch {
      return {};
    }
  }

  close(): void {
    this.#isClosed = true;
    void this.#connection?.then(
      (connection) => connection.close(),
      () => undefined,
    );
  }

  /** The server may be away for a while. */
  async #whenFree(text: string, values: readonly unknown[]): Promise<Row[]> {
    for (;;) {
      try {
        const connection = await this.#connect();
        return await connection.query(text, values);
      } catch (cause) {
        if (this.#isClosed || remedyOf(cause) !== "wait") throw this.#failure(cause);
      }
      await sleep(pauseMs);
    }
  }

  async #connect(): Promise<Connection> {
    if (this.#isClosed)
      throw new CollectorError("closed", `read database ${this.#name}: it was closed before`);
    const last = await this.#connection?.catch(() => undefined);
    if (last?.isBroken !== false)
      this.#connection = Connection.open(connectionOf(this.#url), { durable: true });
    return await (this.#connection as Promise<Connection>);
  }

  get #name(): string {
    return withoutSecrets(this.#url);
  }

  #failure(cause: unknown): CollectorError {
    if (cause instanceof CollectorError) return cause;
    return new CollectorError("database", `read database ${this.#name}: ${reasonOf(cause)}`, { cause });
  }
}
