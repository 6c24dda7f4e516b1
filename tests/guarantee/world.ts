import { copyFileSync, existsSync } from "node:fs";

import Database from "better-sqlite3";

import { CollectorError } from "../../src/base/errors.js";
import { atFaultPoints, type FaultPoint } from "../../src/base/fault-points.js";
import { Client } from "../../src/client/client.js";
import type { Message } from "../../src/client/message.js";
import { Envelope, type Acknowledgement } from "../../src/model/envelope.js";
import type { OutgoingEnvelope, RadioSender, Receipt } from "../../src/radios/radio.js";
import { Batcher } from "../../src/server/batcher.js";
import type { Arrival, Outcome, Sink, SinkStatus } from "../../src/server/sinks/sink.js";
import type { SqliteWriter } from "../../src/server/sinks/sqlite/writer.js";
import type { Dice } from "../support/dice.js";
import { envelopeOf } from "../support/encoded.js";
import { FakeClock } from "../support/fake-clock.js";
import { settled } from "../support/fake-radio.js";
import { openWriter } from "../support/writer.js";

/** What every sender and every reference says of itself. */
export const host = "n1";

/** The kind under which a dead sender's rest is given up. */
export const lostKind = "TASK_INFO";

/** A writer that stores a group when the world says so: what arrives meanwhile makes the next group. */
class HeldSink implements Sink {
  readonly failed = new Promise<CollectorError>(() => undefined);
  readonly blockedReason = undefined;
  /** The group that was given last. */
  group: readonly Arrival[] = [];
  readonly #writer: SqliteWriter;
  #held:
    { readonly group: readonly Arrival[]; readonly outcomes: PromiseWithResolvers<Outcome[]> } | undefined;

  constructor(writer: SqliteWriter) {
    this.#writer = writer;
  }

  store(group: readonly Arrival[]): Promise<readonly Outcome[]> {
    const outcomes = Promise.withResolvers<Outcome[]>();
    this.group = group;
    this.#held = { group, outcomes };
    return outcomes.promise;
  }

