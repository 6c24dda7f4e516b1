import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

import type { ClientConfig } from "pg";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import { faultPoint } from "../../../base/fault-points.js";
import { splitEnvelope } from "../../../model/envelope-parts.js";
import type { Principal } from "../../../model/principal.js";
import { nowMicros } from "../../../model/time.js";
import { readEnvelope } from "../../envelope-reader.js";
import type { StoreCounts } from "../../store-counts.js";
import type { Arrival, Losses, Outcome, SinkStatus } from "../sink.js";
import type { Care, ReadArrival } from "../sqlite/group-writer.js";
import { defaultLogBytes } from "../sqlite/log-writer.js";
import { Owners } from "../sqlite/owners.js";
import { defaultSendersPerRun } from "../sqlite/senders.js";
import { onlyOf, readLosses, readStatus } from "../sqlite/status.js";
import type { OnBlocked, Writer } from "../writer-loop.js";
import { ChangeWriter } from "./change-writer.js";
import { Connection } from "./connection.js";
import { cureOf, isConflict, remedyOf } from "./faults.js";
import { keysOf } from "./group-keys.js";
import { copyLedger } from "./ledger-copy.js";
import { Loader } from "./loader.js";
import { Mirror, type Changes } from "./mirror.js";
import { prepareDatabase, prepareLog, readLogColumns, type Columns } from "./schema.js";
import { storable } from "./text.js";
import { connectionOf, withoutSecrets } from "./url.js";

export interface PostgresOptions {
  readonly url: string;
  /** Whether a commit must be on the server's disk. */
  readonly durable: boolean;
  /** Senders that one run may have. Default: 1,000,000 (`defaultSendersPerRun`). */
  readonly sendersPerRun?: number | undefined;
  /** Bytes of what was committed that are kept for those who follow it. Default: 64 MiB (`defaultLogBytes`). */
  readonly logBytes?: number | undefined;
}

/** Held, shared, by each group, so that whoever makes the log waits for the groups that do not know of it yet. */
const groupLock = "7239120938474";

/** Attempts at a group that others are in the way of, before its rows are taken for the reason: two collectors, a few
 *  times; a unique index of a user's, always. */
const mostConflicts = 10;

/** How long a sink that has followed in another collector is waited for, in microseconds: a week. */
const otherFollowersUs = 7 * 86_400e6;

/** Tables that only one who holds the lock of a run may change rows of. */
const mergedTables = new Set(["collector_run", "workflow", "task", "try", "collector_task", "collector_try"]);

/** A row of a group is one that the database does not take. */
class Refused extends Error {}

/** The writer of a PostgreSQL database. Others may write to it at the same time, each in its own transactions; the rules
 *  by which messages become rows are SqliteWriter's, applied to a copy of the rows that a group is about. */
export class PostgresWriter implements Writer {
  readonly #options: PostgresOptions;
  readonly #name: string;
  readonly #config: ClientConfig;
  readonly #onBlocked: OnBlocked;
  readonly #counts: StoreCounts;
  readonly #mirror: Mirror;
  #connection: Connection | undefined;
  #columns: Columns = new Map();
  /** The types of the log's columns; undefined as long as nobody follows. */
  #logColumns: Columns | undefined;
  #loggedBytes = 0;
  /** Sinks that follow in this process. */
  readonly #followers = new Set<string>();
  #isBlocked = false;

  private constructor(options: PostgresOptions, onBlocked: OnBlocked, counts: StoreCounts) {
    this.#options = options;
    this.#name = withoutSecrets(options.url);
    this.#config = connectionOf(options.url);
    this.#onBlocked = onBlocked;
    this.#counts = counts;
    this.#mirror = new Mirror(options.sendersPerRun ?? defaultSendersPerRun, counts);
  }

