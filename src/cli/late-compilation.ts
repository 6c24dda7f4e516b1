import { setFlagsFromString } from "node:v8";

/** CPU time that the process has used when its code is worth compiling, in us. A start takes 0.2 to 0.35 s. */
const worthwhileUs = 1_000_000;

const lookMs = 250;

/** Calls after which V8 compiles a function: with us until then, and with V8 itself (in Node 22 to 24). */
const callsByFlag = {
  "invocation-count-for-maglev": { before: 8_000, usual: 400 },
  "invocation-count-for-maglev-osr": { before: 8_000, usual: 100 },
  "invocation-count-for-turbofan": { before: 100_000, usual: 3_000 },
};

/** Has V8 leave the code uncompiled until the process has some work behind it. For a service beside a workflow: to
 *  compile what a few thousand messages need takes more CPU than it saves, on the cores of the tasks. Of 300 tasks each
 *  costs the collector 0.52 ms instead of 0.63 so, and the agent 1.14 instead of 1.33 (bench/parsl/workflow.py); after
 *  45,000 messages the rate is the same (`npm run bench -- ingest`). */
export function compileWhenWorthwhile(): void {
  setCalls("before");
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage();
    if (user + system < worthwhileUs) return;
    clearInterval(timer);
    setCalls("usual");
  }, lookMs);
  timer.unref();
}

function setCalls(when: "before" | "usual"): void {
  for (const [flag, calls] of Object.entries(callsByFlag)) {
    setFlagsFromString(`--${flag}=${String(calls[when])}`);
  }
}
