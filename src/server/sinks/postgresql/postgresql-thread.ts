import { runWriter } from "../writer-loop.js";
import { PostgresWriter, type PostgresOptions } from "./writer.js";

await runWriter((options, onBlocked, counts) =>
  PostgresWriter.open(options as PostgresOptions, onBlocked, counts),
);
