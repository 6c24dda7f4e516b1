import test from "ava";
import fc from "fast-check";

import { Fifo } from "../../src/client/fifo.js";

test("it behaves like an array that is pushed and shifted", (t) => {
  const steps = fc.array(fc.oneof(fc.record({ push: fc.nat(3000) }), fc.record({ shift: fc.nat(3000) })));
  fc.assert(
    fc.property(steps, (given) => {
      const fifo = new Fifo<number>();
      let array: number[] = [];
      let next = 0;
      for (const step of given) {
        if ("push" in step) {
          for (let n = 0; n < step.push; n += 1) {
            fifo.push(next);
            array.push(next);
            next += 1;
          }
        } else {
          const expected = array.slice(0, step.shift);
          array = array.slice(step.shift);
          t.deepEqual(
            expected.map(() => fifo.shift()),
            expected,
          );
        }
        t.is(fifo.length, array.length);
        t.is(fifo.at(0), array[0]);
        t.is(fifo.at(array.length - 1), array.at(-1));
      }
    }),
    { numRuns: 50 },
  );
});

test("an empty one gives nothing", (t) => {
  const fifo = new Fifo<string>();

  t.is(fifo.shift(), undefined);
  t.is(fifo.at(0), undefined);
  t.is(fifo.length, 0);
});
