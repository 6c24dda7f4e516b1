import test, { type ExecutionContext } from "ava";

import { Forwarder, type Gathering } from "../../src/agent/forwarder.js";
import { CollectorError } from "../../src/base/errors.js";
import { Envelope, type Acknowledgement } from "../../src/model/envelope.js";
import { sendLeft } from "../../src/spool/left.js";
import { sample } from "../support/builders.js";
import { envelopeOf } from "../support/encoded.js";
import { FakeClock } from "../support/fake-clock.js";
import { FakeRadio, settled } from "../support/fake-radio.js";
import { SimulatedDisk } from "../support/simulated-disk.js";

const directory = "/spool";
const [a, b] = ["a".repeat(32), "b".repeat(32)] as const;

interface Opened {
  readonly forwarder: Forwarder;
  readonly upstream: FakeRadio;
  readonly clock: FakeClock;
  readonly disk: SimulatedDisk;
  readonly warnings: string[];
}

interface Options {
  readonly spools?: boolean;
  readonly gathering?: Gathering;
}

const none: Gathering = { mostMs: 0, pauseMs: 0 };

function open(t: ExecutionContext, { spools = true, gathering = none }: Options = {}): Opened {
  const [upstream, clock, disk] = [new FakeRadio(), new FakeClock(), new SimulatedDisk()];
  const warnings: string[] = [];
  const forwarder = new Forwarder({
    upstream,
    clock,
    random: () => 0,
    gathering,
    ...(spools ? { spool: { disk, directory, mostBytesOfSender: 1024 ** 2 } } : {}),
    onWarning: ({ message }) => void warnings.push(message),
  });
  t.teardown(() => forwarder[Symbol.asyncDispose]());
  return { forwarder, upstream, clock, disk, warnings };
}

function envelope(senderId: string, first: number, bytes = 0): Uint8Array {
  const large = bytes === 0 ? [] : [{ taskInfo: { taskId: 0, tryId: 0, taskInputs: "x".repeat(bytes) } }];
  return envelopeOf(bytes === 0 ? [sample(first)] : large, { senderId, first });
}

/** What becomes of an acceptance: the first sequence that is acknowledged, or the text of the error. */
function outcome(acceptance: Promise<Acknowledgement>): Promise<string> {
  return acceptance.then(
    ({ committed }) => String(committed?.first),
    (cause: unknown) => (cause as Error).message,
  );
}

function sent({ upstream }: Opened): string[] {
  return upstream.heard.map(
    ({ senderId, firstSequence }) => `${senderId.slice(0, 1)}${String(firstSequence)}`,
  );
}

test("an envelope is acknowledged when it is upstream, and not before; answers come in the order of the calls", async (t) => {
  const opened = open(t);
  const order: string[] = [];
  for (const [senderId, first] of [
    [a, 1],
    [b, 1],
    [a, 2],
  ] as const) {
    void outcome(opened.forwarder.accept(envelope(senderId, first))).then((one) => order.push(one));
  }
  await settled();
  t.deepEqual(sent(opened), ["a1", "b1", "a2"]);
  t.deepEqual(order, []);

  opened.upstream.acknowledge(2);
  await settled();
  t.deepEqual(order, [], "the first is not answered");
  opened.upstream.acknowledge(0);
  opened.upstream.acknowledge(0);
  await settled();
  t.deepEqual(order, ["1", "1", "2"]);
  t.is(opened.forwarder.unanswered, 0);
});

test("after a departure what comes departs together: in a pause, when it is time, or when it is much", async (t) => {
  const opened = open(t, { gathering: { mostMs: 50, pauseMs: 20 } });
  const { forwarder, clock, upstream } = opened;
  const accept = (first: number, bytes = 0): void =>
    void outcome(forwarder.accept(envelope(a, first, bytes)));
  const after = async (ms: number): Promise<string[]> => {
    clock.advance(ms);
    await settled();
    return sent(opened);
  };
  accept(1);
  t.deepEqual(await after(0), ["a1"], "after a silence at once");
  upstream.acknowledge(0);

  accept(2);
  t.deepEqual(await after(15), ["a1"]);
  accept(3);
  t.deepEqual(await after(19), ["a1"]);
  t.deepEqual(await after(1), ["a1", "a2", "a3"], "in a pause");

  for (const first of [4, 5, 6]) {
    accept(first);
    t.is((await after(15)).length, 3);
  }
  accept(7);
  t.is((await after(4)).length, 3);
  t.deepEqual((await after(1)).slice(3), ["a4", "a5", "a6", "a7"], "in the midst of a stream");

  accept(8);
  accept(9, 600_000);
  t.deepEqual((await after(0)).slice(7), ["a8", "a9"], "much");
  clock.set(-1e6);
  accept(10);
  t.is((await after(0)).at(-1), "a10", "also when the clock was set back");
});

test("what comes while others wait for their turn departs after them, when it is time", async (t) => {
  const opened = open(t, { gathering: { mostMs: 50, pauseMs: 50 } });
  const { forwarder, upstream, clock } = opened;
  const accept = (first: number): void => void outcome(forwarder.accept(envelope(a, first)));
  accept(1);
  for (let first = 2; first <= 258; first += 1) accept(first);
  clock.advance(50);
  await settled();
  t.is(sent(opened).at(-1), "a256", "no more are on their way at a time");

  accept(259);
  upstream.acknowledge(0);
  upstream.acknowledge(0);
  upstream.acknowledge(0);
  await settled();
  t.is(sent(opened).at(-1), "a258");
  clock.advance(50);
  await settled();
  t.is(sent(opened).at(-1), "a259");
});

