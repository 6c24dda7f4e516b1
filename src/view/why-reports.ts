import { once } from "node:events";
import { Worker } from "node:worker_threads";

import type { Why } from "./api.js";

/** What a thread that finds out why is told, and what it answers. */
export interface WhyData {
  readonly path: string;
  readonly runId: string;
}
export type WhyAnswer = { readonly why: Why } | { readonly failed: string };

/** How long an answer of a file that changes is good, in the time that finding it took: it is to take a twentieth of a
 *  core at most. */
const goodFor = 20;

interface Report {
  /** The number of the change of the file that it is of. */
  readonly number: number;
  readonly why: Promise<Why>;
  /** When it must be found anew, in ms of the monotonic clock. */
  until: number;
}

/** Finds out why the tasks of a run failed, which takes seconds for a million of them: in threads of their own. */
export class WhyReports {
  readonly #path: string;
  readonly #reports = new Map<string, Report>();

  constructor(path: string) {
    this.#path = path;
  }

  /** `number` is that of the latest change of the file. */
  of(runId: string, number: number): Promise<Why> {
    const kept = this.#reports.get(runId);
    if (kept !== undefined && (kept.number === number || performance.now() < kept.until)) return kept.why;
    const began = performance.now();
    const report: Report = { number, why: this.#find(runId), until: Infinity };
    this.#reports.set(runId, report);
    const end = (): void => {
      report.until = performance.now() + goodFor * (performance.now() - began);
    };
    report.why.then(end, () => this.#reports.delete(runId));
    return report.why;
  }

  async #find(runId: string): Promise<Why> {
    const workerData: WhyData = { path: this.#path, runId };
    const worker = new Worker(new URL("./why-thread.js", import.meta.url), { workerData });
    const [answer] = (await once(worker, "message")) as [WhyAnswer];
    if ("why" in answer) return answer.why;
    throw new Error(answer.failed);
  }
}
