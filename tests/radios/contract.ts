import { setTimeout as sleep } from "node:timers/promises";

import test, { type ExecutionContext } from "ava";

import { CollectorError } from "../../src/base/errors.js";
import { Client } from "../../src/client/client.js";
import { Envelope, type Acknowledgement } from "../../src/model/envelope.js";
import type { Inbox, RadioReceiver, RadioSender } from "../../src/radios/radio.js";
import { Batcher } from "../../src/server/batcher.js";
import type { Arrival, Store } from "../../src/server/sinks/sink.js";
import type { SqliteWriter } from "../../src/server/sinks/sqlite/writer.js";
import { resourceInfo, runId, at } from "../support/builders.js";
import { openDatabase } from "../support/database.js";
import { rollDice, type Dice } from "../support/dice.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil, within } from "../support/wait.js";
import { openWriter } from "../support/writer.js";

/** A radio under the contract. */
export interface Subject {
  /** As the ledger knows it. */
  readonly name: string;
  /** What a sender of it knows: that its messages are committed; that they will be, or are told as refused; only
   *  that they left. */
  readonly promises: "stored" | "kept" | "sent";
  /** Opens the receiving half, at the address where it was before when there was one. */
  readonly openReceiver: (inbox: Inbox, before: string | undefined) => Promise<RadioReceiver>;
  readonly openSender: (address: string) => RadioSender;
}

/** Marks a message that the inbox refuses for ever. */
const poison = "poison";

/** A writer on this thread. */
function storeOf(writer: SqliteWriter): Store {
  return {
    store: (group: readonly Arrival[]) => Promise.resolve(writer.store(group)),
    status: (run) => Promise.resolve(writer.status(run)),
  };
}

/** An inbox that is out of sorts when told. */
class MoodyInbox implements Inbox {
  readonly #batcher: Batcher;
  mood: "takes" | "refuses for now" = "takes";
  #room: PromiseWithResolvers<void> | undefined;

  constructor(batcher: Batcher) {
    this.#batcher = batcher;
  }

  get room(): Promise<void> | undefined {
    return this.#room?.promise;
  }

  set isFull(full: boolean) {
    if (full) this.#room ??= Promise.withResolvers<void>();
    else {
      this.#room?.resolve();
      this.#room = undefined;
    }
  }

  async accept(envelope: Uint8Array, radio: string): Promise<Acknowledgement> {
    if (this.mood === "refuses for now") throw new CollectorError("shutting-down", "not now");
    const { messages } = Envelope.decode(envelope);
    const isPoisoned = messages.some(
      ({ kind }) => kind?.$case === "resourceInfo" && kind.value.psutilProcessStatus === poison,
    );
    if (isPoisoned) throw new CollectorError("invalid-envelope", "never");
    return this.#batcher.accept(envelope, radio);
  }
}

interface Sender {
  readonly number: number;
  readonly client: Client;
  readonly poisoned: number[];
  sent: number;
}

/** Numbered messages of several senders, while the inbox takes them, refuses them for now, has no room, refuses some
 *  for ever, and the receiver goes away and comes back. In the end nothing is missing but what the radio cannot
 *  promise, which is counted; and nothing is there twice. */
