import test from "ava";

import { connect } from "../../src/index.js";
import { startAgent } from "../support/agent.js";
import { runId, sample } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { documentedMetrics, Scrape } from "../support/metrics.js";
import { waitUntil } from "../support/wait.js";

test("an agent tells what it has forwarded, what waits, and whether anyone is upstream", async (t) => {
  const collector = await startCollector(t);
  const agent = await startAgent(t, collector.address, { args: ["--metrics", "127.0.0.1:0"] });
  const address = agent.metrics ?? "";
  const ready = async () => {
    const response = await fetch(`http://${address}/readyz`);
    return `${String(response.status)} ${await response.text()}`;
  };
  const client = connect({ radio: "unix", address: agent.socket, runId, hostname: "n1" });
  t.teardown(() => client.abort());

  for (let n = 0; n < 10; n += 1) await client.send(sample(n));
  await client.flush();
  const busy = await Scrape.of(address);
  t.is(busy.value("parsl_collector_agent_messages_total", { outcome: "forwarded" }), 10);
  t.is(busy.value("parsl_collector_agent_workers"), 1);
  t.is(busy.value("parsl_collector_agent_waiting_envelopes"), 0);
  t.is(busy.value("parsl_collector_agent_upstream_reachable"), 1);
  t.is(await ready(), "200 serving\n");

  await collector.stop();
  await client.send(sample(10));
  await waitUntil("it is cut off", async () => (await ready()).startsWith("503 "));
  const alone = await Scrape.of(address);
  t.is(await ready(), "503 not serving: nobody upstream takes messages\n");
  t.is(alone.value("parsl_collector_agent_upstream_reachable"), 0);
  t.is(alone.value("parsl_collector_agent_waiting_envelopes"), 1);
  t.true((alone.value("parsl_collector_agent_waiting_bytes", { place: "memory" }) ?? 0) > 0);

  const documented = documentedMetrics().filter((line) => line.startsWith("parsl_collector_agent_"));
  t.deepEqual(documented, alone.metrics);
});
