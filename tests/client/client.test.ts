import test from "ava";
import fc from "fast-check";

import { CollectorError } from "../../src/base/errors.js";
import { Client } from "../../src/client/client.js";
import type { ClientOptions, ClientState, RejectedMessage } from "../../src/client/options.js";
import { Envelope } from "../../src/model/envelope.js";
import { resourceInfo, sample } from "../support/builders.js";
import { FakeClock } from "../support/fake-clock.js";
import { FakeRadio, settled } from "../support/fake-radio.js";

function open(options: ClientOptions = {}): { client: Client; radio: FakeRadio; clock: FakeClock } {
  const radio = new FakeRadio();
  const clock = new FakeClock();
  return { client: new Client(radio, { clock, random: () => 0, ...options }), radio, clock };
}

/** Whether the promise is settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let done = false;
  const note = (): void => {
    done = true;
  };
  promise.then(note, note);
  await settled();
  return done;
}

test("it sends nothing before the first message, and nothing at the end of a silent life", async (t) => {
  const { client, radio } = open();

  t.is(client.state.at, "idle");
  await client.close();

  t.deepEqual(radio.heard, []);
  t.is(radio.disposals, 1);
});

test("an envelope says sender, run and host once", async (t) => {
  const { client, radio } = open({ runId: "run", hostname: "n7" });

  await client.send(sample(1));

  t.like(radio.heard[0], { senderId: client.senderId, firstSequence: 1n, runId: "run", hostname: "n7" });
  t.regex(client.senderId, /^[0-9a-f]{32}$/);
  t.is(radio.heard[0]?.messages.length, 1);
  await client.abort();
});

test("flush waits for the acknowledgement of all that was given before, not for what comes later", async (t) => {
  const { client, radio } = open();
  await client.send(sample(1));
  const flushed = client.flush();
  await client.send(sample(2));

  t.false(await isSettled(flushed));
  radio.acknowledge();
  t.true(await isSettled(flushed));

  t.deepEqual(client.counts, { sent: 2, acknowledged: 1, rejected: 0, spooled: 0, lost: 0 });
  await client.abort();
});

test("send waits while the buffer is full, and goes on when acknowledgements make room", async (t) => {
  const { client, radio } = open({ bufferBytes: 1000 });
  const sends: Promise<void>[] = [];
  do sends.push(client.send(sample(sends.length)));
  while (await isSettled(sends.at(-1) ?? Promise.resolve()));

  t.true(sends.length > 3 && sends.length < 12, `${String(sends.length)} messages in 1000 bytes`);
  radio.acknowledge();
  t.true(await isSettled(sends.at(-1) ?? Promise.reject(new Error("nothing was sent"))));
  await client.abort();
});

test("a message larger than the whole buffer is taken when it is alone", async (t) => {
  const { client, radio } = open({ bufferBytes: 10 });

  t.true(await isSettled(client.send(sample(1))));
  const second = client.send(sample(2));
  t.false(await isSettled(second));

  radio.acknowledge();
  t.true(await isSettled(second));
  await client.abort();
});

test("after a break it waits, and resends what is not acknowledged with the same sequences", async (t) => {
  const { client, radio, clock } = open();
  await client.send(sample(1));
  await client.send(sample(2));
  await client.send(sample(3));
  radio.acknowledge();
  await settled();

  radio.break();
  await settled();
  t.is(client.state.at, "waiting");
  t.deepEqual(clock.sleeps, [50]);
  t.is(radio.heard.length, 2);

  clock.advance(50);
  await settled();
  t.is(radio.heard.at(-1)?.firstSequence, 2n);
  t.is(radio.heard.at(-1)?.messages.length, 2);
  radio.acknowledge();
  await client.flush();
  t.is(client.state.at, "connected");
  await client.abort();
});

test("an idle client of a run is heard of every 30 s, once it has sent a message", async (t) => {
  const { client, radio, clock } = open({ runId: "run" });
  const pass = async (): Promise<void> => {
    clock.advance(30_000);
    await settled();
  };
  await pass();
  t.deepEqual(radio.heard, []);

  await client.send(sample(1));
  await pass();
  t.is(radio.heard.length, 1); // which waits for its acknowledgement
  await pass();
  t.is(radio.heard.length, 1);
  radio.acknowledge();
  await pass();
  const heartbeat = Envelope.fromPartial({ senderId: client.senderId, runId: "run" });
  t.deepEqual(radio.heard.slice(1), [heartbeat]);
  await pass();
  t.is(radio.heard.length, 2); // one waits for its acknowledgement at most
  radio.acknowledge();
  await settled();
  await pass();
  t.deepEqual(radio.heard.slice(2), [heartbeat]);

  radio.break();
  await settled();
  t.is(client.state.at, "waiting");
  clock.advance(50);
  await settled();
  await pass();
  radio.acknowledge();
  await settled();
  t.is(client.state.at, "connected");
  t.deepEqual(client.counts, { sent: 1, acknowledged: 1, rejected: 0, spooled: 0, lost: 0 });

  const closed = client.close();
  radio.acknowledge();
  await closed;
  t.is(radio.heard.at(-1)?.closingNote?.lastSequence, 1n);
  t.is(clock.sleeping, 0);
});

test("a client without a run has no heartbeat", async (t) => {
  const { client, clock } = open();
  await client.send(sample(1));

  t.deepEqual(clock.sleeps, []);
  await client.abort();
});

test("a message that is given during a pause waits for its end", async (t) => {
  const { client, radio, clock } = open();
  await client.send(sample(1));
  radio.break();
  await settled();

  await client.send(sample(2));
  t.is(radio.heard.length, 1);

  clock.advance(50);
  await settled();
  t.is(radio.heard.at(-1)?.messages.length, 2);
  await client.abort();
});

test("a break of several envelopes counts as one failure", async (t) => {
  const { client, radio, clock } = open({ random: () => 1 });
  for (let n = 0; n < 2001; n += 1) await client.send(sample(n));
  t.true(radio.pending > 1);

  radio.break();
  await settled();

  t.deepEqual(clock.sleeps, [100]);
  await client.abort();
});

test("a message that is refused for good is found, set aside with the reason, and holds up no other", async (t) => {
  const { client, radio, clock } = open();
  const stored = new Map<bigint, string>();
  for (let taskId = 0; taskId < 1_200; taskId += 1) await client.send(resourceInfo({ taskId }));
  const closed = client.close();

  while (!(await isSettled(closed))) {
    const envelope = radio.heard.at(-radio.pending);
    const refused = envelope?.messages.some(
      ({ kind }) =>
        kind?.$case === "resourceInfo" && (kind.value.taskId === 700 || kind.value.taskId === 703),
    );
    if (refused === true) {
      radio.break(new CollectorError("invalid-envelope", "larger than max"));
    } else if (envelope !== undefined && radio.pending > 0) {
      for (const [index, { kind }] of envelope.messages.entries()) {
        stored.set(
          envelope.firstSequence + BigInt(index),
          kind?.$case === "unreadableMessage" ? `${kind.value.reason ?? ""}: ${kind.value.text ?? ""}` : "",
        );
      }
      radio.acknowledge();
    }
    await settled();
    clock.advance(5_000);
    await settled();
  }
  await closed;

  t.is(stored.size, 1_200);
  const setAside = [...stored].filter(([, text]) => text !== "");
  t.deepEqual(
    setAside.map(([sequence]) => sequence),
    [701n, 704n],
  );
  t.regex(setAside[0]?.[1] ?? "", /^refused on its way: larger than max: resourceInfo of \d+ bytes$/);
  t.is(client.counts.acknowledged, 1_200);
});

test("when everything is refused, no message is to blame and the client fails", async (t) => {
  const { client, radio, clock } = open();
  for (let taskId = 0; taskId < 10; taskId += 1) await client.send(resourceInfo({ taskId }));
  const flushed = client.flush();

  while (!(await isSettled(flushed))) {
    if (radio.pending > 0) radio.break(new CollectorError("invalid-envelope", "no sender_id"));
    await settled();
    clock.advance(5_000);
    await settled();
  }

  await t.throwsAsync(flushed, { message: /no sender_id; 10 of 10 messages are not acknowledged/ });
  t.is(client.state.at, "failed");
});

test("a permanent refusal is told to everyone who waits and everyone who comes later", async (t) => {
  const states: ClientState["at"][] = [];
  const { client, radio } = open({ onStateChange: (state) => states.push(state.at) });
  await client.send(sample(1));
  const flushed = client.flush();
  const closed = client.close();

  radio.break(new CollectorError("invalid-argument", "the collector does not like it"));

  const expected = { message: /the collector does not like it; 1 of 1 messages are not acknowledged/ };
  await t.throwsAsync(flushed, expected);
  await t.throwsAsync(closed, expected);
  await t.throwsAsync(client.flush(), expected);
  t.deepEqual(states, ["connecting", "failed"]);
  t.is(radio.disposals, 1);
});

test("after a permanent refusal send says why", async (t) => {
  const { client, radio } = open();
  await client.send(sample(1));
  radio.break(new CollectorError("invalid-argument", "wrong address"));
  await settled();

  const error = await t.throwsAsync(client.send(sample(2)), { instanceOf: CollectorError });

  t.regex(error.message, /^send: wrong address/);
  t.is(error.code, "invalid-argument");
});

test("close sends what is left and a closing note, and waits for both", async (t) => {
  const { client, radio } = open();
  await client.send(sample(1));
  await client.send(sample(2));

  const closed = client.close();
  await t.throwsAsync(client.send(sample(3)), { message: "send: the client was closed before" });
  t.is(radio.heard.at(-1)?.closingNote?.lastSequence, 2n);
  radio.acknowledge();
  t.false(await isSettled(closed));
  radio.acknowledge();
  await closed;

  t.is(client.state.at, "closed");
  t.is(radio.disposals, 1);
  await client.close();
  t.is(radio.disposals, 1);
});

test("close gives up when its signal aborts, and says what it left", async (t) => {
  const { client } = open();
  await client.send(sample(1));
  const patience = new AbortController();
  const closed = client.close(patience.signal);

  patience.abort();

  await t.throwsAsync(closed, { message: "abort: 1 of 1 messages are not acknowledged" });
});

test("abort tells who waits, and leaves no sleep behind", async (t) => {
  const { client, radio, clock } = open();
  await client.send(sample(1));
  await client.send(sample(2));
  radio.acknowledge();
  await settled();
  radio.break();
  await settled();
  const flushed = client.flush();

  const left = await client.abort();

  t.like(left, { messages: 1, firstSequence: 2 });
  t.is(clock.sleeping, 0);
  await t.throwsAsync(flushed, { message: "abort: 1 of 2 messages are not acknowledged" });
  await t.notThrowsAsync(client.close());
});

test("a rejected message is told with its reason and itself, and is acknowledged", async (t) => {
  const told: RejectedMessage[] = [];
  const { client, radio } = open({ onRejected: (rejected) => told.push(rejected) });
  await client.send(resourceInfo({ taskId: 1 }));
  await client.send(resourceInfo({ taskId: 2 }));
  await client.send(resourceInfo({ taskId: 3 }));
  radio.acknowledge();
  await settled();

  radio.acknowledge(0, [{ sequence: 3n, reason: "no try_id" }]);
  await client.flush();
  await settled();

  t.is(told.length, 1);
  t.like(told[0], { sequence: 3, reason: "no try_id" });
  const kind = told[0]?.message.kind;
  t.is(kind?.$case === "resourceInfo" ? kind.value.taskId : undefined, 3);
  t.deepEqual(client.counts, { sent: 3, acknowledged: 3, rejected: 1, spooled: 0, lost: 0 });
  await client.abort();
});

test("whatever is acknowledged, broken and lost on the way, the collector hears every message and the client counts each once", async (t) => {
  const step = fc.oneof(
    { weight: 5, arbitrary: fc.record({ send: fc.integer({ min: 1, max: 700 }) }) },
    { weight: 4, arbitrary: fc.record({ acknowledge: fc.nat(7) }) },
    { weight: 2, arbitrary: fc.constant({ break: true }) },
    { weight: 3, arbitrary: fc.record({ advance: fc.nat(200) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const { client, radio, clock } = open();
      let sent = 0;
      const acknowledge = (index: number): void => {
        if (radio.pending > 0) radio.acknowledge(index % radio.pending);
      };
      for (const one of steps) {
        if ("send" in one)
          for (let n = 0; n < one.send; n += 1) await client.send(resourceInfo({ taskId: sent++ }));
        else if ("acknowledge" in one) acknowledge(one.acknowledge);
        else if ("advance" in one) clock.advance(one.advance);
        else radio.break();
        await settled();
      }
      const closed = client.close();
      while (!(await isSettled(closed))) {
        clock.advance(5000);
        acknowledge(0);
      }
      await closed;

      const heard = new Map<number, number>();
      for (const { firstSequence, messages } of radio.heard) {
        for (const [index, { kind }] of messages.entries()) {
          if (kind?.$case === "resourceInfo")
            heard.set(Number(firstSequence) + index, kind.value.taskId ?? -1);
        }
      }
      t.deepEqual(
        [...heard.keys()].sort((a, b) => a - b),
        Array.from({ length: sent }, (_, n) => n + 1),
      );
      t.true([...heard].every(([sequence, taskId]) => taskId === sequence - 1));
      t.deepEqual(client.counts, { sent, acknowledged: sent, rejected: 0, spooled: 0, lost: 0 });
    }),
    { numRuns: 60 },
  );
});
