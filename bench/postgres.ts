import { PostgresServer, whyNoPostgres } from "../tests/support/postgres-server.js";
import { saturate } from "./load.js";
import { messagesOfUnit } from "./messages.js";
import { inDirectory, inTurn, scaled, type Setting } from "./part.js";
import { BenchCollector } from "./processes.js";
import { median, rounded, times, type Findings } from "./report.js";

/** One way to store, and its messages a second in each round. */
interface Series {
  readonly mix: "resource" | "tasks";
  readonly database: "SQLite" | "PostgreSQL";
  readonly collectors: number;
  /** Whether each collector has messages of a run of its own. */
  readonly isRunEach: boolean;
  readonly rates: number[];
}

/** Streams of all collectors together, and messages of an envelope. */
const streams = 8;
const envelopeMessages = 450;

const nameOfMix = { resource: "ResourceInfo", tasks: "whole task lives" } as const;

/** Into one PostgreSQL by 1, 2 and 4 collectors, beside one into SQLite, in turn, all processes on this machine. Both
 *  commit to the disk. */
export async function measurePostgres(setting: Setting): Promise<Findings> {
  const why = whyNoPostgres();
  if (why !== undefined) throw new Error(why);
  const undo: (() => unknown)[] = [];
  const scope = { teardown: (fn: () => unknown) => undo.push(fn), passed: true, log: () => undefined };
  const all = (["resource", "tasks"] as const).flatMap((mix): Series[] => [
    { mix, database: "SQLite", collectors: 1, isRunEach: false, rates: [] },
    { mix, database: "PostgreSQL", collectors: 1, isRunEach: false, rates: [] },
    ...[false, true].flatMap((isRunEach) =>
      [2, 4].map((collectors): Series => ({ mix, database: "PostgreSQL", collectors, isRunEach, rates: [] })),
    ),
  ]);
  try {
    const server = await PostgresServer.start(scope, [
      "fsync=on",
      "shared_buffers=256MB",
      "max_wal_size=4GB",
    ]);
    const messages = scaled(144_000, setting, 36_000);
    await inTurn(setting, "PostgreSQL beside SQLite", async () => {
      for (const series of all) series.rates.push(await once(series, server, messages));
    });
  } finally {
    for (const fn of undo.reverse()) await fn();
  }
  const ofOne = (mix: Series["mix"]): number =>
    median(all.find((one) => one.mix === mix && one.database === "PostgreSQL")?.rates ?? []);
  return {
    tables: [
      {
        title: "Into PostgreSQL",
        rows: [
          ["messages", "database", "collectors", "runs", "durable/s", "of the rounds", "by one collector's"],
          ...all.map(({ mix, database, collectors, isRunEach, rates }) => [
            nameOfMix[mix],
            database,
            String(collectors),
            isRunEach ? "one each" : "one",
            rounded(median(rates)),
            `${rounded(Math.min(...rates))} to ${rounded(Math.max(...rates))}`,
            times(median(rates) / ofOne(mix)),
          ]),
        ],
      },
    ],
  };
}

function once(
  { mix, collectors, database, isRunEach }: Series,
  server: PostgresServer,
  messages: number,
): Promise<number> {
  return inDirectory(async (file) => {
    const name = database === "SQLite" ? file : await server.newDatabase();
    const started = await Promise.all(Array.from({ length: collectors }, () => BenchCollector.start(name)));
    const units = Math.floor(messages / collectors / messagesOfUnit[mix]);
    try {
      const figures = await Promise.all(
        started.map((collector, n) =>
          saturate(collector, {
            ...{
              mix,
              messages: units * messagesOfUnit[mix],
              streams: streams / collectors,
              envelopeMessages,
            },
            first: isRunEach ? 0 : n * units,
            runId: isRunEach ? `bench-${String(n)}` : "bench",
          }),
        ),
      );
      return figures.reduce((sum, { messagesPerSecond }) => sum + messagesPerSecond, 0);
    } finally {
      await Promise.all(started.map((collector) => collector.stop()));
    }
  });
}
