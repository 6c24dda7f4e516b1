import { copyFileSync, existsSync } from "node:fs";
import { dirname } from "node:path";

import Database from "better-sqlite3";

import { CollectorError } from "../../src/base/errors.js";
import { atFaultPoints, type FaultPoint } from "../../src/base/fault-points.js";
import { Client } from "../../src/client/client.js";
import type { Message } from "../../src/client/message.js";
import type { ClientOptions } from "../../src/client/options.js";
import { Envelope, type Acknowledgement } from "../../src/model/envelope.js";
import type { OutgoingEnvelope, RadioSender, Receipt } from "../../src/radios/radio.js";
import { Batcher } from "../../src/server/batcher.js";
import { sendLeft } from "../../src/spool/left.js";
import { leaveHere } from "../../src/spool/segment.js";
import type { Arrival, Outcome, SinkStatus, Store } from "../../src/server/sinks/sink.js";
import type { SqliteWriter } from "../../src/server/sinks/sqlite/writer.js";
import type { Dice } from "../support/dice.js";
import { FakeClock } from "../support/fake-clock.js";
import { settled } from "../support/fake-radio.js";
import { SimulatedDisk } from "../support/simulated-disk.js";
import { openWriter } from "../support/writer.js";

/** What every sender and every reference says of itself. */
export const host = "n1";

/** Senders of the model, each with another way to keep what the collector does not take: in memory alone; on a disk
 *  too; on a disk as soon as a few messages wait, and with room for few. */
const keeping: readonly ClientOptions[] = [
  {},
  { spool: "/spool-1" },
  { spool: "/spool-2", bufferBytes: 1_500, spoolBytes: 12_000 },
];

/** A writer that stores a group when the world says so: what arrives meanwhile makes the next group. */
class HeldSink implements Store {
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

/** A connection to the collector. */
interface Line {
  /** Whether the process at its end lives. */
  alive: boolean;
  /** Letters that are not answered. */
  readonly open: Set<Letter>;
}

interface Letter {
  readonly line: Line;
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
  readonly disk: SimulatedDisk;
  readonly line: Line;
  readonly messages: Message[];
  /** Every message up to this sequence is flushed: stored, or told as lost. */
  flushed: number;
  /** Every message up to this sequence is stored, or told as lost, or will be from the disk, if somebody comes to
   *  send what is there. */
  safe: number;
  /** How closing it stands; a failure to close is what the model looks for. */
  closing: "no" | "begun" | "done" | Error;
  /** Every envelope that ever left it. */
  readonly sent: Uint8Array[];
}

/** Another process, which sends what dead senders left on their disks. */
interface Heir {
  readonly senderId: string;
  readonly disk: SimulatedDisk;
  readonly directory: string;
  readonly line: Line;
  state: "idle" | "sends" | "done";
}

/** Senders, a network that delays, reorders, repeats and cuts, and a collector that dies: all of it moves only
 *  when told, and chance comes from the dice alone. */
export class World {
  readonly senders: ModelSender[] = [];
  /** Sequences of each sender (by name) that came in an envelope once more after they were stored. */
  readonly repeated = new Map<string, number>();
  readonly stored = new Map<string, Set<number>>();
  /** Sequences of each sender that were told as lost, with their kinds. */
  readonly told = new Map<string, Map<number, string>>();
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
  readonly #heirs: Heir[] = [];
  /** The kind of moment at which the collector dies next. */
  #armed: FaultPoint | undefined;
  /** The same for a sender. */
  #armedSender: FaultPoint | undefined;
  #closed = false;
  /** Files of the collector's next life. */
  #next = "";

