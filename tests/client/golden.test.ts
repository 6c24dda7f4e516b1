import test from "ava";

import { connect } from "../../src/index.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { rollDice, shuffled } from "../support/dice.js";
import { goldenMessages, goldenRows, rowsLikeGolden } from "../support/golden.js";

test("what Parsl said of a real workflow becomes the rows that Parsl made of it", async (t) => {
  const collector = await startCollector(t, { args: ["--timezone", "UTC"] });
  const client = connect({ address: collector.address });
  const messages = goldenMessages();

  for (const message of messages) await client.send(message);
  await client.close();

  t.deepEqual(client.counts, {
    sent: messages.length,
    acknowledged: messages.length,
    rejected: 0,
    spooled: 0,
    lost: 0,
  });
  t.deepEqual(rowsLikeGolden(openDatabase(t, collector.database)), goldenRows());
});

for (const senders of [2, 7]) {
  test(`the same messages in a random order from ${String(senders)} senders become the same rows`, async (t) => {
    const dice = rollDice(t);
    const collector = await startCollector(t, { args: ["--timezone", "UTC"] });
    const clients = Array.from({ length: senders }, () => connect({ address: collector.address }));

    for (const message of shuffled(goldenMessages(), dice)) {
      const client = clients[Math.floor(dice() * senders)];
      await client?.send(message);
      if (dice() < 0.1) await client?.flush();
    }
    await Promise.all(clients.map((client) => client.close()));

    t.is(
      clients.reduce((sum, client) => sum + client.counts.rejected, 0),
      0,
    );
    t.deepEqual(rowsLikeGolden(openDatabase(t, collector.database)), goldenRows());
  });
}
