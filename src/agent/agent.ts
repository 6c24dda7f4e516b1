import { hostname } from "node:os";

import { systemClock, type Clock } from "../base/clock.js";
import { systemDisk } from "../base/disk.js";
import type { CollectorError } from "../base/errors.js";
import type { Logger } from "../base/logger.js";
import { Client } from "../client/client.js";
import type { Acknowledgement } from "../model/envelope.js";
import { openInProcessSender } from "../radios/in-process/sender.js";
import type { Inbox, RadioReceiver, RadioSender } from "../radios/radio.js";
import { openUnixReceiver } from "../radios/unix/receiver.js";
import { Forwarder } from "./forwarder.js";
import { Sampler } from "./sampler.js";
import { triesIn, type SaidOfTry } from "./tries.js";

export interface AgentOptions {
  /** Path of the socket for the node's workers. */
  readonly socket: string;
  /** To the collector, or to another agent. The agent disposes of it. */
  readonly upstream: RadioSender;
  /** Directory on a local disk for what nobody upstream takes; undefined to keep that in memory. */
  readonly spool: string | undefined;
  /** Bytes that the messages of one sender may take there. */
  readonly spoolBytes: number;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** One process a node: takes envelopes from all its workers, forwards them over one stream, and samples the
 *  processes of the tries that they tell it of. */
export class Agent implements Inbox, AsyncDisposable {
  readonly #forwarder: Forwarder;
  /** For the agent's own messages, which go the way of all others. */
  readonly #client: Client;
  readonly #sampler: Sampler;
  readonly #clock: Clock;
  #receiver: RadioReceiver | undefined;
  #heardAtMs: number;

  private constructor({ upstream, spool, spoolBytes, logger, clock = systemClock }: AgentOptions) {
    const onWarning = ({ message }: CollectorError): void => logger.warn(message);
    this.#clock = clock;
    this.#heardAtMs = clock.nowMs();
    this.#forwarder = new Forwarder({
      upstream,
      clock,
      random: Math.random,
      ...(spool === undefined
        ? {}
        : { spool: { disk: systemDisk, directory: spool, mostBytesOfSender: spoolBytes } }),
      onWarning,
    });
    this.#client = new Client(openInProcessSender(this.#forwarder), {
      hostname: hostname(),
      spool,
      spoolBytes,
      onWarning,
    });
    this.#sampler = new Sampler({
      clock,
      // It waits when the buffer is full, which a sample does not need to know; it is counted by the ledger.
      onSample: (sample) =>
        void this.#client.send(sample).catch((cause: unknown) => logger.debug({ cause }, "no sample")),
    });
  }

  /** Rejects with a CollectorError when the socket cannot be listened on; nothing is left open then. */
  static async open(options: AgentOptions): Promise<Agent> {
    const agent = new Agent(options);
    try {
      agent.#receiver = await openUnixReceiver(options.socket, agent, { logger: options.logger });
    } catch (cause) {
      await agent[Symbol.asyncDispose]();
      throw cause;
    }
    return agent;
  }

  get room(): Promise<void> | undefined {
    return this.#forwarder.room;
  }

  /** Where workers reach it. */
  get socket(): string {
    return this.#receiver?.address ?? "";
  }

  /** Milliseconds in which nothing came, nothing was sampled and nothing waited for an answer; 0 while something is. */
  get idleMs(): number {
    const isBusy = this.#forwarder.unanswered > 0 || this.#sampler.watched > 0;
    return isBusy ? 0 : this.#clock.nowMs() - this.#heardAtMs;
  }

  accept(envelope: Uint8Array): Promise<Acknowledgement> {
    this.#heardAtMs = this.#clock.nowMs();
    const acceptance = this.#forwarder.accept(envelope);
    // After it: bytes that are no envelope are refused there.
    void acceptance.catch(() => undefined);
    for (const said of this.#triesIn(envelope)) this.#hear(said);
    return acceptance;
  }

  /** Ends the sampling, and takes no more from workers when what they have sent is answered, or `patienceMs` are over,
   *  or nobody is upstream: then the rest is in the spool, and its senders still have it. */
  async stop(patienceMs: number): Promise<void> {
    await this.#sampler[Symbol.asyncDispose]();
    const patience = AbortSignal.timeout(this.#forwarder.isCutOff ? 0 : patienceMs);
    const closing = Promise.all([
      this.#receiver?.[Symbol.asyncDispose](),
      this.#client.close(patience).catch(() => undefined), // its warning has told, and its spool has them
    ]);
    const over = new Promise((resolve) => patience.addEventListener("abort", resolve, { once: true }));
    await Promise.race([closing, over]);
    await this.#forwarder[Symbol.asyncDispose]();
    await closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  #triesIn(envelope: Uint8Array): SaidOfTry[] {
    try {
      return triesIn(envelope);
    } catch {
      return []; // refused upstream, where the whole of it is read
    }
  }

  #hear({ runId, taskId = 0, tryId = 0, ...said }: SaidOfTry): void {
    const { processPid, resourceMonitoringInterval } = said;
    if (said.lastMsg === true) this.#sampler.end({ runId, taskId, tryId });
    if (said.firstMsg !== true || processPid === undefined || resourceMonitoringInterval === undefined)
      return;
    this.#sampler.watch({
      ...{ runId, taskId, tryId, hostname: said.hostname },
      pid: processPid,
      intervalSeconds: resourceMonitoringInterval,
    });
  }
}
