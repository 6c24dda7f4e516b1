import type { Logger } from "../../base/logger.js";
import type { Sink } from "./sink.js";
import { isPostgresUrl } from "./postgresql/url.js";
import type { FileOptions } from "./sqlite/file.js";
import { openSqliteSink } from "./sqlite/sink.js";

/** How what a collector receives is stored. `path` may be a URL of PostgreSQL, which has no journal mode. */
export type DatabaseOptions = FileOptions;

/** Opens the sink that decides what is acknowledged; it counts the messages of these radios apart. Rejects with a
 *  CollectorError for a database that can never be used; one that another has locked, or that is away, is waited for,
 *  and the sink is usable meanwhile. */
export async function openSink(
  options: DatabaseOptions,
  logger: Logger,
  radios: readonly string[] = [],
): Promise<Sink> {
  const { path, durability, sendersPerRun, logBytes } = options;
  if (!isPostgresUrl(path)) return openSqliteSink(options, logger, radios);
  // Loaded only now: most collectors do without.
  const { openPostgresSink } = await import("./postgresql/sink.js");
  return openPostgresSink(
    { url: path, durable: durability === "full", sendersPerRun, logBytes },
    logger,
    radios,
  );
}
