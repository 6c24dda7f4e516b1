import type { QueryClient } from "@tanstack/react-query";

import type { Change, Indexed } from "../view/api.js";
import { percent } from "./format.js";

/** How often what a page shows is asked for anew at most, in ms; less often where the answers take longer. */
const pauseMs = 250;
/** Until the events are asked for again after a refusal, which the browser itself takes for final. */
const refusedMs = 5_000;

export type LiveState = "live" | "reconnecting" | `reading the file: ${string}`;

/** Hears of changes of the file by server-sent events and has the queries asked anew that they concern. It keeps only
 *  the names of the runs that changed since the last time. */
export class Live {
  readonly #queries: QueryClient;
  readonly #listeners = new Set<() => void>();
  readonly #changed = new Set<string>();
  /** Anything may have changed. */
  #everything = false;
  #updating = false;
  #state: LiveState = "live";

  constructor(queries: QueryClient) {
    this.#queries = queries;
    document.addEventListener("visibilitychange", () => void this.#update());
    this.#listen();
  }

  /** For useSyncExternalStore. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly state = (): LiveState => this.#state;

  /** Tells how far the file is read, as another answer said it. */
  indexed({ rows, ofRows }: Indexed): void {
    this.#become(rows < ofRows ? `reading the file: ${percent(rows / ofRows)}` : "live");
  }

  #listen(): void {
    const source = new EventSource("/api/events");
    source.addEventListener("open", () => {
      if (this.#state === "reconnecting") this.#become("live");
    });
    source.addEventListener("change", ({ data }: MessageEvent<string>) => {
      const change = JSON.parse(data) as Change;
      for (const run of change.runs) this.#changed.add(run);
      // Of no run: what a new stream says first, and nobody told what changed before it; or something was committed that
      // is no run's, as the last word of a sender, which may complete any.
      if (change.runs.length === 0) this.#everything = true;
      this.indexed(change.indexed);
      void this.#update();
    });
    source.addEventListener("error", () => {
      this.#become("reconnecting");
      if (source.readyState !== EventSource.CLOSED) return;
      setTimeout(() => this.#listen(), refusedMs);
    });
  }

  /** One at a time: while answers are on their way, changes gather. A page that nobody sees waits until somebody does. */
  async #update(): Promise<void> {
    if (this.#updating) return;
    this.#updating = true;
    while (!document.hidden && (this.#everything || this.#changed.size > 0)) {
      const runs = new Set(this.#changed);
      const everything = this.#everything;
      this.#changed.clear();
      this.#everything = false;
      await this.#queries.invalidateQueries({
        predicate: ({ queryKey: [kind, run] }) =>
          everything || kind === "runs" || (kind === "run" && runs.has(run as string)),
      });
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    this.#updating = false;
  }

  #become(state: LiveState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}
