import test from "ava";

import { triesIn } from "../../src/agent/tries.js";
import { at, runId, sample, taskInfo, workerTaskInfo } from "../support/builders.js";
import { envelopeOf, envelopeOfBytes } from "../support/encoded.js";

test("what is said of tries is found among other messages, with what the envelope says for it", (t) => {
  const envelope = envelopeOf(
    [
      taskInfo(),
      workerTaskInfo({ taskId: 3, hostname: undefined, processPid: 4711, resourceMonitoringInterval: 0.5 }),
      sample(1),
      workerTaskInfo({ runId: "other", taskId: 4, firstMsg: false, lastMsg: true, timestamp: at(9) }),
    ],
    { hostname: "n7" },
  );

  const [started, ended, ...others] = triesIn(envelope);

  t.deepEqual(others, []);
  t.like(started, { runId, hostname: "n7", taskId: 3, firstMsg: true, processPid: 4711 });
  t.is(started?.resourceMonitoringInterval, 0.5);
  t.like(ended, { runId: "other", hostname: "n1", taskId: 4, lastMsg: true });
});

test("an envelope without tries has none, whatever else is in it", (t) => {
  t.deepEqual(triesIn(envelopeOf([sample(1), taskInfo()])), []);
  t.deepEqual(triesIn(envelopeOf([], { lastSequence: 7 })), []);
  t.deepEqual(triesIn(envelopeOfBytes([new Uint8Array(), Uint8Array.of(255, 255)])), []);
  t.throws(() => triesIn(Uint8Array.of(255, 255)));
});