  /** Stores the group that waits, if one does. */
  commit(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    try {
      held.outcomes.resolve(this.#writer.store(held.group));
    } catch (cause) {
      held.outcomes.reject(cause);
    }
  }

  status(runId: string): Promise<SinkStatus> {
    return Promise.resolve(this.#writer.status(runId));
  }

  whenBlocked(): () => void {
    return () => undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** One life of the collector. */
interface Life {
  readonly path: string;
  readonly writer: SqliteWriter;
  readonly sink: HeldSink;
  readonly batcher: Batcher;
  /** A killed collector goes on in this process, but nobody hears it, and its file is another's. */
  killed: boolean;
}

interface Letter {
  readonly sender: ModelSender;
  readonly envelope: OutgoingEnvelope;
  readonly receipt: PromiseWithResolvers<Receipt>;
}

interface Answer {
  readonly letter: Letter;
  readonly acknowledgement: Acknowledgement;
}

/** A sender, and what its user knows of it. */
export interface ModelSender {
  readonly client: Client;
  readonly clock: FakeClock;
  readonly messages: Message[];
  /** Sequences that the user may take for stored; grows only. */
  acknowledged: number;
  alive: boolean;
  /** How closing it stands; a failure to close is what the model looks for. */
  closing: "no" | "begun" | "done" | Error;
  gaveUpFrom: number | undefined;
  /** Every envelope that ever left it. */
  readonly sent: Uint8Array[];
  /** Letters of its connection that are not answered. */
  readonly open: Set<Letter>;
}

/** Senders, a network that delays, reorders, repeats and cuts, and a collector that dies: all of it moves only
 *  when told, and chance comes from the dice alone. */
export class World {
  readonly senders: ModelSender[] = [];
  /** Sequences of each sender (by name) that came in an envelope once more after they were stored. */
  readonly repeated = new Map<string, number>();
  readonly stored = new Map<string, Set<number>>();
  /** Names of senders whose closing note was committed. */
  readonly closed = new Set<string>();
  crashes = 0;
  readonly #dice: Dice;
  readonly #newPath: () => string;
  #life: Life;
  #letters: Letter[] = [];
  #answers: Answer[] = [];
  /** Envelopes that arrive once more, and whose answers nobody hears. */
  #strays: Uint8Array[] = [];
  /** What is told until it is acknowledged; here, once more at the end. */
  readonly #tellAgain: Uint8Array[] = [];
  /** The kind of moment at which the collector dies next. */
  #armed: FaultPoint | undefined;
  #closed = false;
  /** Files of the collector's next life. */
  #next = "";

  constructor(path: string, newPath: () => string, dice: Dice, senders: number) {
    this.#dice = dice;
    this.#newPath = newPath;
    this.#life = this.#open(path);
    for (let index = 0; index < senders; index += 1) this.senders.push(this.#newSender());
    atFaultPoints((point) => this.#at(point));
  }

  get path(): string {
    return this.#life.path;
  }

  status(): SinkStatus {
    return this.#life.writer.status("");
  }

  send(index: number, messages: readonly Message[]): void {
    const sender = this.#sender(index);
    if (!sender.alive || sender.closing !== "no") return;
    for (const message of messages) {
      sender.messages.push(message);
      sender.client.send(message).catch(() => undefined); // a crash of the sender leaves it waiting
    }
  }

  /** Begins to close a sender. */
  end(index: number): void {
    const sender = this.#sender(index);
    if (!sender.alive || sender.closing !== "no") return;
    sender.closing = "begun";
    sender.client.close().then(
      () => (sender.closing = "done"),
      (cause: unknown) => (sender.closing = cause as Error),
    );
  }

  /** Brings up to `count` letters to the collector, in any order; some stay on the way as well. */
  deliver(count: number, again: boolean): void {
    for (let left = count; left > 0 && this.#letters.length > 0; left -= 1) {
      const letter = this.#take(this.#letters);
      if (again) this.#strays.push(letter.envelope.bytes);
      const life = this.#life;
      life.batcher.accept(letter.envelope.bytes, "grpc").then(
        (acknowledgement) => {
          if (!life.killed && letter.sender.open.has(letter)) this.#answers.push({ letter, acknowledgement });
        },
        (cause: unknown) => {
          if (!life.killed) letter.receipt.reject(cause);
        },
      );
    }
  }

  /** Brings one stray to the collector. */
  stray(): void {
    if (this.#strays.length === 0) return;
    this.#life.batcher.accept(this.#take(this.#strays), "grpc").catch(() => undefined); // it died with the collector
  }

  commit(): void {
    this.#life.sink.commit();
  }

  /** Brings up to `count` answers back, in any order. */
  answer(count: number): void {
    for (let left = count; left > 0 && this.#answers.length > 0; left -= 1) {
      const { letter, acknowledgement } = this.#take(this.#answers);
      letter.sender.open.delete(letter);
      letter.receipt.resolve({ delivery: "stored", acknowledgement });
    }
  }

  /** Breaks a sender's connection: its letters may still arrive, and answers no longer. */
  cut(index: number): void {
    const sender = this.#sender(index);
    for (const letter of this.#letters) {
      if (letter.sender === sender && this.#dice() < 0.5) this.#strays.push(letter.envelope.bytes);
    }
    this.#letters = this.#letters.filter((letter) => letter.sender !== sender);
    this.#answers = this.#answers.filter(({ letter }) => letter.sender !== sender);
    const broken = new CollectorError("unavailable", "the connection broke");
    for (const { receipt } of sender.open) if (sender.alive) receipt.reject(broken);
    sender.open.clear();
  }

  advance(): void {
    for (const { alive, clock } of this.senders) if (alive) clock.advance(60_000);
  }

  /** Kills a sender. Then another process may send again what had left it, in pieces that it left behind, or
   *  say that the rest is given up. */
  crashSender(index: number, then: "resend" | "give up" | "nothing"): void {
    const sender = this.#sender(index);
    if (!sender.alive) return;
    this.cut(index);
    sender.alive = false;
    if (then === "resend") this.#strays.push(...sender.sent);
    if (then === "give up" && sender.acknowledged < sender.messages.length) {
      const first = sender.acknowledged + 1;
      sender.gaveUpFrom = first;
      const losses = [{ first, last: sender.messages.length, kind: lostKind }];
      const told = envelopeOf([], { senderId: sender.client.senderId, losses, hostname: host });
      this.#strays.push(told);
      this.#tellAgain.push(told);
    }
  }

  /** Kills the collector at the next moment of this kind, or now. */
  crashCollector(point: FaultPoint | "now"): void {
    if (point === "now") this.#kill();
    else this.#armed = point;
  }

  /** Lets everything that is on its way arrive, closes the senders that live, and waits for all of it. */
  async drain(): Promise<void> {
    this.#armed = undefined;
    this.#strays.push(...this.#tellAgain);
    this.senders.forEach((_, index) => this.end(index));
    for (let round = 0; ; round += 1) {
      this.advance();
      await settled();
      while (this.#strays.length > 0) this.stray();
      this.deliver(this.#letters.length, false);
      await settled();
      this.commit();
      await settled();
      this.#observe();
      this.answer(this.#answers.length);
      await settled();
      this.#observe();
      const onTheWay = this.#letters.length + this.#strays.length + this.#life.batcher.queuedBytes;
      const done = this.senders.every(({ alive, closing }) => !alive || closing === "done");
      if (done && onTheWay === 0) break;
      if (round > 500) throw new Error("the senders are not done after 500 rounds");
    }
  }

  /** Lets what a step began run to its end, and looks at what came of it. */
  async settle(): Promise<void> {
    await settled();
    this.#observe();
  }

  /** Ends the collector in good order. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    atFaultPoints(undefined);
    this.#life.writer.close();
  }

  /** What the senders' users know now must be on the disk already. Restarts a collector that was killed. */
  #observe(): void {
    for (const sender of this.senders) {
      if (!sender.alive) continue;
      const { client, closing, messages } = sender;
      if (closing instanceof Error) throw closing;
      const known = closing === "done" ? messages.length : client.counts.acknowledged;
      sender.acknowledged = Math.max(sender.acknowledged, known);
      for (let sequence = 1; sequence <= known; sequence += 1) {
        if (this.stored.get(client.senderId)?.has(sequence) !== true) {
          throw new Error(`sequence ${String(sequence)} is acknowledged and not stored`);
        }
      }
      if (closing === "done" && messages.length > 0 && !this.closed.has(client.senderId)) {
        throw new Error("a sender is closed, and its closing note is not stored");
      }
    }
    if (this.#life.killed) this.#restart();
  }

  #sender(index: number): ModelSender {
    return this.senders[index % this.senders.length] as ModelSender;
  }

  #newSender(): ModelSender {
    const clock = new FakeClock();
    const sent: Uint8Array[] = [];
    const radio: RadioSender = {
      send: (envelope) => {
        const receipt = Promise.withResolvers<Receipt>();
        sent.push(envelope.bytes);
        const letter = { sender, envelope, receipt };
        sender.open.add(letter);
        this.#letters.push(letter);
        return receipt.promise;
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const client = new Client(radio, { runId: "run-a", hostname: host, clock, random: this.#dice });
    const sender: ModelSender = {
      client,
      clock,
      sent,
      messages: [],
      open: new Set(),
      acknowledged: 0,
      alive: true,
      closing: "no",
      gaveUpFrom: undefined,
    };
    return sender;
  }

  #take<T>(items: T[]): T {
    return items.splice(Math.floor(this.#dice() * items.length), 1)[0] as T;
  }

  #open(path: string): Life {
    const writer = openWriter(path);
    const sink = new HeldSink(writer);
    return { path, writer, sink, batcher: new Batcher(sink), killed: false };
  }

  #at(point: FaultPoint): void {
    if (point === "writer: committed") this.#remember(this.#life.sink.group);
    if (this.#armed !== point) return;
    this.#armed = undefined;
    this.#kill();
    throw new CollectorError("internal", `the collector was killed at "${point}"`);
  }

  /** The truth beside the ledger: what a committed group has brought. */
  #remember(group: readonly Arrival[]): void {
    for (const { envelope } of group) {
      const { senderId, firstSequence, messages, closingNote } = Envelope.decode(envelope);
      if (closingNote !== undefined) this.closed.add(senderId);
      const stored = this.stored.get(senderId) ?? new Set();
      this.stored.set(senderId, stored);
      messages.forEach((_, index) => {
        const sequence = Number(firstSequence) + index;
        if (stored.has(sequence)) this.repeated.set(senderId, (this.repeated.get(senderId) ?? 0) + 1);
        stored.add(sequence);
      });
    }
  }

  /** What kill -9 leaves is the files as they are now. The next life begins with a copy of them: this one
   *  still runs, and tidies up. */
  #kill(): void {
    const life = this.#life;
    if (life.killed) return;
    life.killed = true;
    this.crashes += 1;
    const path = this.#newPath();
    for (const suffix of ["", "-wal"]) {
      if (existsSync(life.path + suffix)) copyFileSync(life.path + suffix, path + suffix);
    }
    this.#next = path;
  }

  #restart(): void {
    this.#life.writer.close();
    this.#life = this.#open(this.#next);
    const check = new Database(this.#life.path, { readonly: true });
    const found = check.pragma("integrity_check", { simple: true });
    check.close();
    if (found !== "ok") throw new Error(`after a crash the file is damaged: ${String(found)}`);
    this.senders.forEach((_, index) => this.cut(index));
  }
}
