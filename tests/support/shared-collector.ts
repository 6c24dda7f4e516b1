import { randomUUID } from "node:crypto";

import test from "ava";

import { startCollector, type CollectorOptions, type RunningCollector } from "./collector.js";
import { openDatabase, type ReadableDatabase } from "./database.js";
import { fileScope } from "./file-scope.js";
import { Service } from "./service.js";

/** A collector that all tests of a file use, each with a run of its own. */
export interface SharedCollector {
  readonly collector: RunningCollector;
  readonly service: Service;
  readonly db: ReadableDatabase;
}

/** Runs one collector, with times in UTC, for all tests of the calling file. The function that is returned
 *  may be called in tests only. */
export function sharedCollector(options: CollectorOptions = {}): () => SharedCollector {
  const scope = fileScope();
  let shared: SharedCollector | undefined;

  test.before(async () => {
    const args = ["--timezone", "UTC", ...(options.args ?? [])];
    const collector = await startCollector(scope, { ...options, args });
    shared = {
      collector,
      service: Service.connect(scope, collector.address),
      db: openDatabase(scope, collector.database),
    };
  });

  return () => {
    if (shared === undefined) throw new Error("the collector of this file has not started yet");
    return shared;
  };
}

export function newRunId(): string {
  return randomUUID();
}
