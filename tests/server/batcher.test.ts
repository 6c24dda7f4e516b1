import test from "ava";

import { CollectorError } from "../../src/base/errors.js";
import { Batcher } from "../../src/server/batcher.js";
import type { Arrival, Outcome, SinkStatus, Store } from "../../src/server/sinks/sink.js";

const noCounts = { stored: 0n, rejected: 0n, repeated: 0n, duplicateRows: 0n, missing: 0n, lost: 0n };

/** One call of `store` that waits for the test's word. */
interface Call {
  readonly group: readonly Uint8Array[];
  finish(outcomes?: readonly Outcome[]): void;
  fail(error: Error): void;
}

/** A sink that stores when the test says so, and remembers what it was given. */
class RecordingSink implements Store {
  readonly calls: Call[] = [];
  #called = Promise.withResolvers<void>();
  #storing = 0;

  store(arrivals: readonly Arrival[]): Promise<readonly Outcome[]> {
    this.#storing += 1;
    const group = arrivals.map(({ envelope }) => envelope);
    const { promise, resolve, reject } = Promise.withResolvers<readonly Outcome[]>();
    this.calls.push({ group, finish: (outcomes) => resolve(outcomes ?? group.map(stored)), fail: reject });
    this.#called.resolve();
    return promise.finally(() => (this.#storing -= 1));
  }

  status(): Promise<SinkStatus> {
    if (this.#storing > 0) throw new Error("the sink was asked before it had stored");
    return Promise.resolve({ total: noCounts, senders: [], runs: [] });
  }

  /** Resolves with call number `index`, counted from 0. */
  async call(index: number): Promise<Call> {
    for (;;) {
      const call = this.calls[index];
      if (call !== undefined) return call;
      this.#called = Promise.withResolvers<void>();
      await this.#called.promise;
    }
  }
}

/** An envelope of one byte by default, told from others by its content. */
function envelope(content: number, bytes = 1): Uint8Array {
  return new Uint8Array(bytes).fill(content);
}

function stored(bytes: Uint8Array): Outcome {
  return {
    acknowledgement: {
      senderId: String(bytes[0]),
      committed: undefined,
      rejections: [],
      closed: false,
    },
  };
}

function contents(call: Call): number[] {
  return call.group.map((bytes) => bytes[0] ?? NaN);
}

test("a lone envelope is stored at once", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink);

  const accepted = batcher.accept(envelope(1), "grpc");
  const call = await sink.call(0);
  call.finish();

  t.deepEqual(contents(call), [1]);
  t.is((await accepted).senderId, "1");
});

test("everything that arrives while a group is stored makes the next group", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink);

  const first = batcher.accept(envelope(1), "grpc");
  const call = await sink.call(0);
  const others = [2, 3, 4].map((content) => batcher.accept(envelope(content), "grpc"));
  t.is(sink.calls.length, 1);
  call.finish();
  (await sink.call(1)).finish();
  await Promise.all([first, ...others]);

  t.deepEqual(sink.calls.map(contents), [[1], [2, 3, 4]]);
});

test("a group ends before the envelope that would make it larger than its bytes", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink, { groupBytes: 100 });

  const accepted = [1, 2, 3, 4].map((content) => batcher.accept(envelope(content, 40), "grpc"));
  accepted.push(batcher.accept(envelope(5, 500), "grpc"), batcher.accept(envelope(6), "grpc"));
  for (const index of [0, 1, 2, 3, 4]) (await sink.call(index)).finish();
  await Promise.all(accepted);

  t.deepEqual(sink.calls.map(contents), [[1], [2, 3], [4], [5], [6]]);
});

test("the sink has a second group before it asks, when that is full, and no third", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink, { groupBytes: 2 });

  const accepted = [1, 2, 3].map((content) => batcher.accept(envelope(content), "grpc"));
  t.deepEqual(sink.calls.map(contents), [[1]], "two envelopes wait: they fill a group, and another may fit");
  accepted.push(...[4, 5, 6].map((content) => batcher.accept(envelope(content), "grpc")));
  t.deepEqual(sink.calls.map(contents), [[1], [2, 3]]);

  for (const index of [0, 1, 2, 3]) (await sink.call(index)).finish();
  await Promise.all(accepted);
  t.deepEqual(sink.calls.map(contents), [[1], [2, 3], [4, 5], [6]]);
});

