import { hostname } from "node:os";
import { join } from "node:path";

import test from "ava";
import Database from "better-sqlite3";

import { CollectorError } from "../../src/base/errors.js";
import { encodeRecord, readRecords } from "../../src/base/records.js";
import type { SqliteWriter } from "../../src/server/sinks/sqlite/writer.js";
import { leftIn, sendLeft, type SendOptions } from "../../src/spool/left.js";
import { envelopeRecord, openingOf, segmentName } from "../../src/spool/segment.js";
import { sample } from "../support/builders.js";
import { diceOf, type Dice } from "../support/dice.js";
import { envelopeOf, newSenderId } from "../support/encoded.js";
import { SimulatedDisk } from "../support/simulated-disk.js";
import { memoryDirectory } from "../support/temporary-directory.js";
import { arrivals, openWriter } from "../support/writer.js";
import { budget, inputs, seed } from "./budget.js";
import { EnvelopeSource } from "./envelopes.js";
import { mutated, randomBytes, rolled } from "./mutations.js";

/** Segments of a spool that a crash, a bad disk or a stranger has had in hands. */

// A segment has some envelopes, and its whole directory is sent.
const directories = Math.ceil(inputs / 20);

const magic = "PCSPOOL1";
const directory = "/spool";

/** No process has this number: Linux gives none above 2^22. */
const deadPid = 2 ** 22 + 1;

const opening = openingOf({
  ...{ senderId: "fuzz-0", runId: "run-a", hostname: hostname(), pid: deadPid, processStarted: 1 },
});

/** A file that is a segment, was one, or never was. */
function anySegment(source: EnvelopeSource, dice: Dice): Buffer {
  if (dice() < 0.05) return randomBytes(dice, rolled(dice, 200));
  const records = Array.from({ length: rolled(dice, 5) }, () =>
    dice() < 0.05 ? encodeRecord(rolled(dice, 256), randomBytes(dice, 20)) : envelopeRecord(source.next()),
  );
  // One whose owner record is whole and says anything at all.
  const start = dice() < 0.1 ? anyOpening(dice) : opening;
  const file = Buffer.concat([start, ...records]);
  return dice() < 0.5 ? mutated(file, dice) : file;
}

function anyOpening(dice: Dice): Buffer {
  const said = Buffer.from(opening.subarray(magic.length + 9));
  return Buffer.concat([Buffer.from(magic), encodeRecord(1, mutated(said, dice))]);
}

/** What a collector's inbox does with an envelope. */
function sendingTo(writer: SqliteWriter): SendOptions["send"] {
  return ({ bytes }) => {
    const [outcome] = writer.store(arrivals([bytes]));
    if (outcome === undefined || "invalid" in outcome) {
      return Promise.reject(new CollectorError("invalid-envelope", outcome?.invalid ?? "no outcome"));
    }
    return Promise.resolve();
  };
}

test("whatever a spool's files hold, what is whole is sent, each file goes or is set aside once, and none stops the others", async (t) => {
  console.log(`PARSL_COLLECTOR_FUZZ_SEED=${String(seed)}`);
  const folder = memoryDirectory(t);
  const file = join(folder, "monitoring.db");
  const writer = openWriter(file);
  const dice = diceOf(seed);
  const source = new EnvelopeSource(seed, dice);
  let made = 0;
  let bad = 0;
  let lastSenderId = "";

  for (const goesOn = budget(directories); goesOn(made); made += 1) {
    const disk = new SimulatedDisk();
    for (let number = 1; number <= 2; number += 1) {
      const bytes = anySegment(source, dice);
      const read = readRecords(bytes, magic);
      const again = (read?.records ?? []).map(({ kind, payload }) => encodeRecord(kind, payload));
      const whole = Buffer.concat([Buffer.from(magic), ...again]);
      if (read !== undefined && !whole.equals(bytes.subarray(0, bytes.length - read.restBytes))) {
        throw new Error("the records of a file are not its bytes");
      }
      disk.create(`${directory}/${segmentName("fuzz-0", number)}`, bytes);
    }
    lastSenderId = newSenderId();
    const good = envelopeOf([sample(1)], { senderId: lastSenderId, runId: "run-a" });
    disk.create(`${directory}/z.spool`, Buffer.concat([opening, envelopeRecord(good)]));
    const problems: string[] = [];
    const onProblem = ({ message }: CollectorError): void => void problems.push(message);
    const sending = { disk, directory, send: sendingTo(writer), allHosts: true, onProblem };

    leftIn(disk, directory);
    const sent = await sendLeft(sending);
    const left = leftIn(disk, directory);

    bad += sent.bad;
    if (left.some((one) => "foreign" in one || one.isAlive !== true)) throw new Error("a segment is left");
    if (problems.length !== sent.bad || problems.includes("")) throw new Error("a file is not told of once");
    if (disk.paths.includes(`${directory}/z.spool`)) throw new Error("a good segment is left");
  }
  writer.close();

  const db = new Database(file, { readonly: true });
  t.teardown(() => db.close());
  const stored = db.prepare(
    "SELECT count(*) FROM collector_sender WHERE length(sender_id) = 32 AND stored = 1",
  );
  t.true(Number(stored.pluck().get()) >= made);
  t.is(db.prepare("SELECT stored FROM collector_sender WHERE sender_id = ?").pluck().get(lastSenderId), 1);
  t.is(db.pragma("integrity_check", { simple: true }), "ok");
  t.log(`${String(3 * made)} segments, ${String(bad)} set aside, seed ${String(seed)}`);
});
