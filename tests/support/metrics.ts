/** One line of a scrape. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What a collector's /metrics says now. */
export class Scrape {
  readonly samples: readonly Sample[];

  private constructor(text: string) {
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
