import type { Logger } from "../../../base/logger.js";
import type { Sink } from "../sink.js";
import { WriterSink } from "../writer-sink.js";
import { PostgresLog } from "./log.js";
import { withoutSecrets } from "./url.js";
import type { PostgresOptions } from "./writer.js";

/** Opens a PostgreSQL database as a sink, which counts the messages of these radios apart. Rejects with a CollectorError
 *  for one that can never be used as the URL says; a server that is away is waited for, and the sink is usable
 *  meanwhile. */
export async function openPostgresSink(
  options: PostgresOptions,
  logger: Logger,
  radios: readonly string[] = [],
): Promise<Sink> {
  // The log has a connection of its own, which is made when somebody follows, or asks how large the database is.
  const log = Promise.withResolvers<PostgresLog>();
  const sink = new WriterSink(
    {
      name: withoutSecrets(options.url),
      thread: new URL("./postgresql-thread.js", import.meta.url),
      options,
      durability: options.durable ? "full" : "normal",
      log: (startKeeping) => {
        const made = new PostgresLog(options.url, startKeeping);
        log.resolve(made);
        return made;
      },
      sizes: async () => (await log.promise).sizes(),
    },
    logger,
    radios,
  );
  await sink.opened;
  return sink;
}
