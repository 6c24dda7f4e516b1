import type { Clock } from "../base/clock.js";
import type { Disk } from "../base/disk.js";
import { CollectorError, reasonOf } from "../base/errors.js";
import type { RadioSender } from "../radios/radio.js";
import { leftNames, sendLeft } from "../spool/left.js";
import { Reconnect } from "../base/reconnect.js";

export interface AdoptionOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Opens a radio of its own: what the collector refuses of others must not end the stream of our messages. */
  readonly openRadio: () => RadioSender;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onProblem: (problem: CollectorError) => void;
}

/** Sends what senders that died left in a spool's directory, in the background, beside a client's own messages.
 *  What is left there later is for the next client. */
export class Adoption {
  readonly #options: AdoptionOptions;
  readonly #stopped = new AbortController();
  readonly #done: Promise<void>;
  #isClosing = false;

  constructor(options: AdoptionOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  /** Resolves when all is sent, or the attempt that runs has failed. */
  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#done;
  }

  /** Leaves the rest where it is. */
  stop(): void {
    this.#isClosing = true;
    this.#stopped.abort();
  }

  async #run(): Promise<void> {
    const { disk, directory, openRadio, clock, onProblem } = this.#options;
    try {
      if (leftNames(disk, directory).length === 0) return;
      await using radio = openRadio();
      const reconnect = new Reconnect(this.#options.random);
      while (!(await this.#attempt(radio)) && !this.#isClosing) {
        await clock.sleep(reconnect.nextPauseMs(), this.#stopped.signal);
      }
    } catch (cause) {
      if (this.#stopped.signal.aborted) return;
      onProblem(
        cause instanceof CollectorError
          ? cause
          : new CollectorError("spool", `send what is left in ${directory}: ${reasonOf(cause)}`, { cause }),
      );
    }
  }

  /** Returns whether nothing is left to send. */
  async #attempt(radio: RadioSender): Promise<boolean> {
    const { disk, directory, onProblem } = this.#options;
    const { signal } = this.#stopped;
    try {
      await sendLeft({ disk, directory, send: (envelope) => radio.send(envelope, signal), onProblem });
      return true;
    } catch (cause) {
      if (cause instanceof CollectorError && cause.retryable) return false;
      throw cause;
    }
  }
}