test("envelopes are answered in the order in which they came", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink, { groupBytes: 2 });
  const answered: number[] = [];

  const accepted = [1, 2, 3, 4, 5].map(async (content) => {
    await batcher.accept(envelope(content), "grpc");
    answered.push(content);
  });
  for (const index of [0, 1, 2]) (await sink.call(index)).finish(); // [1], [2, 3], [4, 5]
  await Promise.all(accepted);

  t.deepEqual(answered, [1, 2, 3, 4, 5]);
});

test("an envelope whose bytes are none is refused for good, its neighbours are not", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink);

  const before = batcher.accept(envelope(1), "grpc");
  const broken = batcher.accept(envelope(2), "grpc");
  const after = batcher.accept(envelope(3), "grpc");
  const refused = t.throwsAsync(broken, { instanceOf: CollectorError });
  (await sink.call(0)).finish();
  (await sink.call(1)).finish([{ invalid: "its bytes are no envelope" }, stored(envelope(3))]);

  t.is((await before).senderId, "1");
  t.is((await after).senderId, "3");
  const error = await refused;
  t.is(error.code, "invalid-envelope");
  t.false(error.retryable);
  t.regex(error.message, /its bytes are no envelope/);
});

test("there is no room from the high-water mark on, and room again at the low one", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink, { groupBytes: 40, highWaterBytes: 100, lowWaterBytes: 50 });

  const accepted = [batcher.accept(envelope(1, 40), "grpc"), batcher.accept(envelope(2, 40), "grpc")];
  t.is(batcher.room, undefined);
  accepted.push(batcher.accept(envelope(3, 20), "grpc"));
  const { room } = batcher;
  t.truthy(room);
  t.is(batcher.queuedBytes, 100);

  (await sink.call(0)).finish(); // 60 bytes are left
  const second = await sink.call(1);
  t.is(batcher.room, room);
  second.finish(); // 20 bytes are left
  await room;
  t.is(batcher.room, undefined);
  (await sink.call(2)).finish();
  await Promise.all(accepted);
  t.is(batcher.queuedBytes, 0);
});

test("a status tells of everything that was accepted before it was asked", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink, { groupBytes: 1 });
  const order: string[] = [];

  const accepted = [1, 2].map(async (content) => {
    await batcher.accept(envelope(content), "grpc");
    order.push(String(content));
  });
  const status = batcher.status("").then(() => order.push("status"));
  for (const index of [0, 1]) (await sink.call(index)).finish();
  await Promise.all([...accepted, status]);

  t.deepEqual(order, ["1", "2", "status"]);
});

test("disposing stores what was accepted, then refuses more as something to try again", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink, { groupBytes: 1 });

  const accepted = [batcher.accept(envelope(1), "grpc"), batcher.accept(envelope(2), "grpc")];
  const disposal = batcher[Symbol.asyncDispose]();
  const late = await t.throwsAsync(batcher.accept(envelope(3), "grpc"), { instanceOf: CollectorError });
  for (const index of [0, 1]) (await sink.call(index)).finish();
  await Promise.all([...accepted, disposal, batcher[Symbol.asyncDispose]()]);

  t.is(late.code, "shutting-down");
  t.true(late.retryable);
  t.deepEqual(sink.calls.map(contents), [[1], [2]]);
});

test("giving up rejects what is not being stored, says how many, and makes room", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink, { groupBytes: 10, highWaterBytes: 2, lowWaterBytes: 1 });

  const accepted = [1, 2, 3].map((content) => batcher.accept(envelope(content), "grpc"));
  const call = await sink.call(0);
  t.is(batcher.abort(), 2);
  const outcomes = Promise.allSettled(accepted);
  const { room } = batcher;
  call.finish();
  await room;

  t.deepEqual(
    (await outcomes).map(({ status }) => status),
    ["fulfilled", "rejected", "rejected"],
  );
  t.is(sink.calls.length, 1);
  await t.throwsAsync(batcher.accept(envelope(4), "grpc"), { instanceOf: CollectorError });
});

test("a sink that can never store again fails everything that waits, and what comes later", async (t) => {
  const sink = new RecordingSink();
  const batcher = new Batcher(sink, { groupBytes: 1 });
  const gone = new CollectorError("database", "write database: it is gone");

  const accepted = [1, 2].map((content) => batcher.accept(envelope(content), "grpc"));
  const outcomes = Promise.allSettled(accepted);
  (await sink.call(0)).fail(gone);

  t.deepEqual(
    (await outcomes).map((outcome): unknown => outcome.status === "rejected" && outcome.reason),
    [gone, gone],
  );
  t.is(await t.throwsAsync(batcher.accept(envelope(3), "grpc")), gone);
  t.is(batcher.queuedBytes, 0);
});
