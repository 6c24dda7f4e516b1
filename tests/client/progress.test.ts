import test from "ava";

import { Progress } from "../../src/client/progress.js";

test("a wait ends when the count has risen to its target, and not before", async (t) => {
  const progress = new Progress();
  const reached: number[] = [];
  const waits = [2, 3, 5].map((target) => progress.until(target).then(() => reached.push(target)));

  progress.riseTo(3);
  await Promise.all(waits.slice(0, 2));
  t.deepEqual(reached, [2, 3]);

  progress.riseTo(9);
  await waits[2];
  t.deepEqual(reached, [2, 3, 5]);
});

test("a target that was reached before is no wait", async (t) => {
  const progress = new Progress();
  progress.riseTo(4);

  await t.notThrowsAsync(progress.until(4));
});

test("a failure tells those who wait and those who come later, but not those whose target was reached", async (t) => {
  const progress = new Progress();
  const waiting = progress.until(2);
  progress.riseTo(1);

  progress.fail(new Error("gone"));

  await t.throwsAsync(waiting, { message: "gone" });
  await t.throwsAsync(progress.until(2), { message: "gone" });
  await t.notThrowsAsync(progress.until(1));
});

test("an aborted signal ends only its own wait", async (t) => {
  const progress = new Progress();
  const patience = new AbortController();
  const impatient = progress.until(1, patience.signal);
  const patient = progress.until(1);

  patience.abort(new Error("enough"));
  await t.throwsAsync(impatient, { message: "enough" });

  progress.riseTo(1);
  await t.notThrowsAsync(patient);
});
