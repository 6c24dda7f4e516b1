import { measureAgent } from "./agent.js";
import { measureIngest, measureLatency, measureShapes } from "./ingest.js";
import type { Part } from "./part.js";
import { measurePostgres } from "./postgres.js";
import { measureStreams } from "./streams.js";
import { measureTransports } from "./transports-report.js";

/** All parts by name, in the order in which they are measured and told. */
export const parts: Readonly<Record<string, Part>> = {
  ingest: {
    about: "durable messages/s of the collector, of Parsl's own monitoring and of SQLite alone, in turn",
    minutes: 4,
    measure: measureIngest,
  },
  shapes: {
    about: "streams and envelopes of several sizes: durable messages/s, acknowledgements, CPU, memory",
    minutes: 5,
    measure: measureShapes,
  },
  latency: {
    about: "50 single messages a second: when they are acknowledged and seen, beside Parsl's own",
    minutes: 1,
    measure: measureLatency,
  },
  postgres: {
    about: "durable messages/s of 1, 2 and 4 collectors into one PostgreSQL, beside SQLite, in turn",
    minutes: 3,
    measure: measurePostgres,
  },
  transports: {
    about: "our radios and Parsl's: what a send costs, what arrives, how late, what is lost",
    minutes: 6,
    measure: measureTransports,
  },
  streams: {
    about: "10,000 streams open on one collector, each a message every 30 s",
    minutes: 2,
    measure: measureStreams,
  },
  agent: {
    about: "128 workers of 100 tasks/s each through one agent, without samples and with them",
    minutes: 3,
    measure: measureAgent,
  },
};
