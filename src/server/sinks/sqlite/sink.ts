import { stat } from "node:fs/promises";
import { resolve } from "node:path";

import type { Logger } from "../../../base/logger.js";
import type { Sink } from "../sink.js";
import { WriterSink } from "../writer-sink.js";
import type { FileOptions } from "./file.js";
import { FileLog } from "./log.js";

/** Opens a SQLite file as a sink, which counts the messages of these radios apart. Rejects with a CollectorError for a
 *  file that can never be used; a file that another process has locked is waited for, and the sink is usable
 *  meanwhile. */
export async function openSqliteSink(
  options: FileOptions,
  logger: Logger,
  radios: readonly string[] = [],
): Promise<Sink> {
  const path = resolve(options.path);
  const sink = new WriterSink(
    {
      name: path,
      thread: new URL("./writer-thread.js", import.meta.url),
      options: { ...options, path },
      durability: options.durability,
      log: (startKeeping) => new FileLog(path, startKeeping),
      sizes: async () => ({ database: await sizeOf(path), wal: await sizeOf(`${path}-wal`) }),
    },
    logger,
    radios,
  );
  await sink.opened;
  return sink;
}

/** 0 for a file that is not there. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
