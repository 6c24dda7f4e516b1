import { readFileSync } from "node:fs";

/** One line of a scrape. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What /metrics says now. */
export class Scrape {
  readonly samples: readonly Sample[];
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
    this.samples = text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map(sampleOf);
  }

  static async of(address: string): Promise<Scrape> {
    const response = await fetch(`http://${address}/metrics`);
    if (!response.ok)
      throw new Error(`/metrics answered ${String(response.status)}: ${await response.text()}`);
    return new Scrape(await response.text());
  }

  /** Our metrics, as "name type `label`, `label`". */
  get metrics(): string[] {
    const types = this.#text.matchAll(/^# TYPE (parsl_collector_\w+) (\w+)$/gm);
    return Array.from(types, ([, name = "", type = ""]) => {
      const own = this.samples.filter((one) => one.name === name);
      const labels = new Set(own.flatMap((one) => Object.keys(one.labels)));
      return `${name} ${type} ${[...labels]
        .sort()
        .map((label) => `\`${label}\``)
        .join(", ")}`;
    }).sort();
  }

  /** The sum over all samples of a name that have these labels; undefined when there are none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const found = this.samples.filter(
      (sample) =>
        sample.name === name &&
        Object.entries(labels).every(([label, value]) => sample.labels[label] === value),
    );
    return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
  }
}

/** The metrics that docs/OPERATIONS.md has in its tables, in the same form. */
export function documentedMetrics(): string[] {
  const page = readFileSync("docs/OPERATIONS.md", "utf8");
  const rows = page.matchAll(/^\| `(parsl_collector_\w+)` *\| (\w+) *\| ([^|]*?) *\|/gm);
  return Array.from(rows, ([, name = "", type = "", labels = ""]) => `${name} ${type} ${labels}`).sort();
}

/** Throws for a line that is not of Prometheus' text format. */
function sampleOf(line: string): Sample {
  const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null) throw new Error(`no sample: ${line}`);
  const [, name = "", labels = "", value = ""] = match;
  const pairs = labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g);
  return {
    name,
    labels: Object.fromEntries(Array.from(pairs, ([, label = "", text = ""]) => [label, text] as const)),
    value: Number(value.replace("Inf", "Infinity")),
  };
}
