import type { Overview } from "../server/sinks/sqlite/overview.js";
import { counted, digits } from "../base/counted.js";
import { table } from "./data.js";
import { heardAt, stateNames } from "./run-text.js";

/** Over how long the rate is told, in ms. */
const rateMs = 10_000;

/** Runs that are shown where there is no screen that limits them: the last ones. */
const mostRuns = 20;

/** Lines of a screen that are no runs. */
const otherLines = 7;

/** The screen of `tail --view`: what a file holds at one time, and how fast that grows. */
export class View {
  /** How many messages had come, at each look of the last seconds. */
  #looks: { readonly atMs: number; readonly messages: number }[] = [];
  #overview: Overview | undefined;

  /** Takes what a look has found. `atMs`: by a clock that only goes forward. */
  update(overview: Overview, atMs: number): void {
    this.#overview = overview;
    const { stored, rejected } = overview.counts;
    this.#looks.push({ atMs, messages: stored + rejected });
    this.#looks = this.#looks.filter((look) => atMs - look.atMs <= rateMs);
  }

  /** Messages a second over the last seconds; undefined at the first look. */
  get #rate(): number | undefined {
    const [first, last] = [this.#looks[0], this.#looks.at(-1)];
    if (first === undefined || last === undefined || last.atMs === first.atMs) return undefined;
    return (last.messages - first.messages) / ((last.atMs - first.atMs) / 1000);
  }

  asText(screenLines = mostRuns + otherLines): string {
    if (this.#overview === undefined) return "";
    const { runs, senders, counts, lagMs } = this.#overview;
    const shown = runs.slice(-Math.max(1, screenLines - otherLines));
    const rate = this.#rate;
    const lines = [
      `${counted(runs.length, "run")}, ${counted(senders, "sender")}: ${counted(counts.stored, "message")} stored, ` +
        `${digits(counts.rejected)} rejected, ${digits(counts.missing)} missing, ${digits(counts.lost)} lost`,
      `rate ${rate === undefined ? "–" : digits(Math.round(rate))} messages/s, ` +
        `lag ${lagMs === undefined ? "–" : `${digits(Math.round(lagMs))} ms`}`,
    ];
    if (shown.length > 0) {
      lines.push(
        "",
        table(
          ["run", "workflow", "state", "last heard", "tasks"],
          shown.map(({ runId, workflowName, state, lastReceivedAt, tasks }) => [
            runId,
            workflowName,
            stateNames[state] ?? "unknown",
            heardAt(lastReceivedAt),
            tasksText(tasks),
          ]),
        ),
      );
    }
    if (shown.length < runs.length) lines.push(`and ${counted(runs.length - shown.length, "earlier run")}`);
    return lines.join("\n");
  }

  asJson(): unknown {
    if (this.#overview === undefined) return {};
    const { runs, senders, counts, lagMs } = this.#overview;
    return {
      ...{ senders, ...counts, ratePerSecond: this.#rate ?? null, lagMs: lagMs ?? null },
      runs: runs.map(({ runId, workflowName, state, lastReceivedAt, tasks }) => ({
        ...{ run: runId, workflow: workflowName, state: stateNames[state] ?? "unknown" },
        ...{ lastHeard: heardAt(lastReceivedAt), tasks: Object.fromEntries(tasks) },
      })),
    };
  }
}

function tasksText(tasks: ReadonlyMap<string, number>): string {
  return [...tasks]
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${digits(count)} ${state}`)
    .join(", ");
}
