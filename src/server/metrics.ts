import { Counter, Gauge, type Metric } from "prom-client";

import { ProcessMetrics } from "../base/process-metrics.js";
import type { Losses } from "./sinks/sink.js";
import type { Distribution, StoreCounts } from "./store-counts.js";

/** What a collector tells of itself, each time that it is asked. */
export interface MetricsSource {
  readonly counts: StoreCounts;
  /** Bytes of the database on disk, by the names of its parts. */
  readonly databaseSizes: () => Promise<Readonly<Record<string, number>>>;
  readonly queuedBytes: () => number;
  readonly streams: () => { readonly open: number; readonly paused: number };
  /** What radios refused, by their names and by reason. */
  readonly refused: () => Iterable<readonly [radio: string, ReadonlyMap<string, number>]>;
  /** Undefined while the database cannot be asked. */
  readonly losses: () => Promise<Losses | undefined>;
  readonly serving: () => boolean;
  readonly databaseWritable: () => boolean;
  /** Commits that each sink which follows has not taken yet; undefined where there are none. */
  readonly lags: () => Promise<ReadonlyMap<string, number> | undefined>;
}

/** The metrics of a collector. Everything is read when it is asked for, from numbers that are kept anyway: messages cost
 *  nothing more. No label has values that a sender chooses. */
export class CollectorMetrics extends ProcessMetrics {
  readonly #source: MetricsSource;
  readonly #missing: Gauge;
  readonly #lost: Gauge;

  constructor(source: MetricsSource) {
    super();
    this.#source = source;
    this.#addMessages(source);
    this.#missing = this.gauge(
      "parsl_collector_missing_messages",
      "Messages of which nothing has come though their senders are known to have numbered them: on their way, or lost.",
    );
    this.#lost = this.gauge("parsl_collector_lost_messages", "Messages that their senders say they gave up.");
    this.#addStore(source);
    this.#addReceivers(source);
    this.#addSinks(source);
  }

  override async text(): Promise<string> {
    const losses = await this.#source.losses();
    // While the database cannot be asked the last numbers stand.
    if (losses !== undefined) {
      this.#missing.set(losses.missing);
      this.#lost.set(losses.lost);
    }
    return super.text();
  }

  #addMessages({ counts }: MetricsSource): void {
    new Counter({
      name: "parsl_collector_messages_total",
      help: "Messages received, by what became of them: stored as rows, rejected (kept with the reason), or repeated (stored before).",
      labelNames: ["kind", "radio", "outcome"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { count, ...labels } of counts.messages()) this.inc(labels, count);
      },
    });
    this.#histogram(
      "parsl_collector_lag_seconds",
      "Time from a message's own time to its commit, for messages that became rows. Clocks that differ shift it.",
      () => counts.lagSeconds,
    );
  }

  #addStore({ counts, databaseSizes, queuedBytes, databaseWritable }: MetricsSource): void {
    this.#histogram(
      "parsl_collector_commit_seconds",
      "Time from the writer's first look at a batch to its commit, waiting for locks included.",
      () => counts.commitSeconds,
    );
    this.#histogram(
      "parsl_collector_batch_messages",
      "Messages of a batch, which is committed at once.",
      () => counts.batchMessages,
    );
    this.gauge("parsl_collector_queue_bytes", "Bytes of envelopes that wait to be committed.", queuedBytes);
    new Gauge({
      name: "parsl_collector_database_size_bytes",
      help: "Size of the database file and of its write-ahead log.",
      labelNames: ["file"],
      registers: [this.registry],
      async collect() {
        for (const [file, bytes] of Object.entries(await databaseSizes())) this.set({ file }, bytes);
      },
    });
    this.gauge(
      "parsl_collector_database_writable",
      "0 while a lock or a full disk keeps the collector from writing, 1 otherwise.",
      () => Number(databaseWritable()),
    );
  }

  #addSinks({ lags }: MetricsSource): void {
    new Gauge({
      name: "parsl_collector_sink_lag_envelopes",
      help: "Envelopes that are committed and that a sink which follows has not taken yet.",
      labelNames: ["sink"],
      registers: [this.registry],
      async collect() {
        for (const [sink, lag] of (await lags()) ?? []) this.set({ sink }, lag);
      },
    });
  }

  #addReceivers({ streams, refused, serving }: MetricsSource): void {
    this.gauge("parsl_collector_open_streams", "Streams of gRPC that are open.", () => streams().open);
    this.gauge(
      "parsl_collector_paused_streams",
      "Streams of gRPC that are not read now, since the writer is behind.",
      () => streams().paused,
    );
    new Counter({
      name: "parsl_collector_refused_total",
      help: "Connections, requests and datagrams that were refused, by radio and reason.",
      labelNames: ["radio", "reason"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [radio, counts] of refused()) {
          for (const [reason, count] of counts) this.inc({ radio, reason }, count);
        }
      },
    });
    this.gauge("parsl_collector_serving", "1 while health checks say SERVING, 0 otherwise.", () =>
      Number(serving()),
    );
  }

  #histogram(name: string, help: string, read: () => Distribution): void {
    // A registry asks a metric for no more than this. prom-client's own Histogram takes values one by one.
    const histogram = {
      name,
      get: () => Promise.resolve({ ...{ name, help, type: "histogram" }, ...valuesOf(name, read()) }),
    };
    this.registry.registerMetric(histogram as unknown as Metric);
  }
}

function valuesOf(name: string, { upTo, sum }: Distribution): { values: object[] } {
  const buckets = [...upTo].map(([bound, value]) => ({
    metricName: `${name}_bucket`,
    labels: { le: bound === Infinity ? "+Inf" : String(bound) },
    value,
  }));
  return {
    values: [
      ...buckets,
      { metricName: `${name}_sum`, value: sum },
      { metricName: `${name}_count`, value: upTo.get(Infinity) ?? 0 },
    ],
  };
}
