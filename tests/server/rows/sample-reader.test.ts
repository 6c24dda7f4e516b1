import test from "ava";
import fc from "fast-check";

import { monitoringMessage } from "../../../src/client/message.js";
import { MonitoringMessage, type ResourceInfo } from "../../../src/model/messages.js";
import { readMessage } from "../../../src/server/envelope-reader.js";
import { factsOf, type Facts } from "../../../src/server/rows/facts.js";
import { SampleReader } from "../../../src/server/rows/sample-reader.js";
import { at, resourceInfo, runId } from "../../support/builders.js";

const context = { runId, hostname: "n1" };

function encoded(fields: Partial<ResourceInfo>): Uint8Array {
  return MonitoringMessage.encode(monitoringMessage(resourceInfo(fields))).finish();
}

/** Of a message that stands between others, as in an envelope. */
function readSample(message: Uint8Array): Facts | undefined {
  const before = encoded({});
  const envelope = Buffer.concat([before, message, encoded({})]);
  return new SampleReader(envelope).read(before.length, before.length + message.length, context);
}

/** What the generated decoder makes of it; undefined when no table takes it. */
function decodedFacts(message: Uint8Array): Facts | undefined {
  const decoded = readMessage(message);
  if ("unreadable" in decoded) return undefined;
  const facts = factsOf(decoded, context);
  return "refused" in facts ? undefined : facts;
}

for (const [what, fields] of Object.entries<Partial<ResourceInfo>>({
  "of the run of its envelope": {},
  "of a run of its own": { runId: "another" },
  "with fields that are in no column": {
    psutilProcessCwd: "/home/ada/日本",
    psutilProcessNice: 5,
    psutilProcessCreateTime: 1e9,
  },
  "with large numbers": { taskId: 2 ** 32 - 1, psutilProcessPid: 300, psutilProcessMemoryVirtual: 2 ** 53 },
  "whose figures are no numbers": { psutilProcessTimeUser: NaN, psutilProcessDiskRead: Infinity },
  "without figures": { psutilProcessStatus: undefined, psutilCpuNum: undefined, psutilProcessPid: undefined },
})) {
  test(`a sample ${what} is read straight into its row`, (t) => {
    const message = encoded(fields);
    const facts = readSample(message);

    t.truthy(facts);
    t.deepEqual(facts, decodedFacts(message));
  });
}

test("what is no usual sample is left to the generated decoder", (t) => {
  const usual = encoded({});

  t.is(readSample(encoded({ psutilProcessStatus: "schläft" })), undefined);
  t.is(readSample(encoded({ runId: "r".repeat(257) })), undefined);
  t.is(readSample(encoded({ runId: "" })), undefined);
  t.is(readSample(encoded({ taskId: undefined })), undefined);
  t.is(readSample(encoded({ timestamp: undefined })), undefined);
  t.is(readSample(encoded({ timestamp: { seconds: -1n, nanos: 0 } })), undefined);
  t.is(readSample(usual.subarray(0, -1)), undefined);
  t.is(readSample(Buffer.concat([usual, usual])), undefined);
});

/** Mostly what is usual, so that much is read, and sometimes whatever there may be. */
function mostly<T>(usual: fc.Arbitrary<T>, any: fc.Arbitrary<T>): fc.Arbitrary<T> {
  return fc.oneof({ weight: 9, arbitrary: usual }, { weight: 1, arbitrary: any });
}

const text = mostly(fc.constantFrom("sleeping", "running"), fc.string({ unit: "binary" }));
const int32 = mostly(fc.nat({ max: 300 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
const uint32 = fc.nat({ max: 2 ** 32 - 1 });
const timestamp = mostly(
  fc.nat({ max: 1e6 }).map(at),
  fc.record({ seconds: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), nanos: int32 }),
);

const anySample: fc.Arbitrary<Partial<ResourceInfo>> = fc.record(
  {
    runId: text,
    taskId: uint32,
    tryId: uint32,
    timestamp,
    psutilProcessPid: uint32,
    psutilProcessMemoryPercent: fc.double(),
    psutilProcessDiskWrite: fc.double(),
    psutilProcessStatus: text,
    psutilCpuNum: int32,
    psutilProcessNumCtxSwitchesInvoluntary: fc.double(),
    psutilProcessNice: int32,
    psutilProcessUsername: text,
  },
  { requiredKeys: [] },
);

test("whatever is read has the facts that the generated decoder finds, of broken bytes too", (t) => {
  const bytes = fc
    .record({
      fields: anySample,
      changes: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 2 }),
      cut: mostly(fc.constant(0), fc.nat({ max: 3 })),
    })
    .map(({ fields, changes, cut }) => {
      const message = encoded(fields);
      for (const [place, byte] of changes) message[place % message.length] = byte;
      return message.subarray(0, message.length - cut);
    });
  let read = 0;

  fc.assert(
    fc.property(bytes, (message) => {
      const facts = readSample(message);
      if (facts === undefined) return;
      read += 1;
      t.deepEqual(facts, decodedFacts(message));
    }),
    { numRuns: 2_000 },
  );

  t.true(read > 200);
});
