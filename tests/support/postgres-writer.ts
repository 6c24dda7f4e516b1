import { StoreCounts } from "../../src/server/store-counts.js";
import { PostgresWriter, type PostgresOptions } from "../../src/server/sinks/postgresql/writer.js";
import type { Scope } from "./scope.js";

/** Opens a writer on a database that is there, until the test ends. */
export async function openPostgresWriter(
  t: Scope,
  url: string,
  options: Partial<PostgresOptions> = {},
): Promise<PostgresWriter> {
  const writer = await PostgresWriter.open(
    { url, durable: false, ...options },
    (reason) => {
      if (reason !== undefined) throw new Error(`the database cannot be written: ${reason}`);
    },
    new StoreCounts(["grpc"]),
  );
  t.teardown(() => writer.close());
  return writer;
}