  /** Connects and makes what tables are missing, waiting for a server that is away. Rejects with a CollectorError for a
   *  database that cannot be used as the URL says. `counts` are told what is stored. */
  static async open(
    options: PostgresOptions,
    onBlocked: OnBlocked,
    counts: StoreCounts,
  ): Promise<PostgresWriter> {
    const writer = new PostgresWriter(options, onBlocked, counts);
    try {
      await writer.#whenFree(async (connection) => {
        writer.#columns = await prepareDatabase(connection, writer.#name);
      }, false);
    } catch (cause) {
      await writer.close();
      throw writer.#failure("open database", cause);
    }
    return writer;
  }

  get journal(): string {
    return this.#options.durable ? "the server's, on its disk" : "the server's, synchronous_commit off";
  }

  async store(group: readonly Arrival[]): Promise<Outcome[]> {
    const read = group.map(readArrival);
    const outcomes = await this.#storeInParts(read);
    return outcomes.map((outcome, index) => {
      const envelope = read[index]?.sentAs;
      if (envelope === undefined || !("acknowledgement" in outcome)) return outcome;
      return { acknowledgement: { ...outcome.acknowledgement, senderId: envelope } };
    });
  }

  async status(runId: string, principal?: Principal): Promise<SinkStatus> {
    const ledger = await this.#whenFree((connection) => copyLedger(connection, this.#columns, runId));
    try {
      const status = readStatus(ledger, runId, nowMicros() / 1000);
      if (principal === undefined || principal.runs === "all") return status;
      const owners = new Owners(ledger);
      return onlyOf(status, (run) => owners.mayWrite(run, principal));
    } finally {
      ledger.close();
    }
  }

  async losses(): Promise<Losses> {
    const ledger = await this.#whenFree((connection) => copyLedger(connection, this.#columns));
    try {
      return readLosses(ledger);
    } finally {
      ledger.close();
    }
  }

  async keepLog(): Promise<void> {
    await this.#whenFree(async (connection) => {
      this.#keepLog(await prepareLog(connection, this.#name, randomBytes(8).toString("hex")));
      // Groups that began before, here or in another collector, are not in it.
      await connection.query("SELECT pg_advisory_lock($1)", [groupLock]);
      await connection.query("SELECT pg_advisory_unlock($1)", [groupLock]);
    });
  }

  async follow(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    await this.keepLog();
    for (const name of names) this.#followers.add(name);
    const rows = await this.#whenFree((connection) =>
      connection.query(
        `INSERT INTO collector_follower
          SELECT name, (SELECT coalesce(min(position), 1) - 1 FROM collector_log), $2::bigint FROM unnest($1::text[]) name
        ON CONFLICT (name) DO UPDATE SET followed_at_us = excluded.followed_at_us RETURNING name, position`,
        [names, nowMicros()],
      ),
    );
    return new Map(rows.map(([name, position]) => [String(name), Number(position)]));
  }

  async followed(name: string, position: number): Promise<void> {
    await this.#whenFree((connection) =>
      // The same sink may follow in another collector, too, and be ahead there.
      connection.query(
        `UPDATE collector_follower SET position = greatest(position, $2), followed_at_us = $3 WHERE name = $1`,
        [name, position, nowMicros()],
      ),
    );
  }

  async close(): Promise<void> {
    await this.#connection?.close();
    this.#mirror.close();
  }

  /** Stores a group, or if the database does not take one of its rows, one half after the other: until the message is
   *  alone, which is kept as rejected then. */
  async #storeInParts(group: readonly ReadArrival[]): Promise<Outcome[]> {
    try {
      return await this.#storeGroup(group, "none");
    } catch (cause) {
      if (!(cause instanceof Refused)) throw cause;
      const half = Math.ceil(group.length / 2);
      if (group.length > 1) {
        return [
          ...(await this.#storeInParts(group.slice(0, half))),
          ...(await this.#storeInParts(group.slice(half))),
        ];
      }
      const [arrival] = group;
      if (arrival === undefined || "invalid" in arrival.envelope)
        throw this.#failure("write database", cause);
      const { bytes, messages } = arrival.envelope;
      if (messages.length <= 1) return this.#storeRefused(group, cause);
      const middle = Math.ceil(messages.length / 2);
      const parts = [
        ...splitEnvelope(bytes, (index) => index < middle),
        ...splitEnvelope(bytes, (index) => index >= middle),
      ];
      const outcomes: Outcome[] = [];
      for (const part of parts) {
        outcomes.push(...(await this.#storeInParts([readArrival({ ...arrival, envelope: part.bytes })])));
      }
      return [joined(outcomes)];
    }
  }

  async #storeRefused(group: readonly ReadArrival[], { message }: Refused): Promise<Outcome[]> {
    try {
      return await this.#storeGroup(group, { refusal: `PostgreSQL refused it: ${message}` });
    } catch (cause) {
      throw this.#failure("write database", cause);
    }
  }

  /** Rejects with Refused for a row that the database does not take. */
  async #storeGroup(group: readonly ReadArrival[], care: Care): Promise<Outcome[]> {
    const beganMs = performance.now();
    const keys = keysOf(group);
    let exclusively = keys.merges;
    let thoroughly = false;
    let conflicts = 0;
    const attempt = async (connection: Connection): Promise<Outcome[] | undefined> => {
      try {
        return await this.#transaction(
          connection,
          group,
          care,
          async (loader) => {
            const loaded = await loader.load(keys, exclusively);
            if (!thoroughly) return loaded;
            return { ...loaded, stored: [...loaded.stored, ...(await loader.loadAdded(group))] };
          },
          exclusively,
        );
      } catch (cause) {
        const remedy = remedyOf(cause);
        if (remedy === "refuse") throw new Refused(reasonOf(cause), { cause });
        if (remedy !== "again") throw cause;
        conflicts += 1;
        if (conflicts > mostConflicts) throw new Refused(reasonOf(cause), { cause });
        if (isConflict(cause)) thoroughly = exclusively = true;
        // Two that met must not meet again.
        await sleep(Math.random() * 10 * conflicts);
        return undefined;
      }
    };
    const outcomes = await this.#whenFree(async (connection) => {
      for (;;) {
        const stored = await attempt(connection);
        if (stored !== undefined) return stored;
        exclusively = true;
      }
    });
    this.#counts.commit((performance.now() - beganMs) / 1_000, nowMicros());
    return outcomes;
  }

  /** Undefined when rows of runs were changed that it has not locked. */
  async #transaction(
    connection: Connection,
    group: readonly ReadArrival[],
    care: Care,
    load: (loader: Loader) => ReturnType<Loader["load"]>,
    exclusively: boolean,
  ): Promise<Outcome[] | undefined> {
    await this.#begin(connection);
    try {
      faultPoint("writer: transaction begun");
      const { stored, sendersOf } = await load(new Loader(connection, this.#columns));
      const { outcomes, changes } = this.#mirror.store(group, stored, sendersOf, nowMicros(), care);
      if (!exclusively && changes.some(({ table }) => mergedTables.has(table.name))) {
        await connection.query("ROLLBACK");
        return undefined;
      }
      await new ChangeWriter(connection, this.#allColumns).write(changes);
      await this.#trimLog(connection, changes);
      await connection.query("COMMIT");
      faultPoint("writer: committed");
      return outcomes;
    } catch (cause) {
      if (!connection.isBroken) await connection.query("ROLLBACK").catch(() => undefined);
      throw cause;
    }
  }

  get #allColumns(): Columns {
    return this.#logColumns === undefined ? this.#columns : new Map([...this.#columns, ...this.#logColumns]);
  }

  /** Begins a transaction, and looks whether somebody has asked for a log, of whatever collector. */
  async #begin(connection: Connection): Promise<void> {
    const rows = await connection.query(
      `BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock_shared(${groupLock}); ` +
        "SELECT count(*) FROM pg_class WHERE oid = to_regclass('collector_log_id')",
    );
    if (this.#logColumns === undefined && rows[0]?.[0] === 1) this.#keepLog(await readLogColumns(connection));
  }

  #keepLog(columns: Columns): void {
    this.#logColumns = columns;
    this.#mirror.keepLog();
  }

  /** Removes the oldest of the log, now and then, that every sink that follows has read. */
  async #trimLog(connection: Connection, changes: readonly Changes[]): Promise<void> {
    const appended = changes.find(({ table }) => table.name === "collector_log");
    if (appended === undefined) return;
    const envelope = appended.columns.indexOf("envelope");
    for (const row of appended.added) this.#loggedBytes += (row[envelope] as Uint8Array).length;
    const mostBytes = this.#options.logBytes ?? defaultLogBytes;
    if (this.#loggedBytes < mostBytes / 64) return;
    this.#loggedBytes = 0;
    await connection.query(
      `DELETE FROM collector_log WHERE position <= (SELECT max(position) FROM (SELECT position,
        sum(octet_length(envelope)) OVER (ORDER BY position DESC) - octet_length(envelope) AS newer FROM collector_log)
        counted WHERE newer >= $1)
      AND position <= ALL (SELECT position FROM collector_follower WHERE name = ANY($2::text[]) OR followed_at_us > $3)`,
      [mostBytes, [...this.#followers], nowMicros() - otherFollowersUs],
    );
  }

  /** Calls `act` until the server is there and can do it. Says when waiting begins and when it ends. `isOpen`: whether it
   *  has worked before, so that a user who may not is not one who has misspelt something. */
  async #whenFree<T>(act: (connection: Connection) => Promise<T>, isOpen = true): Promise<T> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        if (this.#connection?.isBroken !== false) this.#connection = await this.#connect();
        const result = await act(this.#connection);
        if (this.#isBlocked) {
          this.#isBlocked = false;
          this.#onBlocked(undefined);
        }
        return result;
      } catch (cause) {
        const remedy = remedyOf(cause);
        const isLostRight = isOpen && /^(28|3D|42501)/.test(codeOf(cause));
        if (remedy !== "wait" && remedy !== "again" && !isLostRight) throw cause;
        if (remedy !== "again" && !this.#isBlocked) {
          this.#isBlocked = true;
          this.#onBlocked(`write database ${this.#name}: ${reasonOf(cause)}; ${cureOf(cause)}`);
        }
        await sleep(Math.min(500, 20 * 2 ** attempt));
      }
    }
  }

  #connect(): Promise<Connection> {
    return Connection.open(this.#config, this.#options);
  }

  #failure(act: string, cause: unknown): CollectorError {
    if (cause instanceof CollectorError) return cause;
    return new CollectorError("database", `${act} ${this.#name}: ${reasonOf(cause)}; ${cureOf(cause)}`, {
      cause,
    });
  }
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : "";
}

