import { readFileSync } from "node:fs";

import { connect, timestampFromMicros, type Message } from "parsl-collector";

/** What the client of every language is made to send by `npm run interop`.
 *
 *  usage: interop.js ADDRESS RUN_ID COUNT LANGUAGE */

/** 2026-01-01T00:00:00Z, in us since 1970; the messages follow each other by 1 ms. */
const beganMicros = 1_767_225_600_000_000n;

const [address = "", runId = "", count = "", language = ""] = process.argv.slice(2);
const last = Number(count);
const host = `interop-${language}`;
const { PARSL_COLLECTOR_TOKEN: token, PARSL_COLLECTOR_CA_FILE: caFile } = process.env;

try {
  const client = connect({
    ...{ address, runId, hostname: host, token },
    tls: caFile === undefined ? undefined : { ca: readFileSync(caFile) },
    onStateChange: (state) => {
      if (state.at === "waiting") console.error(`interop: ${state.reason.message}`);
    },
  });
  const began = performance.now();
  for (let n = 1; n <= last; n += 1) await client.send(message(n));
  await client.flush();
  const seconds = (performance.now() - began) / 1_000;
  await client.close();
  const { sent, acknowledged, rejected } = client.counts;
  console.log(JSON.stringify({ sent, acknowledged, rejected, seconds }));
} catch (error) {
  console.error(`interop: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}

function message(n: number): Message {
  const time = timestampFromMicros(beganMicros + BigInt(n) * 1_000n + 123n);
  if (n === 1) {
    return {
      workflowStart: {
        timeBegan: time,
        workflowName: `interop ${language}`,
        workflowVersion: "1",
        rundir: "/interop",
        tasksCompletedCount: 0,
        tasksFailedCount: 0,
        user: "interop",
        host,
        pythonVersion: "none",
        parslVersion: "none",
      },
    };
  }
  if (n === last) {
    return {
      workflowEnd: {
        tasksCompletedCount: last - 2,
        tasksFailedCount: 0,
        timeCompleted: time,
        rundir: "/interop",
      },
    };
  }
  return {
    resourceInfo: {
      taskId: n % 100,
      tryId: 0,
      timestamp: time,
      psutilProcessPid: n,
      psutilProcessMemoryPercent: n / 4,
      psutilProcessTimeUser: n / 8,
      psutilProcessDiskWrite: n * 1_048_576,
      psutilProcessStatus: "sleeping – ✓",
    },
  };
}