export const keepsTheContract = test.macro({
  title: (_, subject: Subject) => `${subject.name} keeps the contract of radios`,
  async exec(t: ExecutionContext, subject: Subject) {
    const dice = rollDice(t);
    const below = (most: number): number => Math.floor(dice() * most);
    const database = `${temporaryDirectory(t)}/monitoring.db`;
    const writer = openWriter(database);
    const batcher = new Batcher(storeOf(writer));
    const inbox = new MoodyInbox(batcher);
    let receiver = await subject.openReceiver(inbox, undefined);
    const { address } = receiver;
    const senders = [1, 2, 3].map((number) => newSender(t, subject, address, dice, number));

    for (let step = 0; step < 60; step += 1) {
      const sender = senders[below(senders.length)];
      switch (below(8)) {
        case 0:
          inbox.mood = inbox.mood === "takes" ? "refuses for now" : "takes";
          break;
        case 1:
          inbox.isFull = inbox.room === undefined;
          break;
        case 2:
          // What was on its way has no answer: the other half is gone.
          inbox.mood = "refuses for now";
          inbox.isFull = false;
          await receiver[Symbol.asyncDispose]();
          await sleep(below(30));
          receiver = await subject.openReceiver(inbox, address);
          inbox.mood = "takes";
          break;
        case 3:
          if (sender !== undefined) await sendPoison(sender, inbox);
          break;
        default:
          if (sender !== undefined) await sendSome(sender, 1 + below(40));
      }
      await sleep(below(10));
    }
    inbox.mood = "takes";
    inbox.isFull = false;
    await within("the senders' close", Promise.all(senders.map(({ client }) => client.close())));
    await settle(batcher, subject, senders);
    await receiver[Symbol.asyncDispose]();
    await batcher[Symbol.asyncDispose]();
    const status = writer.status("");
    writer.close();

    const { rows } = openDatabase(t, database);
    for (const { client, sent, poisoned } of senders) {
      const ledger = status.senders.find(({ senderId }) => senderId === client.senderId);
      if (sent === 0) continue;
      const stored = rows("SELECT psutil_process_status AS mark FROM resource")
        .map(({ mark }) => String(mark))
        .filter((mark) => mark.startsWith(client.senderId));
      t.is(new Set(stored).size, stored.length, "nothing twice");
      const missing = (ledger?.missing ?? []).flatMap(({ first, last }) =>
        Array.from({ length: Number(last - first) + 1 }, (_, index) => Number(first) + index),
      );
      t.is(Number(ledger?.lastSequence), sent);
      t.is(stored.length, Number(ledger?.counts?.stored));
      t.is(
        stored.length + missing.length + Number(ledger?.counts?.rejected),
        sent,
        "each is stored or counted",
      );
      if (subject.promises === "stored") t.deepEqual(missing, []);
      // Nobody told the sender; the receiver has kept them.
      if (subject.promises === "kept") t.deepEqual(missing, poisoned);
      if (subject.promises === "stored") t.is(Number(ledger?.counts?.rejected), poisoned.length);
      t.deepEqual(
        ledger?.radios.map(({ radio }) => radio),
        [subject.name],
      );
    }
  },
});

function newSender(
  t: ExecutionContext,
  subject: Subject,
  address: string,
  dice: Dice,
  number: number,
): Sender {
  const client = new Client(subject.openSender(address), {
    runId,
    hostname: "n1",
    random: () => dice() * 0.1,
  });
  t.teardown(() => client.abort());
  return { number, client, sent: 0, poisoned: [] };
}

async function sendSome(sender: Sender, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    sender.sent += 1;
    const mark = `${sender.client.senderId}:${String(sender.sent)}`;
    await sender.client.send(
      resourceInfo({
        timestamp: at(sender.sent / 1_000),
        psutilProcessStatus: mark,
        hostname: "n1",
        tryId: sender.number,
      }),
    );
  }
}

/** In an envelope of its own, so that it costs no other message where the sender is not told. */
async function sendPoison(sender: Sender, inbox: MoodyInbox): Promise<void> {
  inbox.mood = "takes";
  inbox.isFull = false;
  await within("a flush", sender.client.flush());
  sender.sent += 1;
  sender.poisoned.push(sender.sent);
  await sender.client.send(resourceInfo({ psutilProcessStatus: poison }));
  await within("a flush", sender.client.flush());
}

/** Waits until what senders have handed over has come. */
async function settle(batcher: Batcher, subject: Subject, senders: readonly Sender[]): Promise<void> {
  if (subject.promises === "stored") return;
  await waitUntil("the senders' closing notes have come", async () => {
    const known = (await batcher.status("")).senders;
    return senders.every(
      ({ client, sent, poisoned }) =>
        sent === 0 ||
        known.some(
          ({ senderId, closed, counts }) =>
            senderId === client.senderId &&
            closed &&
            (subject.promises === "sent" || Number(counts?.missing) === poisoned.length),
        ),
    );
  });
}
