import { Hono, type Context } from "hono";
import { streamSSE } from "hono/streaming";

import { reasonOf } from "../base/errors.js";
import { guard, type PageAccess } from "./access.js";
import { BadRequest, NotFound, type Data } from "./answers.js";
import type { ApiError, Source } from "./api.js";
import type { Events } from "./events.js";
import { graphOf } from "./graph.js";
import { taskColumns } from "./index-file.js";
import type { Pages } from "./pages.js";
import { resourcesOf } from "./resources.js";
import { runDetail, runSummaries } from "./runs.js";
import { taskDetail, taskPage } from "./tasks.js";
import { timelineOf } from "./timeline.js";
import type { WhyReports } from "./why-reports.js";
import { workersOf } from "./workers.js";

export interface RoutesParts {
  readonly data: Data;
  readonly whyReports: WhyReports;
  readonly events: Events;
  readonly pages: Pages;
  readonly access: PageAccess;
  readonly timezone: string;
  readonly version: string;
}

/** Silence on a stream of events, in ms, after which a comment says that it is alive: proxies end what is silent. */
const pingMs = 15_000;

/** How long an answer is good while nothing changes in the file, in ms: whether a run is lost depends on the clock too. */
const answerMs = 5_000;

/** Answers that are kept: pages that show the same ask the same. */
const mostAnswers = 200;

/** How long an answer about a run waits for the index to reach it, in ms: a link that is opened right after the start
 *  must not say that there is no such run. */
const indexWaitMs = 10_000;

const headers = {
  // AG Grid and ECharts set styles of elements.
  "Content-Security-Policy":
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; " +
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
};

/** The page and its API over HTTP. */
export function routes({ data, whyReports, events, pages, access, timezone, version }: RoutesParts): Hono {
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    for (const [name, value] of Object.entries(headers)) context.header(name, value);
  });
  app.use(guard(access));
  app.onError((error, context) => {
    const status = error instanceof NotFound ? 404 : error instanceof BadRequest ? 400 : 500;
    return context.json({ error: reasonOf(error) } satisfies ApiError, status);
  });

  const answers = new Map<string, { readonly number: number; readonly at: number; readonly json: string }>();
  /** Answers with what `make` makes, or made already when the same was asked and nothing has changed since. */
  const answer = (context: Context, make: () => unknown): Response => {
    const { url } = context.req;
    const now = Date.now();
    let kept = answers.get(url);
    if (kept === undefined || kept.number !== events.number || now - kept.at > answerMs) {
      kept = { number: events.number, at: now, json: JSON.stringify(make()) };
      if (answers.size >= mostAnswers) answers.clear();
      answers.set(url, kept);
    }
    context.header("Cache-Control", "no-store");
    return context.body(kept.json, 200, { "Content-Type": "application/json; charset=utf-8" });
  };

  app.use("/api/runs/:run/*", async (context, next) => {
    const isReached = (): boolean => !events.isBehind || data.hasRun(context.req.param("run"));
    await events.until(isReached, indexWaitMs);
    await next();
  });
  app.get("/api/source", (context) =>
    answer(context, (): Source => {
      const { file, hasLedger } = data.source;
      return { file, hasLedger, timezone, version, indexed: events.indexed };
    }),
  );
  app.get("/api/runs", (context) => answer(context, () => runSummaries(data, Date.now())));
  app.get("/api/runs/:run", (context) =>
    answer(context, () => runDetail(data, context.req.param("run"), Date.now())),
  );
  app.get("/api/runs/:run/timeline", (context) =>
    answer(context, () =>
      timelineOf(data, context.req.param("run"), {
        from: optionalNumber(context, "from"),
        to: optionalNumber(context, "to"),
        points: numberIn(context, "points", 600, 2, 5_000),
      }),
    ),
  );
  app.get("/api/runs/:run/tasks", (context) =>
    answer(context, () => {
      const of = (name: string): string[] => context.req.queries(name) ?? [];
      return taskPage(data, context.req.param("run"), {
        offset: numberIn(context, "offset", 0, 0, 2 ** 32),
        limit: numberIn(context, "limit", 100, 0, 1_000),
        sort: oneOf(context, "sort", taskColumns) ?? "task",
        order: oneOf(context, "order", ["asc", "desc"] as const) ?? "asc",
        search: context.req.query("search") ?? "",
        ...{
          state: of("state"),
          app: of("app"),
          executor: of("executor"),
          block: of("block"),
          host: of("host"),
        },
      });
    }),
  );
  app.get("/api/runs/:run/tasks/:task{[0-9]+}", (context) =>
    answer(context, () => taskDetail(data, context.req.param("run"), Number(context.req.param("task")))),
  );
  app.get("/api/runs/:run/graph", (context) =>
    answer(context, () =>
      graphOf(data, context.req.param("run"), oneOf(context, "level", ["task", "app"] as const)),
    ),
  );
  app.get("/api/runs/:run/workers", (context) =>
    answer(context, () =>
      workersOf(data, context.req.param("run"), {
        from: optionalNumber(context, "from"),
        to: optionalNumber(context, "to"),
        most: numberIn(context, "most", 5_000, 1, 100_000),
      }),
    ),
  );
  app.get("/api/runs/:run/resources", (context) =>
    answer(context, () => resourcesOf(data, context.req.param("run"))),
  );
  app.get("/api/runs/:run/why", async (context) => {
    const { run_id } = data.run(context.req.param("run"));
    context.header("Cache-Control", "no-store");
    return context.json(await whyReports.of(run_id, events.number));
  });
  app.get("/api/events", (context) => streamEvents(context, events, data));
  app.all("/api/*", () => {
    throw new NotFound("answer: the API has no such address; see docs/VIEW.md");
  });

  app.get("/assets/:name", (context) => {
    const asset = pages.asset(context.req.param("name"));
    if (asset === undefined) throw new NotFound("show the page: it has no such file; load it again");
    context.header("Cache-Control", "public, max-age=31536000, immutable");
    return context.body(asset.content, 200, { "Content-Type": asset.type });
  });
  app.get("*", (context) => {
    context.header("Cache-Control", "no-cache");
    return context.html(pages.html);
  });
  return app;
}

