import test from "ava";

import { readEnvelope } from "../../src/agent/reading.js";
import { at, runId, sample, taskInfo, workerTaskInfo } from "../support/builders.js";
import { envelopeOf, envelopeOfBytes, lengthDelimited } from "../support/encoded.js";

/** Field number of MonitoringMessage.worker_task_info. */
const workerTaskInfoField = 6;

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

  const [started, ended, ...others] = readEnvelope(envelope).tries;

  t.deepEqual(others, []);
  t.like(started, { runId, hostname: "n7", taskId: 3, firstMsg: true, processPid: 4711 });
  t.is(started?.resourceMonitoringInterval, 0.5);
  t.like(ended, { runId: "other", hostname: "n1", taskId: 4, lastMsg: true });
});

test("an envelope tells whose it is and which sequences it has, and stays as it came", (t) => {
  const bytes = envelopeOf([sample(1), taskInfo()], { senderId: "s1", first: 7 });
  const note = envelopeOf([], { senderId: "s1", first: 0, lastSequence: 8 });

  t.deepEqual(readEnvelope(bytes), { bytes, senderId: "s1", firstSequence: 7, count: 2, tries: [] });
  t.deepEqual(readEnvelope(note), { bytes: note, senderId: "s1", firstSequence: 0, count: 0, tries: [] });
});

test("a message whose bytes are broken counts, and costs only itself", (t) => {
  const claimsMore = Uint8Array.of((workerTaskInfoField << 3) | 2, 100);
  const told = envelopeOf([workerTaskInfo({ taskId: 5 })]);
  const broken = [claimsMore, new Uint8Array(), Uint8Array.of(255, 255)];

  const read = readEnvelope(Buffer.concat([envelopeOfBytes(broken, { senderId: "s1" }), told]));

  t.is(read.count, 4);
  t.deepEqual(
    read.tries.map(({ taskId }) => taskId),
    [5],
  );
});

test("bytes that are no envelope are told by an error", (t) => {
  const noLength = Uint8Array.of(255, 255);
  const cutShort = envelopeOf([taskInfo()]).subarray(0, -1);
  const tooMany = Buffer.concat(Array.from({ length: 20_001 }, () => lengthDelimited(6, new Uint8Array())));

  t.throws(() => readEnvelope(noLength), { code: "invalid-envelope" });
  t.throws(() => readEnvelope(cutShort), { code: "invalid-envelope" });
  t.throws(() => readEnvelope(tooMany), { message: /more than 20000 messages/ });
});