test("no more than 256 are on their way", async (t) => {
  const opened = open(t);
  for (let first = 1; first <= 300; first += 1) void outcome(opened.forwarder.accept(envelope(a, first)));
  await settled();

  t.is(opened.upstream.pending, 256);
  opened.upstream.acknowledge();
  await settled();
  t.is(opened.upstream.pending, 256);
});

test("what was on its way when the connection broke is sent again, from disk, and leaves nothing there", async (t) => {
  const opened = open(t);
  const { forwarder, upstream, clock, disk, warnings } = opened;
  const answers = [1, 2, 3].map((first) => outcome(forwarder.accept(envelope(first === 2 ? b : a, first))));
  upstream.break();
  await settled();
  t.is(disk.paths.length, 2, "a segment for each sender");

  const late = outcome(forwarder.accept(envelope(a, 4)));
  clock.advance(60_000);
  await settled();
  t.deepEqual(sent(opened).slice(3), ["a1", "b2", "a3", "a4"]);
  for (let n = 0; n < 4; n += 1) upstream.acknowledge();
  t.deepEqual(await Promise.all([...answers, late]), ["1", "2", "3", "4"]);
  t.deepEqual(disk.paths, []);
  t.deepEqual(warnings, [
    "forward: messages wait, and are sent when it is over: the test broke the connection",
    "forward: messages go upstream again",
  ]);
});

test("an envelope that is refused for ever is found, told to its sender, and holds up no other", async (t) => {
  const opened = open(t);
  const { forwarder, upstream, clock } = opened;
  const answers = [1, 2, 3, 4].map((first) => outcome(forwarder.accept(envelope(a, first))));

  for (let round = 0; round < 30 && forwarder.unanswered > 0; round += 1) {
    await settled();
    clock.advance(60_000);
    await settled();
    if (upstream.pending === 0) continue;
    const waiting = upstream.heard.slice(-upstream.pending).map(({ firstSequence }) => firstSequence);
    if (waiting.includes(3n)) upstream.break(new CollectorError("invalid-envelope", "never"));
    else upstream.acknowledge();
  }

  t.deepEqual(await Promise.all(answers), ["1", "2", "never", "4"]);
});

test("bytes that are no envelope are refused here", async (t) => {
  const { forwarder, upstream } = open(t);

  t.regex(
    await outcome(forwarder.accept(Uint8Array.of(255, 255))),
    /forward an envelope: its bytes are none/,
  );
  t.is(upstream.heard.length, 0);
});

test("there is no room when 16 MiB wait in memory, and again below 8", async (t) => {
  const { forwarder, upstream } = open(t, { spools: false });
  const mebibyte = 1024 ** 2;
  for (let first = 1; first <= 16; first += 1) void outcome(forwarder.accept(envelope(a, first, mebibyte)));
  t.truthy(forwarder.room);

  for (let n = 0; n < 8; n += 1) {
    upstream.acknowledge();
    await settled();
    t.truthy(forwarder.room);
  }
  upstream.acknowledge();
  await settled();
  t.is(forwarder.room, undefined);
});

test("while nobody is upstream a full memory goes to the disk, and workers may go on", async (t) => {
  const { forwarder, upstream, disk } = open(t);
  void outcome(forwarder.accept(envelope(a, 1)));
  upstream.break();
  await settled();

  for (let first = 2; first <= 40; first += 1) void outcome(forwarder.accept(envelope(a, first, 512 * 1024)));

  t.is(forwarder.room, undefined);
  t.true(disk.usedBytes > 8 * 1024 ** 2);
});

test("a disk that fails keeps everything in memory, and says so once", async (t) => {
  const { forwarder, upstream, clock, disk, warnings } = open(t);
  disk.failure = new Error("EROFS: read-only file system");
  const answers = [1, 2].map((first) => outcome(forwarder.accept(envelope(a, first))));
  upstream.break();
  await settled();
  clock.advance(60_000);
  await settled();
  upstream.break();
  await settled();
  clock.advance(60_000);
  await settled();
  upstream.acknowledge();
  upstream.acknowledge();

  t.deepEqual(await Promise.all(answers), ["1", "2"]);
  t.is(warnings.filter((text) => text.includes("EROFS")).length, 1);
});

test("what is left at the end is on disk under its senders' names, and they are told to keep it", async (t) => {
  // Senders of their own: tests of one process run side by side, and a sender here is alive as long as one has it.
  const opened = open(t);
  const answers = [
    outcome(opened.forwarder.accept(envelope("c".repeat(32), 7))),
    outcome(opened.forwarder.accept(envelope("d".repeat(32), 1))),
  ];

  await opened.forwarder[Symbol.asyncDispose]();

  t.deepEqual(await Promise.all(answers), Array(2).fill("forward an envelope: the agent is stopping"));
  t.is(await outcome(opened.forwarder.accept(envelope(a, 8))), "forward an envelope: the agent is stopping");
  const left: string[] = [];
  await sendLeft({
    disk: opened.disk,
    directory,
    send: ({ bytes }) => {
      const { senderId, firstSequence } = Envelope.decode(bytes);
      return Promise.resolve(left.push(`${senderId.slice(0, 1)}${String(firstSequence)}`));
    },
    onProblem: ({ message }) => t.fail(message),
  });
  t.deepEqual(left.sort(), ["c7", "d1"]);
});

test("drained waits for all that was accepted", async (t) => {
  const { forwarder, upstream } = open(t);
  await forwarder.drained();
  void outcome(forwarder.accept(envelope(a, 1)));
  let isDrained = false;
  void forwarder.drained().then(() => (isDrained = true));
  await settled();
  t.false(isDrained);

  upstream.acknowledge();
  await settled();
  t.true(isDrained);
});
