import { setImmediate as nextTurn } from "node:timers/promises";

import test from "ava";

import { Health } from "../../src/server/health.js";
import { FakeClock } from "../support/fake-clock.js";

const locked = "write database m.db: database is locked";
const tooLong = `for 30 s and more: ${locked}`;

function setUp() {
  const clock = new FakeClock();
  const changes: (string | undefined)[] = [];
  const health = new Health({
    ...{ unhealthyAfterSeconds: 30, clock },
    onChange: (reason) => changes.push(reason),
  });
  const advance = async (seconds: number): Promise<void> => {
    clock.advance(seconds * 1_000);
    await nextTurn(); // what a sleep's end sets off
  };
  return { health, changes, advance };
}

test("a collector serves until its database has not been writable for so long, and again after", async (t) => {
  const { health, changes, advance } = setUp();

  health.databaseBlocked(locked);
  await advance(29.9);
  t.is(health.reason, undefined);
  await advance(0.1);
  t.is(health.reason, tooLong);
  health.databaseBlocked(undefined);

  t.is(health.reason, undefined);
  t.deepEqual(changes, [tooLong, undefined]);
});

test("a database that is writable in between is waited for anew", async (t) => {
  const { health, changes, advance } = setUp();

  health.databaseBlocked(locked);
  await advance(20);
  health.databaseBlocked(undefined);
  health.databaseBlocked(locked);
  await advance(20);
  t.deepEqual(changes, []);
  await advance(10);

  t.deepEqual(changes, [tooLong]);
});

test("a collector that drains serves no more, whatever becomes of its database", async (t) => {
  const { health, changes, advance } = setUp();

  health.databaseBlocked(locked);
  health.drain();
  health.databaseBlocked(undefined);
  health.databaseBlocked(locked);
  await advance(60);

  t.deepEqual(changes, []);
  t.is(health.reason, "the collector is shutting down");
});
