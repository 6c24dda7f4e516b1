import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import test, { type ExecutionContext } from "ava";

import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { runKey } from "../support/datagrams.js";
import { NetworkNamespace, whyNoNetwork } from "../support/network-namespace.js";
import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { within } from "../support/wait.js";

/** Real packets that a real filter drops, one in ten. */

const senderMain = fileURLToPath(new URL("./network-sender.js", import.meta.url));
const reason = whyNoNetwork();
const inNetwork = reason === undefined ? test : test.skip;
const unlessSkipped = reason === undefined ? "" : ` (skipped: ${reason})`;

/** What `parsl-collector status --json` says, as far as it matters here. */
interface Status {
  readonly senders: readonly {
    readonly senderId: string;
    readonly closed: boolean;
    readonly counts: Readonly<Record<"stored" | "missing" | "lost", number>>;
  }[];
}

interface InNetwork {
  readonly network: NetworkNamespace;
  readonly database: string;
  readonly addresses: Readonly<Record<"grpc" | "udp", string>>;
  /** Runs a sender to its end; returns its sender id. */
  readonly send: (radio: "grpc" | "udp", count: number) => Promise<string>;
  /** Lets the collector drain, and returns the account. */
  readonly account: () => Promise<Status["senders"]>;
}

async function collectorInNetwork(t: ExecutionContext): Promise<InNetwork> {
  const network = await NetworkNamespace.open(t);
  const keyFile = join(temporaryDirectory(t), "key");
  writeFileSync(keyFile, runKey, { mode: 0o600 });
  const args = ["--radio", "udp=127.0.0.1:0", "--key-file", keyFile];
  const collector = await startCollector(t, { args, inside: network.inside });
  const addresses = { grpc: collector.address, udp: collector.radios["udp"] ?? "" };
  return {
    network,
    database: collector.database,
    addresses,
    send: (radio, count) => {
      const command = [process.execPath, senderMain, radio, addresses[radio], String(count)];
      return within(`a sender by ${radio}`, network.run(command), 120_000);
    },
    account: async () => {
      await collector.stop();
      const { stdout } = await runToEnd(t, ["status", "--database", collector.database, "--json"]);
      return (JSON.parse(stdout) as Status).senders;
    },
  };
}

function portOf(address: string): string {
  return address.slice(address.lastIndexOf(":") + 1);
}

inNetwork(
  `of datagrams of which the network drops one in ten the ledger misses exactly those, for each sender${unlessSkipped}`,
  async (t) => {
    const { network, database, addresses, send, account } = await collectorInNetwork(t);
    const datagram = `udp dport ${portOf(addresses.udp)} udp length`;
    const oneInTen = "numgen random mod 100 < 10 counter name";
    // A closing note is shorter than any datagram with a message.
    const rules = [
      `${datagram} > 200 ${oneInTen} lost_messages drop`,
      `${datagram} <= 200 ${oneInTen} lost_notes drop`,
    ];
    await network.filter(rules, ["lost_messages", "lost_notes"]);
    const count = 1_000;
    const dropped = new Map<string, number>();

    // One after the other, so that the counter tells whose they were.
    for (let before = 0, senders = 0; senders < 3; senders += 1) {
      const senderId = await send("udp", count);
      const now = await network.packets("lost_messages");
      dropped.set(senderId, now - before);
      before = now;
    }
    const senders = await account();

    const sum = [...dropped.values()].reduce((a, b) => a + b);
    t.log(
      `${String(sum)} of ${String(3 * count)} messages and ${String(await network.packets("lost_notes"))} notes dropped`,
    );
    t.true(sum > 0);
    t.is(senders.length, 3);
    for (const { senderId, closed, counts } of senders) {
      const missing = dropped.get(senderId) ?? NaN;
      t.true(closed);
      t.like(counts, { stored: count - missing, missing, lost: 0 });
    }
    t.is(openDatabase(t, database).count("resource"), 3 * count - sum);
  },
);

inNetwork(`under the same loss gRPC misses nothing${unlessSkipped}`, async (t) => {
  const { network, database, addresses, send, account } = await collectorInNetwork(t);
  const port = portOf(addresses.grpc);
  const oneInTen = "numgen random mod 100 < 10 counter name lost drop";
  await network.filter([`tcp dport ${port} ${oneInTen}`, `tcp sport ${port} ${oneInTen}`], ["lost"]);
  const count = 200;

  const senderId = await send("grpc", count);
  const dropped = await network.packets("lost");
  await network.filter([]); // the collector need not wait for those that will never be answered
  const senders = await account();

  t.log(`${String(dropped)} packets dropped`);
  t.true(dropped > 0);
  t.is(senders.length, 1);
  t.like(senders[0], { senderId, closed: true, counts: { stored: count, missing: 0, lost: 0 } });
  t.is(openDatabase(t, database).count("resource"), count);
});
