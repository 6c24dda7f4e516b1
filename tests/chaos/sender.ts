import { openSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

import { connect } from "../../src/index.js";
import { at, resourceInfo, runId } from "../support/builders.js";

/** A TypeScript sender of the chaos run, as sender.py is one in Python.
 *
 *  usage: sender.js ADDRESS LOG NUMBER [SPOOL] */

/** Between two bursts, in ms. */
const paceMs = 20;
const burst = 4;

const [address = "", logPath = "", number = "", spool] = process.argv.slice(2);
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());
const log = openSync(logPath, "a");
const client = connect({ address, runId, hostname: "chaos", bufferBytes: 1024 * 1024, spool });
writeSync(log, `${client.senderId}\n`);
// Beside the loop, which waits while the buffer is full.
let [logged, loggedSafe] = [0, 0];
const logging = setInterval(() => {
  const { acknowledged, spooled } = client.counts;
  if (acknowledged > logged) writeSync(log, `acknowledged ${String(acknowledged)}\n`);
  if (acknowledged + spooled > loggedSafe) writeSync(log, `safe ${String(acknowledged + spooled)}\n`);
  logged = acknowledged;
  loggedSafe = Math.max(loggedSafe, acknowledged + spooled);
}, paceMs);
let sent = 0;
while (!stop.signal.aborted) {
  for (let n = 0; n < burst; n += 1) {
    sent += 1;
    await client.send(
      resourceInfo({
        taskId: Number(number),
        timestamp: at(sent / 1_000),
        psutilProcessStatus: `${client.senderId}:${String(sent)}`,
      }),
    );
  }
  await sleep(paceMs);
}
await client.close();
clearInterval(logging);
writeSync(log, `closed ${String(sent)}\n`);