function streamEvents(context: Context, events: Events, data: Data): Response {
  context.header("Cache-Control", "no-store");
  context.header("X-Accel-Buffering", "no"); // a proxy must not hold events back
  return streamSSE(context, async (stream) => {
    const lastId = context.req.header("Last-Event-ID");
    const known = lastId === undefined ? events.number : events.numberOf(lastId);
    let told = events.number;
    const change = known === undefined ? undefined : events.since(known);
    const all = { runs: data.runs().map(({ run_id }) => run_id), indexed: events.indexed };
    await stream.writeSSE({ event: "change", id: events.id, data: JSON.stringify(change ?? all) });
    // Once: the stream keeps whoever asks to hear of its end for as long as it is open.
    const ended = new AbortController();
    stream.onAbort(() => ended.abort());
    const isOpen = (): boolean => !ended.signal.aborted;
    while (isOpen()) {
      await events.until(() => events.number !== told, pingMs, ended.signal);
      if (!isOpen()) return;
      if (events.number === told) await stream.write(": alive\n\n");
      else {
        const news = events.since(told);
        told = events.number;
        await stream.writeSSE({ event: "change", id: events.id, data: JSON.stringify(news) });
      }
    }
  });
}

function optionalNumber(context: Context, name: string): number | undefined {
  const text = context.req.query(name);
  if (text === undefined || text === "") return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new BadRequest(`read ${name}: expected a number, got "${text}"`);
  return value;
}

function numberIn(context: Context, name: string, usual: number, least: number, most: number): number {
  const value = optionalNumber(context, name) ?? usual;
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new BadRequest(
    `read ${name}: expected a whole number from ${String(least)} to ${String(most)}, got ${String(value)}`,
  );
}

function oneOf<T extends string>(context: Context, name: string, values: readonly T[]): T | undefined {
  const text = context.req.query(name);
  if (text === undefined || text === "") return undefined;
  const found = values.find((value) => value === text);
  if (found !== undefined) return found;
  throw new BadRequest(`read ${name}: expected one of ${values.join(", ")}, got "${text}"`);
}
