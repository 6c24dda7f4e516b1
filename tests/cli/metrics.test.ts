import { readFileSync } from "node:fs";
import { join } from "node:path";

import { credentials, makeGenericClientConstructor, type Client, type ServiceError } from "@grpc/grpc-js";
import { parser } from "@prometheus-io/lezer-promql";
import Database from "better-sqlite3";
import { service as healthService } from "grpc-health-check";
import test from "ava";

import { sample, taskInfo, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { envelopeOf, newSenderId } from "../support/encoded.js";
import { documentedMetrics, Scrape } from "../support/metrics.js";
import { runToEnd } from "../support/run.js";
import { sharedCollector } from "../support/shared-collector.js";
import type { Scope } from "../support/scope.js";
import { Service } from "../support/service.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil, within } from "../support/wait.js";

const shared = sharedCollector({ args: ["--metrics", "127.0.0.1:0", "--sink", "jsonl=/dev/null"] });

/** Lets the collector store, reject, see again and refuse something. */
async function fill(): Promise<void> {
  const { service } = shared();
  const senderId = newSenderId();
  await service.send([workflowStart(), taskInfo(), taskInfo({ taskStatusName: undefined })], { senderId });
  await service.send([sample(1), sample(2)], { senderId, first: 3 }); // 3 has come before
  await service.send([sample(4)], { senderId, first: 10 }); // 5 to 9 are missing
  await service.send([], { losses: [{ first: 1, last: 4, kind: "RESOURCE_INFO" }] });
  await service.sendBytes(Uint8Array.of(0xff)).catch(() => undefined);
}

let filled: Promise<void> | undefined;

/** The metrics once the collector has something to tell. */
async function scrape(): Promise<Scrape> {
  await (filled ??= fill());
  return await Scrape.of(metricsAddress());
}

function metricsAddress(): string {
  return shared().collector.metrics ?? "";
}

test("what becomes of messages is counted by kind and radio", async (t) => {
  const metrics = await scrape();
  const messages = (outcome: string, kind: string) =>
    metrics.value("parsl_collector_messages_total", { outcome, kind, radio: "grpc" });

  t.is(messages("stored", "WORKFLOW_INFO"), 1);
  t.is(messages("stored", "TASK_INFO"), 1);
  t.is(messages("rejected", "TASK_INFO"), 1);
  t.is(messages("repeated", "RESOURCE_INFO"), 1);
  t.is(messages("stored", "RESOURCE_INFO"), 2);
  t.is(messages("stored", "BLOCK_INFO"), 0);
  t.is(metrics.value("parsl_collector_missing_messages"), 5);
  t.is(metrics.value("parsl_collector_lost_messages"), 4);
  t.is(metrics.value("parsl_collector_refused_total", { radio: "grpc", reason: "invalid-envelope" }), 1);
});

test("commits, batches and lag are histograms, each of whose buckets includes the smaller ones", async (t) => {
  const metrics = await scrape();

  t.is(metrics.value("parsl_collector_batch_messages_sum"), 6);
  t.true((metrics.value("parsl_collector_commit_seconds_sum") ?? 0) > 0);
  t.is(metrics.value("parsl_collector_lag_seconds_count"), 4); // those that are rows
  for (const name of ["commit_seconds", "batch_messages", "lag_seconds"]) {
    const buckets = metrics.samples.filter((one) => one.name === `parsl_collector_${name}_bucket`);
    const counts = buckets.map(({ value }) => value);
    t.deepEqual(
      counts,
      counts.toSorted((a, b) => a - b),
      name,
    );
    t.is(buckets.at(-1)?.labels["le"], "+Inf");
    t.is(counts.at(-1), metrics.value(`parsl_collector_${name}_count`));
  }
});

test("streams, queue, file and process are gauges of this moment", async (t) => {
  const { service, collector } = shared();
  service.stream();

  const metrics = await waitUntil("the stream is open", async () => {
    const now = await scrape();
    return now.value("parsl_collector_open_streams") === 1 && now;
  });

  t.is(metrics.value("parsl_collector_paused_streams"), 0);
  t.is(metrics.value("parsl_collector_queue_bytes"), 0);
  t.is(metrics.value("parsl_collector_serving"), 1);
  t.is(metrics.value("parsl_collector_database_writable"), 1);
  for (const file of ["database", "wal"]) {
    const size = metrics.value("parsl_collector_database_size_bytes", { file }) ?? 0;
    t.true(size > 0, `${file} of ${collector.database}: ${String(size)}`);
  }
  t.true((metrics.value("process_resident_memory_bytes") ?? 0) > 0);
});

test("no label tells of a run, a sender or a host", async (t) => {
  const { samples } = await scrape();

  const ours = samples.filter(({ name }) => name.startsWith("parsl_collector_"));
  const labels = new Set(ours.flatMap((one) => Object.keys(one.labels)));

  t.deepEqual([...labels].sort(), ["file", "kind", "le", "outcome", "radio", "reason", "sink"]);
});

test("the endpoint is for reading, and has three paths", async (t) => {
  const ask = (path: string, method = "GET") => fetch(`http://${metricsAddress()}${path}`, { method });
  const told = async (path: string, method?: string) => {
    const response = await ask(path, method);
    return `${String(response.status)} ${await response.text()}`;
  };

  t.is(await told("/healthz"), "200 alive\n");
  t.is(await told("/readyz?verbose"), "200 serving\n");
  t.is(await told("/healthz", "HEAD"), "200 ");
  t.is(await told("/"), "404 there are /metrics, /healthz and /readyz\n");
  for (const method of ["POST", "PUT", "DELETE"]) {
    t.is(await told("/metrics", method), "405 this is for reading: GET or HEAD\n");
  }
  t.regex((await ask("/metrics")).headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
});

test("docs/OPERATIONS.md has a line for each metric of ours, with its type and labels", async (t) => {
  const { metrics } = await scrape();

  const ofCollector = documentedMetrics().filter((line) => !line.startsWith("parsl_collector_agent_"));

  t.deepEqual(ofCollector, metrics);
});

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
  readonly templating: { readonly list: readonly { readonly definition?: string }[] };
}

/** Labels that Prometheus adds to all that it scrapes. */
const targetLabels = ["instance", "job"];

test("every query of the dashboard, and every alert, asks for metrics, labels and values that there are", async (t) => {
  const { samples } = await scrape();
  const dashboard = JSON.parse(readFileSync("docs/grafana-dashboard.json", "utf8")) as Dashboard;
  const alerts = readFileSync("docs/OPERATIONS.md", "utf8").matchAll(/^ +expr: (.*)$/gm);
  const labelsOf = (metric: string): Set<string> => {
    const own = samples.filter(({ name }) => name === metric);
    t.true(own.length > 0, `there is no metric ${metric}`);
    return new Set([...targetLabels, ...own.flatMap(({ labels }) => Object.keys(labels))]);
  };
  const check = (where: string, expr: string, legend = ""): void => {
    const { metrics, labels, values } = partsOf(expr);
    t.true(metrics.length > 0, `${where}: ${expr}`);
    const known = new Set(metrics.flatMap((metric) => [...labelsOf(metric)]));
    const inLegend = Array.from(legend.matchAll(/\{\{(\w+)\}\}/g), ([, label = ""]) => label);
    for (const label of [...labels, ...inLegend]) t.true(known.has(label), `${where}: no label ${label}`);
    for (const [label, value] of values) {
      const has = samples.some((one) => metrics.includes(one.name) && one.labels[label] === value);
      t.true(has, `${where}: no ${label}="${value}"`);
    }
  };

  for (const { title, targets } of dashboard.panels) {
    for (const { expr, legendFormat } of targets) check(title, expr, legendFormat);
  }
  for (const { definition } of dashboard.templating.list) {
    if (definition === undefined) continue;
    const [, metric = "", label = ""] = /^label_values\((\w+), (\w+)\)$/.exec(definition) ?? [];
    t.true(labelsOf(metric).has(label), definition);
  }
  for (const [, expr = ""] of alerts) check("an alert", expr);
});

/** The names in a query of PromQL. Throws when it is none. */
function partsOf(expr: string): { metrics: string[]; labels: string[]; values: [string, string][] } {
  const query = expr.replaceAll("$__rate_interval", "5m");
  const metrics: string[] = [];
  const labels: string[] = [];
  const values: [string, string][] = [];
  parser.parse(query).iterate({
    enter: ({ type, from, to, node }) => {
      const text = query.slice(from, to);
      if (type.isError) throw new Error(`no PromQL from place ${String(from)}: ${query}`);
      if (type.name === "Identifier") metrics.push(text);
      if (type.name === "LabelName") labels.push(text);
      if (type.name !== "UnquotedLabelMatcher" || node.getChild("MatchOp")?.getChild("EqlSingle") == null)
        return;
      const [, label = "", value = ""] = /^(\w+)="(.*)"$/.exec(text) ?? [];
      values.push([label, value]);
    },
  });
  return { metrics, labels, values };
}

type HealthClient = Client & {
  check(request: object, callback: (error: ServiceError | null, response: { status: unknown }) => void): void;
};

/** Asks for the status by grpc.health.v1. */
function healthOf(t: Scope, address: string): () => Promise<unknown> {
  const HealthService = makeGenericClientConstructor(healthService, "Health");
  const client = new HealthService(address, credentials.createInsecure()) as unknown as HealthClient;
  t.teardown(() => client.close());
  return () =>
    new Promise((resolve, reject) => {
      client.check({ service: "" }, (error, response) => {
        if (error === null) resolve(response.status);
        else reject(error);
      });
    });
}

test.serial(
  "a collector whose database is not writable for too long does not serve until it is, nor while it drains",
  async (t) => {
    const collector = await startCollector(t, {
      args: ["--metrics", "127.0.0.1:0", "--unhealthy-after", "0.001"],
    });
    const health = healthOf(t, collector.address);
    const metrics = collector.metrics ?? "";
    const ready = async () => {
      const response = await fetch(`http://${metrics}/readyz`);
      return `${String(response.status)} ${await response.text()}`;
    };
    const stream = Service.connect(t, collector.address).stream();
    await stream.write(envelopeOf([sample(1)]));
    await stream.acknowledged(1); // the file is prepared, and nobody waits for a lock
    const other = new Database(collector.database);
    t.teardown(() => other.close());
    t.is(await health(), "SERVING");

    other.exec("BEGIN IMMEDIATE");
    await stream.write(envelopeOf([sample(2)]));
    await waitUntil("it does not serve", async () => (await health()) === "NOT_SERVING");
    t.regex(
      await ready(),
      /^503 not serving: for 0\.001 s and more: write database .*: database is locked; end .* \(fuser .*\)\n$/,
    );
    const blocked = await Scrape.of(metrics);
    t.is(blocked.value("parsl_collector_serving"), 0);
    t.is(blocked.value("parsl_collector_database_writable"), 0);
    t.true((blocked.value("parsl_collector_queue_bytes") ?? 0) > 0);
    t.is(blocked.value("parsl_collector_messages_total", { outcome: "stored" }), 1);

    other.exec("COMMIT");
    await stream.acknowledged(2);
    await waitUntil("it serves", async () => (await health()) === "SERVING");
    t.is(await ready(), "200 serving\n");

    other.exec("BEGIN IMMEDIATE");
    await stream.write(envelopeOf([sample(3)]));
    await waitUntil("it waits for the lock", async () => (await ready()).startsWith("503"));
    process.kill(collector.pid, "SIGTERM");
    await waitUntil(
      "it drains",
      async () => (await ready()) === "503 not serving: the collector is shutting down\n",
    );
    other.exec("COMMIT");
    t.is(await within("its end", collector.exited), 0);
    const told = [...collector.stderr.matchAll(/"msg":"(not serving|serving again)"/g)].map(
      ([, text]) => text,
    );
    t.deepEqual(told, ["not serving", "serving again", "not serving"]);
  },
);

test.serial(
  "an address for metrics that others can reach is refused unless --insecure is said",
  async (t) => {
    const database = join(temporaryDirectory(t), "monitoring.db");
    const args = ["--database", database, "--metrics", "0.0.0.0:0"];

    const { exit, stderr } = await runToEnd(t, ["serve", ...args]);
    const collector = await startCollector(t, { args: ["--metrics", "0.0.0.0:0", "--insecure"] });

    t.is(exit, 1);
    t.regex(
      stderr,
      /serve: listen for metrics on 0\.0\.0\.0:0: anyone .* could read .*; listen on 127\.0\.0\.1, or say --insecure/,
    );
    t.regex(collector.metrics ?? "", /^0\.0\.0\.0:\d+$/);
  },
);

test.serial(
  "a port for metrics that is in use is refused with the cure, and nothing is left open",
  async (t) => {
    const database = join(temporaryDirectory(t), "monitoring.db");

    const { exit, stderr } = await runToEnd(t, [
      ...["serve", "--database", database, "--metrics", metricsAddress()],
    ]);

    t.is(exit, 1);
    t.regex(
      stderr,
      /serve: listen for metrics on 127\.0\.0\.1:\d+: the port is in use .*; name another port/,
    );
  },
);
