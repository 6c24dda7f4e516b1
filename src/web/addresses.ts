export type RunPage = "" | "tasks" | "graph" | "workers" | "resources" | "why";

/** The address of a page of a run; `query` as in "?state=failed". */
export function runAddress(runId: string, page: RunPage = "", query = ""): string {
  return `/runs/${encodeURIComponent(runId)}${page === "" ? "" : `/${page}`}${query}`;
}

export function taskAddress(runId: string, task: number): string {
  return `${runAddress(runId, "tasks")}/${String(task)}`;
}
