import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { Scope } from "../support/scope.js";
import { waitUntil } from "../support/wait.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The two languages that senders are written in, and how a program of each is started. */
const programs = {
  python: [join(root, ".venv", "bin", "python"), join(root, "tests", "chaos", "sender.py")],
  typescript: [process.execPath, fileURLToPath(new URL("./sender.js", import.meta.url))],
} as const;

export type Language = keyof typeof programs;

/** What a sender has logged. */
export interface SenderLog {
  /** Undefined when it was killed before it had one. */
  readonly senderId: string | undefined;
  /** Messages from the first on that it saw acknowledged. */
  readonly acknowledged: number;
  /** Messages from the first on that it saw acknowledged or had in its spool. */
  readonly safe: number;
  /** Most messages that were seen in its spool. */
  readonly spooled: number;
  /** Messages that it sent in all; undefined unless it ended with all of them acknowledged. */
  readonly closed: number | undefined;
}

/** What a sender is, and its successor when it is killed. */
export interface Kind {
  readonly language: Language;
  readonly spool: string | undefined;
}

/** A sender in a process of its own, which sends until it is told to close. */
export class SenderProcess {
  readonly language: Language;
  readonly logPath: string;
  /** Where it spools; undefined for one that keeps all in memory. */
  readonly spool: string | undefined;
  readonly #process;
  readonly #ended: Promise<unknown>;
  killed = false;

  constructor(t: Scope, { language, spool }: Kind, address: string, directory: string, number: number) {
    this.language = language;
    this.spool = spool;
    this.logPath = join(directory, `sender-${String(number)}-${language}.log`);
    const [command, program] = programs[language];
    const stderr = openSync(`${this.logPath}.stderr`, "a");
    this.#process = spawn(
      command,
      [program, address, this.logPath, String(number), ...(spool === undefined ? [] : [spool])],
      {
        stdio: ["ignore", "ignore", stderr],
      },
    );
    closeSync(stderr);
    this.#ended = once(this.#process, "close");
    t.teardown(() => this.#process.kill("SIGKILL"));
  }

  async kill(): Promise<void> {
    this.killed = true;
    this.#process.kill("SIGKILL");
    await this.#ended;
  }

  /** Lets it send what it has and end. */
  async close(): Promise<void> {
    // One that has not begun would end of the signal, and say nothing.
    await waitUntil(`${this.logPath} is there`, () => existsSync(this.logPath));
    this.#process.kill("SIGTERM");
    await this.#ended;
  }

  get log(): SenderLog {
    const text = existsSync(this.logPath) ? readFileSync(this.logPath, "utf8") : "";
    const [senderId] = text.split("\n", 1);
    const closed = /^closed (\d+)$/m.exec(text)?.[1];
    const highest = (what: string): number =>
      Math.max(
        0,
        ...[...text.matchAll(new RegExp(`^${what} (\\d+)$`, "gm"))].map(([, count]) => Number(count)),
      );
    let [acknowledged, spooled] = [0, 0];
    for (const [, what, count] of text.matchAll(/^(acknowledged|safe) (\d+)$/gm)) {
      if (what === "acknowledged") acknowledged = Number(count);
      else spooled = Math.max(spooled, Number(count) - acknowledged);
    }
    return {
      spooled,
      senderId: senderId === "" ? undefined : senderId,
      acknowledged: closed === undefined ? highest("acknowledged") : Number(closed),
      safe: closed === undefined ? highest("safe") : Number(closed),
      closed: closed === undefined ? undefined : Number(closed),
    };
  }
}
