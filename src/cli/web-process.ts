import { fork, type ChildProcess } from "node:child_process";
import { setPriority } from "node:os";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";

import { isLoopback, withPort } from "../base/address.js";
import type { Logger } from "../base/logger.js";
import type { ServerAccessOptions } from "./access-options.js";
import { withoutSettings } from "./settings.js";

export interface WebOptions {
  readonly database: string;
  /** Where browsers come, as "127.0.0.1:0". */
  readonly listen: string;
  readonly timezone: string;
  readonly access: ServerAccessOptions;
}

/** Nice value of the page: it waits while the collector has something to do. */
const niceness = 5;

/** How long the start of the collector waits for the page, in ms: it takes 0.3 s where the machine is idle. */
const startMs = 20_000;

/** Pause before a page that ended is started again, in ms: twice as long each time, up to the most, where it does not come
 *  up. */
const firstPauseMs = 1_000;
const mostPauseMs = 60_000;

/** The page as a process of its own: whatever happens to it, the collector goes on. It ends when this process does, in
 *  whichever way, for then its channel to it is closed. */
export class WebProcess {
  readonly #options: WebOptions;
  readonly #logger: Logger;
  #listen: string;
  #isClosing = false;

  private constructor(options: WebOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
    this.#listen = options.listen;
  }

  /** Resolves to its URL; to undefined where it does not come up, which the log tells, and where it is tried again. */
  static async start(
    options: WebOptions,
    logger: Logger,
  ): Promise<{ readonly web: WebProcess; readonly url: string | undefined }> {
    const web = new WebProcess(options, logger);
    const ready = Promise.withResolvers<string | undefined>();
    void web.#keepRunning(ready.resolve);
    const url = await Promise.race([ready.promise, delay(startMs, undefined, { ref: false })]);
    return { web, url };
  }

  /** From now on it is not started again. */
  close(): void {
    this.#isClosing = true;
  }

  async #keepRunning(onReady: (url: string | undefined) => void): Promise<void> {
    let pauseMs = firstPauseMs;
    for (;;) {
      const child = this.#start();
      const ended = new Promise<string>((resolve) => {
        child.on("exit", (code, signal) => resolve(signal ?? `exit code ${String(code)}`));
        child.on("error", (cause) => resolve(cause.message));
      });
      void this.#urlOf(child).then((url) => {
        yieldTo(child);
        pauseMs = firstPauseMs;
        // Whoever has the page open finds it again there.
        this.#listen = withPort(this.#options.listen, Number(new URL(url).port));
        this.#logger.info({ url }, "page open");
        onReady(url);
      });
      const reason = await ended;
      onReady(undefined);
      if (this.#isClosing) return;
      this.#logger.error({ reason, againInMs: pauseMs }, "the page ended; messages are collected as before");
      await delay(pauseMs, undefined, { ref: false });
      pauseMs = Math.min(mostPauseMs, 2 * pauseMs);
    }
  }

  #start(): ChildProcess {
    const { database, timezone } = this.#options;
    const args = ["view", database, "--listen", this.#listen, "--timezone", timezone, "--log-level", "warn"];
    return fork(process.argv[1] ?? "", [...args, ...this.#accessArgs()], {
      env: withoutSettings(process.env),
      execArgv: [],
      stdio: ["ignore", "pipe", "inherit", "ipc"],
    });
  }

  /** Others than this machine's need what gRPC needs. */
  #accessArgs(): string[] {
    const { listen, access } = this.#options;
    if (isLoopback(listen)) return [];
    const files = {
      ...{ "--token-file": access.tokenFile, "--tls-cert": access.tlsCert, "--tls-key": access.tlsKey },
      ...{ "--tls-client-ca": access.tlsClientCa, "--self-signed": access.selfSigned },
    };
    const args = Object.entries(files).flatMap(([option, file]) =>
      file === undefined ? [] : [option, file],
    );
    return access.insecure ? [...args, "--insecure"] : args;
  }

  async #urlOf(child: ChildProcess): Promise<string> {
    return new Promise((resolve) => {
      if (child.stdout === null) return;
      createInterface({ input: child.stdout }).once("line", (line) => {
        resolve((JSON.parse(line) as { readonly url: string }).url);
      });
    });
  }
}

/** Lets whatever else runs here come before a process; not before it is up, for where much runs that would take long. */
function yieldTo({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) setPriority(pid, niceness);
  } catch {
    // It has ended already, and `exit` tells why.
  }
}
