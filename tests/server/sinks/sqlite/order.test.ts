import { join } from "node:path";

import test from "ava";
import fc, { type GeneratorValue } from "fast-check";

import type { Message } from "../../../../src/client/message.js";
import { envelopeOf, newSenderId } from "../../../support/encoded.js";
import { messageOnFewKeys, tablesOf } from "../../../support/few-keys.js";
import { temporaryDirectory } from "../../../support/temporary-directory.js";
import { acknowledgementsOf, openWriter } from "../../../support/writer.js";

/** Stores messages one by one, in their order. */
function storeInOrder(path: string, messages: readonly Message[]): void {
  const writer = openWriter(path);
  acknowledgementsOf(writer, [envelopeOf(messages)]);
  writer.close();
}

/** Stores the same messages as a hostile network brings them: in another order, by several senders, in
 *  envelopes of any size that come late, early and again (cut otherwise), in groups of any size, across a
 *  restart. */
function storeInDisorder(path: string, messages: readonly Message[], random: GeneratorValue): void {
  const pick = (max: number) => random(fc.nat, { max });
  const shuffled = random(fc.shuffledSubarray<Message>, [...messages], {
    minLength: messages.length,
    maxLength: messages.length,
  });
  const envelopes: Uint8Array[] = [];
  const insert = (envelope: Uint8Array) => envelopes.splice(pick(envelopes.length), 0, envelope);
  for (let senders = 1 + pick(2); senders > 0; senders -= 1) {
    const own = shuffled.splice(0, Math.ceil(shuffled.length / senders));
    const senderId = newSenderId();
    const insertRun = (from: number, to: number) =>
      insert(envelopeOf(own.slice(from, to), { senderId, first: from + 1 }));
    for (let from = 0; from < own.length;) {
      const to = from + 1 + pick(4);
      insertRun(from, to);
      from = to;
    }
    for (let repeats = pick(2); repeats > 0 && own.length > 0; repeats -= 1) {
      const from = pick(own.length - 1);
      insertRun(from, from + 1 + pick(own.length - from - 1));
    }
  }
  const restart = pick(envelopes.length);

  for (const part of [envelopes.slice(0, restart), envelopes.slice(restart)]) {
    const writer = openWriter(path);
    while (part.length > 0) acknowledgementsOf(writer, part.splice(0, 1 + pick(3)));
    writer.close();
  }
}

test("the tables are the same in whatever order, by whichever senders and how often messages come", (t) => {
  const folder = temporaryDirectory(t);
  let files = 0;
  const newFile = () => join(folder, `${String((files += 1))}.db`);

  fc.assert(
    fc.property(fc.array(messageOnFewKeys, { maxLength: 60, size: "max" }), fc.gen(), (messages, random) => {
      const inOrder = newFile();
      const inDisorder = newFile();

      storeInOrder(inOrder, messages);
      storeInDisorder(inDisorder, messages, random);

      t.deepEqual(tablesOf(inDisorder), tablesOf(inOrder));
    }),
    // Shrinking a failure would take minutes; the seed that is printed repeats it.
    { numRuns: 100, endOnFailure: true },
  );
});
