import { readFileSync } from "node:fs";

import test from "ava";

import { connect } from "../../src/index.js";
import type { RunSummary } from "../../src/view/api.js";
import { runId, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil } from "../support/wait.js";

/** The page of a collector: a process of its own, which comes and goes without it. */

test("serve --web shows what the collector stores, comes back where it was killed, and ends with the collector", async (t) => {
  const collector = await startCollector(t, { args: ["--web", "127.0.0.1:0"] });
  const runs = async (): Promise<RunSummary[]> => {
    const answer = await fetch(`${collector.web ?? ""}api/runs`);
    return (await answer.json()) as RunSummary[];
  };

  const client = connect({ address: collector.address });
  await client.send(workflowStart({ runId }));
  await client.flush();
  await waitUntil("the run on the page", async () => (await runs()).length === 1);

  for (const pid of childrenOf(collector.pid)) process.kill(pid, "SIGKILL");
  await waitUntil("the page's end in the log", () => collector.stderr.includes("the page ended"));
  await client.send(workflowStart({ runId: "another" }));
  await client.close();
  await waitUntil("both runs on a new page", async () => (await runs().catch(() => [])).length === 2);

  await collector.kill();
  await waitUntil("the page's end", async () => (await runs().catch(() => undefined)) === undefined);
  t.pass();
});

test("serve refuses a page of PostgreSQL, and one that others reach without TLS and token", async (t) => {
  const refusedBy = async (...options: string[]): Promise<string> => {
    const { exit, stderr } = await runToEnd(t, ["serve", ...options]);
    t.is(exit, 1);
    return stderr;
  };
  const file = `${temporaryDirectory(t)}/monitoring.db`;

  const ofPostgres = await refusedBy(
    "--database",
    "postgresql://ada:secret@nowhere/db",
    "--web",
    "127.0.0.1:0",
  );
  t.regex(
    ofPostgres,
    /serve the page of postgresql:.*nowhere\/db: it reads SQLite files only; leave --web out/,
  );
  t.false(ofPostgres.includes("secret"));
  t.regex(
    await refusedBy("--database", file, "--web", "0.0.0.0:0"),
    /listen on 0\.0\.0\.0:0: .* no TLS and no token; give --self-signed/,
  );
});

/** Linux alone tells. */
function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, "utf8");
  return text.trim().split(" ").map(Number);
}
