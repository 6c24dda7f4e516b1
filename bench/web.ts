import { saturate, type LoadFigures } from "./load.js";
import { wholeUnits } from "./ingest.js";
import { inDirectory, inTurn, scaled, type Setting } from "./part.js";
import { BenchCollector } from "./processes.js";
import { median, percent, rounded, type Findings } from "./report.js";

const pages = 10;

/** Of the rate without a page. */
const leastRate = 0.9;

/** As many times the rounds of other parts: a single one is wrong by a tenth. */
const timesRounds = 2;

const runId = "bench";

/** What is stored while ten pages are open on the run, beside what is stored without any. */
export async function measureWeb(setting: Setting): Promise<Findings> {
  const messages = wholeUnits("tasks", scaled(600_000, setting, 90_000));
  const load = {
    mix: "tasks",
    streams: 10,
    envelopeMessages: 450,
    messages,
    runId,
    longestMs: 15_000,
  } as const;
  const found: {
    readonly without: LoadFigures;
    readonly withPages: LoadFigures;
    readonly answers: number;
  }[] = [];
  const setup = { ...setting, rounds: setting.rounds * timesRounds };
  await inTurn(setup, "whole task lives, without a page and with ten", async () => {
    const without = await inDirectory(async (database) => {
      await using collector = await BenchCollector.start(database);
      return await saturate(collector, load);
    });
    const [withPages, answers] = await inDirectory(async (database) => {
      await using collector = await BenchCollector.start(database, ["--web", "127.0.0.1:0"]);
      const open = Array.from({ length: pages }, () => new OpenPage(collector.web ?? ""));
      const figures = await saturate(collector, load);
      await Promise.all(open.map((page) => page.close()));
      return [figures, open.reduce((sum, page) => sum + page.answers, 0)] as const;
    });
    found.push({ without, withPages, answers });
  });
  const left = median(
    found.map(({ without, withPages }) => withPages.messagesPerSecond / without.messagesPerSecond),
  );
  const of = (figure: (one: (typeof found)[number]) => number): string => rounded(median(found.map(figure)));
  const cpu = (which: "without" | "withPages"): string =>
    `${median(found.map((one) => one[which].cpuMicrosPerMessage)).toFixed(1)} us`;
  return {
    tables: [
      {
        title: "Ingest while ten pages are open on the run",
        rows: [
          ["", "messages/s", "the collector's CPU a message", "answers to pages"],
          ["without a page", of(({ without }) => without.messagesPerSecond), cpu("without"), "–"],
          [
            ...["with ten", of(({ withPages }) => withPages.messagesPerSecond), cpu("withPages")],
            of(({ answers }) => answers),
          ],
        ],
      },
    ],
    targets: [
      {
        figure: "whole task lives committed with ten pages open",
        wanted: `≥ ${percent(leastRate)} of the rate without`,
        found: percent(left),
        isMet: left >= leastRate,
      },
    ],
    ratios: { "with ten pages by without": left },
  };
}

/** Asks as the page does: at each change for all that it shows. */
class OpenPage {
  answers = 0;
  readonly #url: string;
  readonly #closed = new AbortController();
  readonly #ended: Promise<void>;

  constructor(url: string) {
    this.#url = url;
    this.#ended = this.#follow().catch((cause: unknown) => {
      if (!this.#closed.signal.aborted) throw cause;
    });
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#ended;
  }

  async #follow(): Promise<void> {
    const events = await this.#fetch("api/events");
    for await (const chunk of events.body ?? []) {
      if (!Buffer.from(chunk as Uint8Array).includes("event: change")) continue;
      await Promise.all(
        ["", "/timeline", "/tasks?limit=100"].map(async (path) => {
          const answer = await this.#fetch(`api/runs/${runId}${path}`);
          await answer.arrayBuffer();
          if (answer.ok) this.answers += 1; // until the first message is in the index there is no such run
        }),
      );
    }
  }

  #fetch(path: string): Promise<Response> {
    return fetch(new URL(path, this.#url), { signal: this.#closed.signal });
  }
}
