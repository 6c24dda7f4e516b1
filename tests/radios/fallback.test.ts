import test from "ava";

import { CollectorError } from "../../src/base/errors.js";
import { FallbackSender } from "../../src/radios/fallback.js";
import type { OutgoingEnvelope, Receipt } from "../../src/radios/radio.js";
import { sample } from "../support/builders.js";
import { envelopeOf } from "../support/encoded.js";
import { FakeClock } from "../support/fake-clock.js";
import { FakeRadio, settled } from "../support/fake-radio.js";

const afterMs = 10_000;

function open(): {
  fallback: FallbackSender;
  first: FakeRadio;
  second: FakeRadio;
  clock: FakeClock;
  changes: string[];
} {
  const [first, second] = [new FakeRadio(), new FakeRadio()];
  const clock = new FakeClock();
  const changes: string[] = [];
  const fallback = new FallbackSender({
    roads: [
      { name: "first", sender: first },
      { name: "second", sender: second },
    ],
    afterMs,
    clock,
    onChange: (name, reason) => void changes.push(reason === undefined ? name : `${name}: ${reason}`),
  });
  return { fallback, first, second, clock, changes };
}

function envelope(sequence: number): OutgoingEnvelope {
  const senderId = "a".repeat(32);
  const bytes = envelopeOf([sample(sequence)], { senderId, first: sequence });
  return { bytes, senderId, firstSequence: sequence, count: 1 };
}

/** What becomes of a send: "stored", or the text of its error. */
async function outcome(sending: Promise<Receipt>): Promise<string> {
  return sending.then(
    ({ delivery }) => delivery,
    (cause: unknown) => (cause as Error).message,
  );
}

function away(): CollectorError {
  return new CollectorError("unavailable", "away");
}

async function sendAndBreak(fallback: FallbackSender, radio: FakeRadio, sequence: number): Promise<string> {
  const sending = outcome(fallback.send(envelope(sequence)));
  radio.break(away());
  return sending;
}

test("while the first radio works, or fails for less than the time, the second is not used", async (t) => {
  const { fallback, first, second, clock, changes } = open();
  t.is(await sendAndBreak(fallback, first, 1), "away");
  clock.advance(afterMs - 1);
  t.is(await sendAndBreak(fallback, first, 1), "away");
  const sending = outcome(fallback.send(envelope(1)));
  first.acknowledge();
  t.is(await sending, "stored");

  clock.advance(1);
  t.is(await sendAndBreak(fallback, first, 2), "away", "the time begins anew after a success");
  t.is(second.heard.length, 0);
  t.deepEqual(changes, []);
});

test("after the time the second takes what fails, and what was on its way by the first", async (t) => {
  const { fallback, first, second, clock, changes } = open();
  await sendAndBreak(fallback, first, 1);
  clock.advance(afterMs);
  const sendings = [1, 2, 3].map((sequence) => outcome(fallback.send(envelope(sequence))));
  first.break(away());
  await settled();

  t.deepEqual(
    second.heard.map(({ firstSequence }) => firstSequence),
    [1n, 2n, 3n],
  );
  for (let n = 0; n < 3; n += 1) second.acknowledge();
  t.deepEqual(await Promise.all(sendings), ["stored", "stored", "stored"]);
  t.deepEqual(changes, ["second: away"]);
});

test("a radio that takes long to fail has failed since it was asked", async (t) => {
  const { fallback, first, second, clock } = open();
  const sending = outcome(fallback.send(envelope(1)));
  clock.advance(afterMs);
  first.break(away());
  await settled();

  t.is(second.heard.length, 1);
  second.acknowledge();
  t.is(await sending, "stored");
});

test("what will never work need not be waited for", async (t) => {
  const { fallback, first, second } = open();
  const sending = outcome(fallback.send(envelope(1)));
  first.break(new CollectorError("internal", "no collector there"));
  await settled();

  second.acknowledge();
  t.is(await sending, "stored");
});

test("the first is tried again beside the second, and gets everything once an envelope has come through", async (t) => {
  const { fallback, first, second, clock, changes } = open();
  await sendAndBreak(fallback, first, 1);
  clock.advance(afterMs);
  const sending = outcome(fallback.send(envelope(1)));
  first.break(away());
  await settled();
  second.acknowledge();
  await sending;
  const heardByFirst = first.heard.length;

  clock.advance(5_000);
  const probing = outcome(fallback.send(envelope(2)));
  t.is(first.heard.length, heardByFirst + 1, "by both");
  second.acknowledge();
  t.is(await probing, "stored", "it does not wait for the first");
  const more = outcome(fallback.send(envelope(3)));
  t.is(first.heard.length, heardByFirst + 1, "one try at a time");
  second.acknowledge();
  await more;

  first.acknowledge();
  await settled();
  const back = outcome(fallback.send(envelope(4)));
  first.acknowledge();
  t.is(await back, "stored");
  t.is(second.heard.length, 3);
  t.deepEqual(changes, ["second: away", "first"]);
});

test("a try that fails disturbs nothing, and comes again only after a while", async (t) => {
  const { fallback, first, second, clock, changes } = open();
  const sending = outcome(fallback.send(envelope(1)));
  clock.advance(afterMs);
  first.break(away());
  await settled();
  second.acknowledge();
  await sending;

  for (const wait of [5_000, 4_999, 1]) {
    clock.advance(wait);
    const heard = first.heard.length;
    const next = outcome(fallback.send(envelope(2)));
    t.is(first.heard.length - heard, wait === 4_999 ? 0 : 1);
    first.break(away());
    second.acknowledge();
    t.is(await next, "stored");
    await settled();
  }
  t.deepEqual(changes, ["second: away"]);
});

test("an envelope that one radio will never take goes by another, and changes nothing else", async (t) => {
  const { fallback, first, second } = open();
  const large = outcome(fallback.send(envelope(1)));
  first.break(new CollectorError("invalid-envelope", "too large for a datagram"));
  await settled();
  second.acknowledge();
  t.is(await large, "stored");

  const next = outcome(fallback.send(envelope(2)));
  first.acknowledge();
  t.is(await next, "stored");

  const refused = outcome(fallback.send(envelope(3)));
  first.break(new CollectorError("invalid-envelope", "too large for a datagram"));
  await settled();
  second.break(away());
  t.is(await refused, "too large for a datagram");
});

test("when all fail the caller is told, and both are disposed of in the end", async (t) => {
  const { fallback, first, second, clock } = open();
  await sendAndBreak(fallback, first, 1);
  clock.advance(afterMs);
  const sending = outcome(fallback.send(envelope(1)));
  first.break(away());
  await settled();
  second.break(new CollectorError("unavailable", "no such directory"));
  t.is(await sending, "no such directory");

  await fallback[Symbol.asyncDispose]();
  t.deepEqual([first.disposals, second.disposals], [1, 1]);
});
