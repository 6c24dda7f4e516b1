import { collectDefaultMetrics, Gauge, Registry } from "prom-client";

/** How often the event loop is looked at for nodejs_eventloop_lag_…, in ms, which is also the least that these show.
 *  At 10, prom-client's own, an idle process spends 0.6 % of a core on that. */
const eventLoopLookMs = 100;

/** The metrics of a process, in Prometheus' text format. More may be added to its registry. Loading prom-client takes
 *  60 ms of CPU: import this when metrics are asked for. */
export class ProcessMetrics {
  readonly registry = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.registry, eventLoopMonitoringPrecision: eventLoopLookMs });
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  text(): Promise<string> {
    return this.registry.metrics();
  }

  /** Adds a gauge without labels. `read` is asked for its value each time; without one it is as it was set. */
  gauge(name: string, help: string, read?: () => number): Gauge {
    return new Gauge({
      ...{ name, help, registers: [this.registry] },
      ...(read !== undefined && {
        collect() {
          this.set(read());
        },
      }),
    });
  }
}
