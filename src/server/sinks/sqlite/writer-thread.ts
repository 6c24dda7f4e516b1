import { runWriter } from "../writer-loop.js";
import type { FileOptions } from "./file.js";
import { blockThread, SqliteWriter } from "./writer.js";

await runWriter(
  (options, onBlocked, counts) => new SqliteWriter(options as FileOptions, onBlocked, blockThread, counts),
);