  constructor(path: string, newPath: () => string, dice: Dice) {
    this.#dice = dice;
    this.#newPath = newPath;
    this.#life = this.#open(path);
    this.senders.push(...keeping.map((options) => this.#newSender(options)));
    atFaultPoints((point, where) => this.#at(point, where));
  }

  get path(): string {
    return this.#life.path;
  }

  status(): SinkStatus {
    return this.#life.writer.status("");
  }

  send(index: number, messages: readonly Message[]): void {
    const sender = this.#sender(index);
    if (!sender.line.alive || sender.closing !== "no") return;
    for (const message of messages) {
      sender.messages.push(message);
      sender.client.send(message).catch(() => undefined); // a crash of the sender leaves it waiting
    }
    const upTo = sender.messages.length;
    sender.client.flush().then(
      () => (sender.flushed = Math.max(sender.flushed, upTo)),
      () => undefined, // the end of the sender
    );
  }

  /** Begins to close a sender. */
  end(index: number): void {
    const sender = this.#sender(index);
    if (!sender.line.alive || sender.closing !== "no") return;
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
          if (!life.killed && letter.line.open.has(letter)) this.#answers.push({ letter, acknowledgement });
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
      letter.line.open.delete(letter);
      letter.receipt.resolve({ delivery: "stored", acknowledgement });
    }
  }

  /** Breaks a sender's connection, and those of the heirs: its letters may still arrive, and answers no longer. */
  cut(index: number): void {
    this.#cut(this.#sender(index).line);
    for (const { line } of this.#heirs) this.#cut(line);
  }

  advance(): void {
    for (const { line, clock } of this.senders) if (line.alive) clock.advance(60_000);
  }

  /** Makes a sender's disk refuse everything, or be full in the middle of what comes next; or work again. */
  breakDisk(index: number): void {
    const { disk, line } = this.#sender(index);
    if (!line.alive) return;
    if (disk.failure !== undefined || disk.capacity !== Infinity) mend(disk);
    else if (this.#dice() < 0.5) disk.failure = new Error("EIO: i/o error");
    else disk.capacity = disk.usedBytes + Math.floor(this.#dice() * 500);
  }

  /** Kills a sender. Then another process may send again what had left it, or what is on its disk. */
  crashSender(index: number, then: "resend" | "inherit" | "nothing"): void {
    const sender = this.#sender(index);
    if (!sender.line.alive) return;
    if (then === "resend") this.#strays.push(...sender.sent);
    this.#killSender(sender, then === "inherit");
  }

  /** Kills a sender, with power cut, at the next moment of this kind; what it leaves on its disk is inherited. */
  armSender(point: FaultPoint): void {
    this.#armedSender = point;
  }

  /** Lets another process begin to send what dead senders left. */
  inherit(): void {
    for (const heir of this.#heirs) {
      if (heir.state !== "idle") continue;
      heir.state = "sends";
      sendLeft({
        disk: heir.disk,
        directory: heir.directory,
        send: (envelope) => this.#post(heir.line, envelope),
        onProblem: () => undefined, // a torn end: what was not synced was nobody's to rely on
      }).then(
        () => (heir.state = "done"),
        (cause: unknown) => {
          if (!(cause instanceof CollectorError && cause.retryable)) throw cause;
          heir.state = "idle";
        },
      );
    }
  }

  /** Kills the collector at the next moment of this kind, or now. */
  crashCollector(point: FaultPoint | "now"): void {
    if (point === "now") this.#kill();
    else this.#armed = point;
  }

  /** Lets everything that is on its way arrive, closes the senders that live, and waits for all of it. */
  async drain(): Promise<void> {
    this.#armed = this.#armedSender = undefined;
    for (const { disk, line } of this.senders) if (line.alive) mend(disk);
    this.senders.forEach((_, index) => this.end(index));
    for (let round = 0; ; round += 1) {
      this.advance();
      this.inherit();
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
      const done =
        this.senders.every(({ line, closing }) => !line.alive || closing === "done") &&
        this.#heirs.every(({ state }) => state === "done");
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
    for (const { client } of this.senders) leaveHere(client.senderId);
    atFaultPoints(undefined);
    this.#life.writer.close();
  }

  /** What the senders' users know now must be on the disk already. Restarts a collector that was killed. */
  #observe(): void {
    for (const sender of this.senders) {
      if (!sender.line.alive) continue;
      const { client, closing, messages } = sender;
      if (closing instanceof Error) throw closing;
      const flushed = closing === "done" ? messages.length : sender.flushed;
      this.#mustBeKnown(client.senderId, flushed, "flushed");
      const { acknowledged, spooled, lost } = client.counts;
      const stored = this.stored.get(client.senderId)?.size ?? 0;
      if (acknowledged > stored) {
        throw new Error(`${String(acknowledged)} messages are acknowledged, and ${String(stored)} stored`);
      }
      sender.safe = Math.max(sender.safe, acknowledged + spooled + lost);
      if (closing === "done" && messages.length > 0 && !this.closed.has(client.senderId)) {
        throw new Error("a sender is closed, and its closing note is not stored");
      }
    }
    if (this.#life.killed) this.#restart();
  }

  /** When an heir has come, all that a dead sender had safe is known; and who has room enough gives nothing up. */
  mustHaveKept(): void {
    keeping.forEach(({ spoolBytes }, index) => {
      const told = this.told.get(this.#sender(index).client.senderId)?.size ?? 0;
      if (spoolBytes === undefined && told > 0)
        throw new Error(`${String(told)} messages are lost without need`);
    });
    for (const { client, safe } of this.senders) {
      const isInherited = this.#heirs.some(({ senderId }) => senderId === client.senderId);
      if (isInherited) this.#mustBeKnown(client.senderId, safe, "on the disk");
    }
  }

  #mustBeKnown(senderId: string, upTo: number, why: string): void {
    const stored = this.stored.get(senderId);
    const told = this.told.get(senderId);
    for (let sequence = 1; sequence <= upTo; sequence += 1) {
      if (stored?.has(sequence) === true || told?.has(sequence) === true) continue;
      throw new Error(`sequence ${String(sequence)} is ${why}, and neither stored nor told as lost`);
    }
  }

  #sender(index: number): ModelSender {
    return this.senders[index % this.senders.length] as ModelSender;
  }

  #newSender(options: ClientOptions): ModelSender {
    const clock = new FakeClock();
    const disk = new SimulatedDisk();
    const sent: Uint8Array[] = [];
    const line: Line = { alive: true, open: new Set() };
    const radio: RadioSender = {
      send: (envelope) => {
        sent.push(envelope.bytes);
        return this.#post(line, envelope);
      },
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
    const client = new Client(radio, {
      ...{ runId: "run-a", hostname: host, clock, random: this.#dice, disk },
      onWarning: () => undefined, // of disks that were broken for it
      ...options,
    });
    return { client, clock, disk, line, sent, messages: [], flushed: 0, safe: 0, closing: "no" };
  }

  #post(line: Line, envelope: OutgoingEnvelope): Promise<Receipt> {
    const receipt = Promise.withResolvers<Receipt>();
    if (!line.alive) return receipt.promise; // the dead send nothing, and hear nothing
    const letter = { line, envelope, receipt };
    line.open.add(letter);
    this.#letters.push(letter);
    return receipt.promise;
  }

  #cut(line: Line): void {
    for (const letter of this.#letters) {
      if (letter.line === line && this.#dice() < 0.5) this.#strays.push(letter.envelope.bytes);
    }
    this.#letters = this.#letters.filter((letter) => letter.line !== line);
    this.#answers = this.#answers.filter(({ letter }) => letter.line !== line);
    const broken = new CollectorError("unavailable", "the connection broke");
    for (const { receipt } of line.open) if (line.alive) receipt.reject(broken);
    line.open.clear();
  }

  /** The process goes on in this one, but nobody hears it, and what it does to its disk is done to no other's. */
  #killSender(sender: ModelSender, isInherited: boolean): void {
    const { line, client, disk } = sender;
    const { senderId, counts } = client;
    sender.safe = Math.max(sender.safe, counts.acknowledged + counts.spooled + counts.lost);
    line.alive = false;
    this.#cut(line);
    leaveHere(senderId);
    const [path] = disk.paths;
    if (isInherited && path !== undefined) {
      this.#heirs.push({
        ...{ senderId, directory: dirname(path), disk: disk.afterPowerCut(this.#dice()) },
        ...{ line: { alive: true, open: new Set<Letter>() }, state: "idle" },
      });
    }
    disk.failure = new Error("the process is dead");
  }

  #take<T>(items: T[]): T {
    return items.splice(Math.floor(this.#dice() * items.length), 1)[0] as T;
  }

  #open(path: string): Life {
    const writer = openWriter(path);
    const sink = new HeldSink(writer);
    return { path, writer, sink, batcher: new Batcher(sink), killed: false };
  }

  #at(point: FaultPoint, where: string): void {
    if (this.#armedSender === point) {
      const sender = this.senders[keeping.findIndex(({ spool }) => spool === where)];
      if (sender?.line.alive === true) {
        this.#armedSender = undefined;
        this.#killSender(sender, true);
        throw new Error(`the sender was killed at "${point}"`);
      }
    }
    if (point === "writer: committed") this.#remember(this.#life.sink.group);
    if (this.#armed !== point) return;
    this.#armed = undefined;
    this.#kill();
    throw new CollectorError("internal", `the collector was killed at "${point}"`);
  }

  /** The truth beside the ledger: what a committed group has brought. */
  #remember(group: readonly Arrival[]): void {
    for (const { envelope } of group) {
      const { senderId, firstSequence, messages, closingNote, losses } = Envelope.decode(envelope);
      if (closingNote !== undefined) this.closed.add(senderId);
      const stored = this.stored.get(senderId) ?? new Set();
      this.stored.set(senderId, stored);
      const told = this.told.get(senderId) ?? new Map<number, string>();
      this.told.set(senderId, told);
      for (const { kind, sequences } of losses) {
        const { first, last } = sequences ?? { first: 1n, last: 0n };
        for (let one = first; one <= last; one += 1n) told.set(Number(one), kind);
      }
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
    for (const { line } of [...this.senders, ...this.#heirs]) this.#cut(line);
  }
}

function mend(disk: SimulatedDisk): void {
  disk.failure = undefined;
  disk.capacity = Infinity;
}
