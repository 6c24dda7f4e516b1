import { Counter, Gauge } from "prom-client";

import { ProcessMetrics } from "../base/process-metrics.js";
import type { AgentFigures } from "./agent.js";

/** The metrics of an agent, read when they are asked for. */
export class AgentMetrics extends ProcessMetrics {
  constructor(figures: () => AgentFigures) {
    super();
    new Counter({
      name: "parsl_collector_agent_messages_total",
      help: "Messages of workers that were answered: forwarded (taken upstream), or refused there for ever.",
      labelNames: ["outcome"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [outcome, count] of Object.entries(figures().answered)) this.inc({ outcome }, count);
      },
    });
    new Gauge({
      name: "parsl_collector_agent_waiting_bytes",
      help: "Bytes of envelopes that are not answered upstream, by where they are.",
      labelNames: ["place"],
      registers: [this.registry],
      collect() {
        for (const [place, bytes] of Object.entries(figures().bytes)) this.set({ place }, bytes);
      },
    });
    this.gauge(
      "parsl_collector_agent_waiting_envelopes",
      "Envelopes that are not answered upstream.",
      () => figures().unanswered,
    );
    this.gauge(
      "parsl_collector_agent_upstream_reachable",
      "0 while nobody upstream takes messages, 1 otherwise.",
      () => Number(!figures().isCutOff),
    );
    this.gauge("parsl_collector_agent_workers", "Workers that are connected.", () => figures().workers);
    this.gauge(
      "parsl_collector_agent_sampled_processes",
      "Processes of tries that are sampled.",
      () => figures().sampled,
    );
  }
}
