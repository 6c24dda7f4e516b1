import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

import test from "ava";

import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { within } from "../support/wait.js";

const modules = {
  index: new URL("../../src/index.js", import.meta.url).href,
  builders: new URL("../support/builders.js", import.meta.url).href,
};

/** In a process of its own, whose memory is nobody else's. */
const program = (address: string, messages: number): string => `
  import { connect } from ${JSON.stringify(modules.index)};
  import { runId, sample } from ${JSON.stringify(modules.builders)};
  const client = connect({ address: ${JSON.stringify(address)}, runId, bufferBytes: 2 ** 20 });
  const memory = [];
  for (let n = 1; n <= ${String(messages)}; n += 1) {
    await client.send(sample(n));
    if (n === ${String(messages / 10)} || n === ${String(messages)}) {
      await client.flush();
      gc(); // finds the buffers that nobody uses any more, and frees them in the next turn
      await new Promise(setImmediate);
      gc();
      const { heapUsed, external, rss } = process.memoryUsage();
      memory.push({ used: heapUsed + external, rss });
    }
  }
  await client.close();
  console.log(JSON.stringify(memory));`;

test("case 41: a stream of 200,000 acknowledged messages takes no more memory at its end than after a tenth", async (t) => {
  const collector = await startCollector(t, { args: ["--durability", "normal"] });
  // A fixed young generation: V8 lets it grow with the rate of allocation, which is no leak.
  const child = spawn(
    process.execPath,
    [
      "--expose-gc",
      "--max-semi-space-size=4",
      "--input-type=module",
      "--eval",
      program(collector.address, 200_000),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  t.teardown(() => child.kill("SIGKILL"));

  const [printed] = await within(
    "the sender's end",
    Promise.all([text(child.stdout), once(child, "close")]),
    120_000,
  );

  const [tenth, whole] = JSON.parse(printed) as { used: number; rss: number }[];
  if (tenth === undefined || whole === undefined) return t.fail();
  t.log({ tenth, whole });
  // The 180,000 messages between the two would be 35 MB in the heap, and more in the process.
  t.true(whole.used - tenth.used < 2e6, "the heap grew");
  t.true(whole.rss - tenth.rss < 60e6, "the process grew"); // what V8 gives back late on a busy machine
  return t.is(openDatabase(t, collector.database).count("resource"), 200_000);
});
