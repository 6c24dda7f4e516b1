import test from "ava";

import {
  decodeMessage,
  encodeEnvelope,
  encodeMessage,
  largestMessageBytes,
} from "../../src/client/encoding.js";
import type { Message } from "../../src/client/message.js";
import { Envelope } from "../../src/model/envelope.js";
import { resourceInfo, taskInfo, workflowEnd, workflowStart, nodeInfo, at } from "../support/builders.js";

const speaker = { senderId: "ab".repeat(16), runId: "run", hostname: "host", utcOffsetSeconds: -3600 };
const mebibyte = 1024 * 1024;

test("joined parts are the envelope that protobuf would write", (t) => {
  const messages = [
    workflowStart(),
    taskInfo({ taskId: 3 }),
    nodeInfo({ packages: { numpy: "2.0" } }),
    workflowEnd(),
  ];

  const bytes = encodeEnvelope(speaker, {
    firstSequence: 7,
    messages: messages.map((message) => encodeMessage(message)),
    lastSequence: 10,
  });

  const envelope = Envelope.decode(bytes);
  t.like(envelope, { ...speaker, firstSequence: 7n, closingNote: { lastSequence: 10n } });
  t.deepEqual(
    envelope.messages.map((message) => message.kind?.$case),
    ["workflowInfo", "taskInfo", "nodeInfo", "workflowInfo"],
  );
  t.deepEqual(Envelope.decode(Envelope.encode(envelope).finish()), envelope);
});

test("what is left out stays unset, and zero stays zero", (t) => {
  const { kind } = decodeMessage(encodeMessage({ resourceInfo: { taskId: 0, psutilProcessDiskRead: 0 } }));

  if (kind?.$case !== "resourceInfo") return t.fail();
  t.is(kind.value.taskId, 0);
  t.is(kind.value.psutilProcessDiskRead, 0);
  t.is(kind.value.psutilProcessDiskWrite, undefined);
  return t.is(kind.value.timestamp, undefined);
});

test("an object is encoded when it is given: the caller may reuse it", (t) => {
  const fields = { taskId: 1, tryId: 0, timestamp: at(0) };
  const bytes = encodeMessage({ resourceInfo: fields });

  fields.taskId = 2;

  const { kind } = decodeMessage(bytes);
  t.is(kind?.$case === "resourceInfo" ? kind.value.taskId : undefined, 1);
});

test("what is no message is refused with its keys or its fault", (t) => {
  t.throws(() => encodeMessage({ taskinfo: {} } as unknown as Message), {
    message: /expected an object with the name of a kind.* got keys taskinfo/,
  });
  t.throws(() => encodeMessage(resourceInfo({ taskId: -1 })), {
    message: /^encode resourceInfo: invalid uint32: -1/,
  });
  t.throws(() => encodeMessage(resourceInfo({ taskId: 1.5 })), {
    message: /^encode resourceInfo: invalid uint32: 1.5/,
  });
});

test("a text of 33 MiB is cut to 32 MiB, and one of 31 MiB is sent whole", (t) => {
  const long = encodeMessage(taskInfo({ taskInputs: "x".repeat(33 * mebibyte) }));
  const whole = encodeMessage(taskInfo({ taskInputs: "x".repeat(31 * mebibyte) }));

  t.true(long.length <= largestMessageBytes && long.length > largestMessageBytes - 200);
  t.true(whole.length > 31 * mebibyte);
});

test("the longest text is cut between characters, with a mark, and the rest is kept", (t) => {
  const inputs = "é€😀".repeat(500); // 9 bytes each

  for (let most = 2000; most < 2009; most += 1) {
    const bytes = encodeMessage(taskInfo({ taskInputs: inputs, taskFuncName: "f" }), most);

    t.true(bytes.length <= most && bytes.length > most - 100);
    const { kind } = decodeMessage(bytes);
    if (kind?.$case !== "taskInfo") return t.fail();
    t.is(kind.value.taskFuncName, "f");
    const text = kind.value.taskInputs ?? "";
    const mark = /\.\.\. \[cut by parsl-collector: kept (\d+) of 1500 characters\]$/.exec(text);
    const kept = text.slice(0, mark?.index);
    t.true(inputs.startsWith(kept));
    t.is(Array.from(kept).length, Number(mark?.[1]));
  }
  return undefined;
});

test("a workflow's texts can be cut too", (t) => {
  const { kind } = decodeMessage(
    encodeMessage(workflowStart({ workflowName: "w".repeat(2000), runId: "r" }), 1000),
  );

  if (kind?.$case !== "workflowInfo" || kind.value.phase?.$case !== "start") return t.fail();
  t.is(kind.value.runId, "r");
  return t.regex(kind.value.phase.value.workflowName ?? "", /^w+\.\.\. \[cut by/);
});

test("a message whose texts are not what makes it large is refused", (t) => {
  const packages = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`package-${String(n)}`, "1.0"]));

  t.throws(() => encodeMessage(nodeInfo({ packages }), 1000), {
    message: /^encode nodeInfo: \d+ bytes, and cutting its longest text does not bring it below 1000/,
  });
});
