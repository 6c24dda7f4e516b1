import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import Database from "better-sqlite3";

import { runPython, type Setting } from "./part.js";
import { BenchCollector } from "./processes.js";

/** Who sends: Python processes, with our radio or with one of Parsl's. */
export interface Transport {
  readonly whose: "ours" | "Parsl's";
  readonly radio: string;
}

export const transports: readonly Transport[] = [
  { whose: "ours", radio: "grpc" },
  { whose: "ours", radio: "filesystem" },
  { whose: "ours", radio: "udp" },
  { whose: "Parsl's", radio: "udp" },
  { whose: "Parsl's", radio: "filesystem" },
  { whose: "Parsl's", radio: "zmq" },
  { whose: "Parsl's", radio: "queue" },
];

/** Messages of several senders at once; a rate is of what arrived, from the first send to the last arrival. */
export interface Blast {
  readonly senders: number;
  readonly sent: number;
  readonly arrived: number;
  readonly per_second: number;
  /** The same from the first arrival on: without the wait for a receiver that looks now and then. */
  readonly drained_per_second: number;
  /** CPU of all senders for each message, in us; a process's start and first message aside. */
  readonly sender_us: number;
  /** The same of the receiving process; null where there is none. */
  readonly receiver_us: number | null;
}

/** What bench/parsl/radios.py prints of one radio. */
export interface Figures {
  readonly cost_us: number;
  readonly blasts: readonly Blast[];
  readonly paced?: Blast;
  readonly latencies_ms: readonly number[];
  /** Lost messages that the ledger does not know of, of all that were sent: 0, or the ledger is wrong. Ours only. */
  readonly uncounted?: number;
}

interface Amount {
  readonly senders: readonly number[];
  /** All senders together, at most. */
  readonly messages: number;
  /** How long a sender may take for its own, in seconds. Default: 1.5. */
  readonly longest_s?: number;
}

/** Parsl's filesystem radio looks every 10 s: its rate grows with what there is each time, up to about this much. */
const byParslsFiles: Amount = { senders: [4], messages: 10_000, longest_s: 60 };

/** Messages that a driver sends beside the measured ones: one of each process, and those whose cost is timed. */
const timedSends = 400;
const slowSends = 40;

const keyBytes = 32;

/** Measures one radio once, with a receiver that is started for it. */
export async function measureTransport(
  { whose, radio }: Transport,
  setting: Setting,
  amount: Amount,
): Promise<Figures> {
  const driver = (script: string, what: object): Promise<Figures> =>
    runPython(setting, script, JSON.stringify(what));
  const paced = radio === "udp";
  if (whose === "Parsl's") {
    const most = radio === "filesystem" ? byParslsFiles : amount;
    return driver("parsl_radios.py", { radio, ...most, paced });
  }
  const directory = mkdtempSync(join(tmpdir(), "parsl-collector-bench-"));
  const database = join(directory, "monitoring.db");
  const key = randomBytes(keyBytes);
  const keyFile = join(directory, "key");
  writeFileSync(keyFile, key, { mode: 0o600 });
  const listen = { filesystem: join(directory, "messages"), udp: "127.0.0.1:0" }[radio];
  const collector = await BenchCollector.start(
    database,
    listen === undefined ? [] : ["--radio", `${radio}=${listen}`, "--key-file", keyFile],
  );
  try {
    const figures = await driver("our_radios.py", {
      radio,
      address: collector.radios[radio] ?? collector.address,
      key: key.toString("hex"),
      database,
      pid: collector.pid,
      ...amount,
      paced,
    });
    await collector.stop();
    return { ...figures, uncounted: uncounted(database, figures) };
  } finally {
    await collector.stop();
    rmSync(directory, { recursive: true });
  }
}

/** Sent messages that are neither a row nor a loss by the ledger, which knows from the closing note of each sender
 *  how many there were. Senders whose note was lost too are not counted, which shows here. */
function uncounted(database: string, { blasts, paced }: Figures): number {
  const all = paced === undefined ? blasts : [...blasts, paced];
  const processes = all.reduce((sum, { senders }) => sum + senders, 0) + 2;
  const sent = all.reduce((sum, blast) => sum + blast.sent, 0) + timedSends + slowSends + processes;
  const ledger = new Database(database, { readonly: true });
  const known = ledger
    .prepare("SELECT sum(coalesce(last_sequence, stored + rejected)) FROM collector_sender")
    .pluck();
  try {
    return sent - (known.get() as number);
  } finally {
    ledger.close();
  }
}
