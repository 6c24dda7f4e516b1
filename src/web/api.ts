import { keepPreviousData } from "@tanstack/react-query";

import type {
  ApiError,
  Graph,
  Resources,
  RunDetail,
  RunSummary,
  Source,
  TaskDetail,
  TaskPage,
  Time,
  Timeline,
  Why,
  Workers,
} from "../view/api.js";

/** The server's answer that there is none, in its own sentence. */
export class Problem extends Error {
  /** HTTP status; 0 where the server was not reached. */
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export type Parameters = Readonly<Record<string, string | number | readonly string[] | undefined>>;

/** Rejects with Problem, or with AbortError when `signal` says that nobody waits for it any more. */
export async function get<T>(
  path: readonly string[],
  parameters: Parameters = {},
  signal: AbortSignal | null = null,
): Promise<T> {
  const response = await fetch(address(path, parameters), {
    signal,
    headers: { accept: "application/json" },
  }).catch((error: unknown) => {
    if (signal?.aborted === true) throw error;
    throw new Problem(0, "The collector's page does not answer. It tries again when the connection is back.");
  });
  if (!response.ok) throw new Problem(response.status, await sentence(response));
  return (await response.json()) as T;
}

async function sentence(response: Response): Promise<string> {
  try {
    return ((await response.json()) as ApiError).error;
  } catch {
    return `The server answered ${String(response.status)} ${response.statusText}, and not why.`;
  }
}

function address(path: readonly string[], parameters: Parameters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of typeof value === "object" ? value : [value]) {
      if (one !== undefined) query.append(name, String(one));
    }
  }
  const suffix = query.size === 0 ? "" : `?${query.toString()}`;
  return `/api/${path.map(encodeURIComponent).join("/")}${suffix}`;
}

/** What a page shows while the next answer is on its way: the last one of the same address. */
export const previous = { placeholderData: keepPreviousData };

/** What useQuery takes. */
export interface Query<T> {
  readonly queryKey: readonly unknown[];
  readonly queryFn: (context: { readonly signal: AbortSignal }) => Promise<T>;
  /** Until it is asked again though nothing was committed, in ms. */
  readonly refetchInterval?: (query: { readonly state: { readonly data: T | undefined } }) => number | false;
}

/** How often what is still open about a run is asked again, in ms: whether its driver is lost depends on the clock, and the
 *  server reads the ledger once a second at most, so that its last word may have come just after. */
const openMs = 5_000;

/** How long after the end of a run last words of its senders may come, in ms. */
const settledMs = 60_000;

function isOpen({ completed, completeness }: RunSummary): boolean {
  if (completeness === null || completeness.complete || completeness.state === "lost") return false;
  return completed === null || Date.now() - completed < settledMs;
}

export interface TimeRange {
  readonly from?: Time;
  readonly to?: Time;
}

/** The queries by their addresses. Keys of a run begin with ["run", RUN], so that news of it reach all of them. */
export const queries = {
  source: (): Query<Source> => query(["source"], ["source"]),
  runs: (): Query<readonly RunSummary[]> => ({
    ...query<readonly RunSummary[]>(["runs"], ["runs"]),
    refetchInterval: ({ state: { data } }) => (data?.some(isOpen) === true ? openMs : false),
  }),
  run: (runId: string): Query<RunDetail> => ({
    ...ofRun<RunDetail>(runId, []),
    refetchInterval: ({ state: { data } }) => (data !== undefined && isOpen(data) ? openMs : false),
  }),
  timeline: (runId: string, range: TimeRange & { readonly points?: number } = {}): Query<Timeline> =>
    ofRun(runId, ["timeline"], range),
  tasks: (runId: string, parameters: Parameters): Query<TaskPage> => ofRun(runId, ["tasks"], parameters),
  task: (runId: string, task: number): Query<TaskDetail> => ofRun(runId, ["tasks", String(task)]),
  graph: (runId: string, level?: "task" | "app"): Query<Graph> => ofRun(runId, ["graph"], { level }),
  workers: (runId: string, range: TimeRange & { readonly most?: number } = {}): Query<Workers> =>
    ofRun(runId, ["workers"], range),
  resources: (runId: string): Query<Resources> => ofRun(runId, ["resources"]),
  why: (runId: string): Query<Why> => ofRun(runId, ["why"]),
};

function ofRun<T>(runId: string, path: readonly string[], parameters: object = {}): Query<T> {
  return query(["run", runId, ...path, parameters], ["runs", runId, ...path], parameters as Parameters);
}

function query<T>(
  queryKey: readonly unknown[],
  path: readonly string[],
  parameters: Parameters = {},
): Query<T> {
  return { queryKey, queryFn: ({ signal }) => get<T>(path, parameters, signal) };
}
