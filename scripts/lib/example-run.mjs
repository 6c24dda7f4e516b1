import { timestampFromMicros } from "../../build/src/index.js";

/** What each sample of the survey goes through: of which steps of its sample each waits, and how long it takes, in
 *  seconds, and how much memory, in MiB, on average. */
const steps = [
  { app: "fetch", waitsFor: [], seconds: 6, memory: 90 },
  { app: "align", waitsFor: [0], seconds: 55, memory: 1400 },
  { app: "align", waitsFor: [0], seconds: 55, memory: 1400 },
  { app: "align", waitsFor: [0], seconds: 55, memory: 1400 },
  { app: "merge", waitsFor: [1, 2, 3], seconds: 18, memory: 700 },
  { app: "call_variants", waitsFor: [4], seconds: 80, memory: 2300 },
  { app: "quality", waitsFor: [4], seconds: 9, memory: 250 },
  { app: "annotate", waitsFor: [5, 6], seconds: 25, memory: 500 },
];
const samplesOfSummary = 20;
const blocks = [
  { comes: 25, nodes: 3 },
  { comes: 190, nodes: 3 },
  { comes: 420, nodes: 2 },
];
const workersOfNode = 6;
const gibibyte = 2 ** 30;
/** Between two samples of a try's use, in seconds. */
const interval = 10;

/** Messages of a made-up run of a genome survey, in order: several apps, blocks and nodes that come and go, failures and
 *  retries, and samples of resource use. They end after `untilSeconds`, when tasks are still open, or with its end.
 *
 *  @param {{ runId: string, began: number, samples: number, untilSeconds?: number }} options `began` in ms since 1970 */
export function exampleRun({ runId, began, samples, untilSeconds = Infinity }) {
  const random = dice(samples);
  const messages = [];
  const at = (seconds) => timestampFromMicros(BigInt(Math.round((began / 1000 + seconds) * 1e6)));
  const say = (seconds, kind, fields) =>
    messages.push({ seconds, message: { [kind]: { runId, ...fields } } });
  const tasks = tasksOf(samples);
  const workers = blocks.flatMap(({ comes, nodes }, block) =>
    Array.from({ length: nodes * workersOfNode }, (_, index) => ({
      block,
      host: `node${String(101 + 10 * block + Math.floor(index / workersOfNode))}`,
      free: comes + 2 * random(),
    })),
  );
  let [done, failed, last] = [0, 0, 0];

  const info = (task, tryId, seconds, taskStatusName, fields = {}) =>
    say(seconds, "taskInfo", {
      ...{ taskId: task.id, tryId, timestamp: at(seconds), taskStatusName, taskFuncName: task.app },
      ...{
        taskMemoize: false,
        taskFailCount: tryId,
        taskFailCost: tryId,
        taskTimeInvoked: at(task.submitted),
      },
      ...{ taskExecutor: "cluster", tasksFailedCount: failed, tasksCompletedCount: done },
      ...{ taskInputs: task.inputs, taskOutputs: task.outputs, taskFailHistory: "" },
      ...{ taskStdout: `/scratch/ada/survey/logs/${task.app}-${String(task.id)}.out`, taskStderr: "" },
      ...{ taskDepends: task.waitsFor.map(({ id }) => id).join(",") },
      ...fields,
    });

  /** Lets a worker run a try, and returns when it ended and why it failed, if it did. */
  const attempt = (task, tryId, ready) => {
    const idle = workers.filter(({ free }) => free <= ready);
    const worker =
      idle[Math.floor(random() * idle.length)] ??
      workers.reduce((best, one) => (one.free < best.free ? one : best));
    const runs = Math.max(worker.free, ready + 0.4) + 0.05;
    const took = task.seconds * Math.exp(random() + random() - 1);
    const memory = task.memory * 2 ** 20 * Math.exp(random() - 0.5);
    const reading = 2e6 * (1 + random());
    const failure = failureOf(task, tryId, random, memory);
    const ended = runs + (failure === "" ? took : took * 0.6);
    worker.free = ended + 0.1;
    info(task, tryId, ready + 0.2, "launched", { taskTryTimeLaunched: at(ready + 0.2) });
    const where = { hostname: worker.host, blockId: String(worker.block), taskId: task.id, tryId };
    say(runs, "workerTaskInfo", { ...where, firstMsg: true, lastMsg: false, timestamp: at(runs) });
    for (let seconds = Math.min(1, (ended - runs) / 2); runs + seconds < ended; seconds += interval) {
      const share = seconds / took;
      say(runs + seconds, "resourceInfo", {
        ...{ taskId: task.id, tryId, timestamp: at(runs + seconds), resourceMonitoringInterval: interval },
        ...{
          psutilProcessPid: 4000 + task.id,
          psutilProcessChildrenCount: 1,
          psutilProcessStatus: "running",
        },
        ...{ psutilProcessTimeUser: seconds * 0.9, psutilProcessTimeSystem: seconds * 0.06 },
        psutilProcessMemoryResident: Math.round(memory * (0.25 + 0.75 * Math.min(1, share * 1.6))),
        psutilProcessMemoryVirtual: Math.round(memory * 1.7),
        psutilProcessMemoryPercent: (memory / (64 * gibibyte)) * 100,
        psutilProcessDiskRead: Math.round(reading * seconds),
        psutilProcessDiskWrite: Math.round(6e5 * seconds),
      });
    }
    say(ended, "workerTaskInfo", { ...where, firstMsg: false, lastMsg: true, timestamp: at(ended) });
    return { ended: ended + 0.15, failure };
  };

  say(0, "workflowStart", {
    ...{ timeBegan: at(0), workflowName: "genome-survey", workflowVersion: "2.1" },
    ...{ rundir: "/scratch/ada/survey/runinfo/014", user: "ada", host: "login1" },
    ...{ tasksCompletedCount: 0, tasksFailedCount: 0 },
  });
  for (const task of tasks) {
    info(task, 0, task.submitted, "pending");
    const ready = Math.max(task.submitted + 0.05, ...task.waitsFor.map(({ ended }) => ended));
    const broken = task.waitsFor.find(({ isFailed }) => isFailed);
    if (broken !== undefined) {
      [task.ended, task.isFailed] = [ready + 0.01, true];
      failed += 1;
      const failure = `DependencyError([(ValueError('no reads pass the filter'), 'task ${String(broken.id)}')], ${String(task.id)})`;
      info(task, 0, task.ended, "dep_fail", {
        taskFailHistory: failure,
        taskTimeReturned: at(task.ended),
        taskTryTimeReturned: at(task.ended),
      });
      continue;
    }
    if (task.app === "fetch" && random() < 0.15) {
      [task.ended, task.isFailed] = [ready + 0.01, false];
      done += 1;
      info(task, 0, task.ended, "memo_done", {
        taskMemoize: true,
        taskHashsum: "7f3ac2",
        taskTimeReturned: at(task.ended),
        taskTryTimeReturned: at(task.ended),
      });
      continue;
    }
    let tried = attempt(task, 0, ready);
    let tryId = 0;
    if (tried.failure !== "") {
      info(task, 0, tried.ended, "fail_retryable", {
        taskFailHistory: tried.failure,
        taskFailCount: 1,
        taskFailCost: 1,
        taskTryTimeReturned: at(tried.ended),
      });
      tryId = 1;
      tried = attempt(task, 1, tried.ended + 0.1);
    }
    [task.ended, task.isFailed] = [tried.ended, tried.failure !== ""];
    if (task.isFailed) failed += 1;
    else done += 1;
    const ends = {
      taskTimeReturned: at(task.ended),
      taskTryTimeReturned: at(task.ended),
      taskFailHistory: tried.failure,
    };
    info(
      task,
      tryId,
      task.ended,
      task.isFailed ? "failed" : "exec_done",
      task.isFailed ? { ...ends, taskFailCount: 2, taskFailCost: 2 } : ends,
    );
    last = Math.max(last, task.ended);
  }
  for (const [block, { comes, nodes }] of blocks.entries()) {
    const status = (seconds, name) =>
      say(seconds, "blockInfo", {
        executorLabel: "cluster",
        blockId: String(block),
        jobId: String(8_123_400 + block),
        timestamp: at(seconds),
        status: name,
      });
    status(2, "PENDING");
    status(comes - 3, "RUNNING");
    status(last + 4, "COMPLETED");
    for (let node = 0; node < nodes; node += 1) {
      for (let seconds = comes; seconds < last + 30; seconds += 30) {
        const heard = Math.min(seconds, last + 3);
        say(heard, "nodeInfo", {
          ...{
            timestamp: at(heard),
            lastHeartbeat: at(heard),
            hostname: `node${String(101 + 10 * block + node)}`,
          },
          ...{ uid: `manager-${String(block)}-${String(node)}`, blockId: String(block), cpuCount: 32 },
          ...{
            totalMemory: BigInt(64 * gibibyte),
            active: seconds < last,
            workerCount: workersOfNode,
            pythonV: "3.11.7",
          },
        });
      }
    }
  }
  say(last + 6, "workflowEnd", {
    timeCompleted: at(last + 6),
    tasksCompletedCount: done,
    tasksFailedCount: failed,
  });
  return messages
    .filter(({ seconds }) => seconds <= untilSeconds)
    .sort((a, b) => a.seconds - b.seconds)
    .map(({ message }) => message);
}

