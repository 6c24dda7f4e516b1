import { measureAgent } from "./agent.js";
import { measureGrowth } from "./growth.js";
import { measureIngest, measureLatency, measureShapes } from "./ingest.js";
import { measureLeak } from "./leak.js";
import { measureMemory } from "./memory.js";
import type { Part } from "./part.js";
import { measurePostgres } from "./postgres.js";
import { measureScaling } from "./scaling.js";
import { measureStreams } from "./streams.js";
import { measureTransports } from "./transports-report.js";
import { measureWeb } from "./web.js";
import { measureClose, measureWorkflow } from "./workflow.js";

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
    isApart: true,
    measure: measureShapes,
  },
  latency: {
    about: "50 single messages a second: when they are acknowledged and seen, beside Parsl's own",
    minutes: 1,
    measure: measureLatency,
  },
  postgres: {
    about: "durable messages/s of 1, 2 and 4 collectors into one PostgreSQL, beside SQLite, in turn",
    minutes: 5,
    isApart: true,
    measure: measurePostgres,
  },
  transports: {
    about: "our radios and Parsl's: what a send costs, what arrives, how late, what is lost",
    minutes: 5,
    measure: measureTransports,
  },
  workflow: {
    about: "real Parsl programs of no-op apps, without monitoring, with ours, with Parsl's",
    minutes: 13,
    measure: measureWorkflow,
  },
  close: {
    about: "how long a hub takes to close, idle and with messages on their way, and what is left",
    minutes: 2,
    measure: measureClose,
  },
  memory: {
    about: "100 senders at full speed while the database is locked; idle with 50 silent streams",
    minutes: 3,
    measure: measureMemory,
  },
  streams: {
    about: "10,000 streams open on one collector, each a message every 30 s",
    minutes: 3,
    measure: measureStreams,
  },
  agent: {
    about: "128 workers of 100 tasks/s each through one agent, without samples and with them",
    minutes: 2,
    measure: measureAgent,
  },
  growth: {
    about: "rate and restart with 0, 1 and 10 million rows in the file, of one run and of 1,000",
    minutes: 3,
    measure: measureGrowth,
  },
  scaling: {
    about: "up to 1,000,000 tasks in a run, 10,000 senders, 1,000 runs in a file",
    minutes: 7,
    isApart: true,
    measure: measureScaling,
  },
  web: {
    about: "ingest with ten pages open on the run, beside ingest without a page",
    minutes: 2,
    measure: measureWeb,
  },
  leak: {
    about: "memory of collector, agent and drain while 10 million messages pass",
    minutes: 12,
    isApart: true,
    measure: measureLeak,
  },
};