/** An arrival whose texts PostgreSQL can hold, and the sender's own name for itself where that is another. */
function readArrival(arrival: Omit<Arrival, "envelope"> & { readonly envelope: Uint8Array }): ReadArrival & {
  readonly sentAs?: string;
} {
  const envelope = readEnvelope(arrival.envelope);
  if ("invalid" in envelope) return { ...arrival, envelope };
  const stored = storable(envelope);
  return {
    ...arrival,
    envelope: stored,
    ...(stored.senderId !== envelope.senderId && { sentAs: envelope.senderId }),
  };
}

/** One outcome of an envelope that was stored in parts, in the order of its messages. */
function joined(outcomes: readonly Outcome[]): Outcome {
  const acknowledgements = outcomes.flatMap((outcome) =>
    "acknowledgement" in outcome ? [outcome.acknowledgement] : [],
  );
  const refusal = outcomes.find((outcome) => !("acknowledgement" in outcome));
  const [first] = acknowledgements;
  const last = acknowledgements.at(-1);
  if (refusal !== undefined) return refusal;
  if (first?.committed === undefined || last?.committed === undefined)
    throw new CollectorError("internal", "join parts of an envelope: one has no message");
  return {
    acknowledgement: {
      ...last,
      committed: { first: first.committed.first, last: last.committed.last },
      rejections: acknowledgements.flatMap(({ rejections }) => rejections),
    },
  };
}