/** The tasks in the order in which they are submitted, each with those that it waits for. */
function tasksOf(samples) {
  const tasks = [];
  const add = (step, waitsFor, inputs, outputs) => {
    const task = {
      ...step,
      id: tasks.length,
      waitsFor,
      inputs,
      outputs,
      submitted: 1 + tasks.length * 0.03,
      ended: 0,
      isFailed: false,
    };
    tasks.push(task);
    return task;
  };
  const results = [];
  for (let sample = 0; sample < samples; sample += 1) {
    const name = `sample-${String(sample + 1).padStart(3, "0")}`;
    const own = [];
    for (const step of steps) {
      const waitsFor = step.waitsFor.map((index) => own[index]);
      own.push(
        add(
          step,
          waitsFor,
          `('/scratch/ada/survey/${name}.fastq',)`,
          `['/scratch/ada/survey/${name}.${step.app}']`,
        ),
      );
    }
    results.push(own.at(-1));
    if (results.length % samplesOfSummary === 0) {
      add(
        { app: "summarize", seconds: 12, memory: 300 },
        results.slice(-samplesOfSummary),
        "None",
        "['/scratch/ada/survey/summary.csv']",
      );
    }
  }
  return tasks;
}

function failureOf({ app, id }, tryId, random, memory) {
  const chance = random();
  if (app === "call_variants" && memory > 3.55 * gibibyte && tryId === 0) return "MemoryError()";
  if (app === "call_variants" && id % 23 === 0) return "ValueError('no reads pass the filter')";
  if (app === "align" && chance < 0.012) return "BashExitFailure('align', 137)";
  if (app === "fetch" && chance < 0.05 && tryId === 0)
    return "TimeoutError('the archive did not answer within 30 s')";
  return "";
}

/** Numbers from 0 to below 1, the same each time (mulberry32). */
function dice(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
