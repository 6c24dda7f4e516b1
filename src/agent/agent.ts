import { hostname } from "node:os";

import { systemClock, type Clock } from "../base/clock.js";
import { systemDisk } from "../base/disk.js";
import type { CollectorError } from "../base/errors.js";
import type { Logger } from "../base/logger.js";
import { Client } from "../client/client.js";
import type { Message } from "../client/message.js";
import type { Acknowledgement } from "../model/envelope.js";
import { openInProcessSender } from "../radios/in-process/sender.js";
import type { Inbox, RadioReceiver, RadioSender } from "../radios/radio.js";
import { openUnixReceiver } from "../radios/unix/receiver.js";
import { Forwarder } from "./forwarder.js";
import { NodeSampler } from "./node-sampler.js";
import { Sampler } from "./sampler.js";
import { readEnvelope, type SaidOfTry } from "./reading.js";

export interface AgentOptions {
  /** Path of the socket for the node's workers. */
  readonly socket: string;
  /** To the collector, or to another agent. The agent disposes of it. */
  readonly upstream: RadioSender;
  /** Directory on a local disk for what nobody upstream takes; undefined to keep that in memory. */
  readonly spool: string | undefined;
  /** Bytes that the messages of one sender may take there. */
  readonly spoolBytes: number;
  /** Seconds between samples of the node as a whole; undefined for none. */
  readonly nodeIntervalSeconds?: number | undefined;
  readonly logger: Logger;
  readonly clock?: Clock;
}

export interface AgentFigures {
  /** Messages. */
  readonly answered: { readonly forwarded: number; readonly refused: number };
  /** Of envelopes that are not answered. */
  readonly bytes: { readonly memory: number; readonly spool: number };
  /** Envelopes. */
  readonly unanswered: number;
  /** Whether nobody upstream takes anything now. */
  readonly isCutOff: boolean;
  /** Connections. */
  readonly workers: number;
  /** Processes. */
  readonly sampled: number;
}

/** Each departure costs the collector a transaction, which is 1.5 to 3 ms of CPU beside its rows while the run is young,
 *  on the cores of the tasks where the collector runs on them. So a burst of tasks comes first: 300 of them, with 1,000 ms
 *  here, took 1.2 times as long as without monitoring, and 1.5 times with a departure every 250 ms (medians of 8). Not
 *  longer than this, for a row is to be seen within a second. */
const gathering = { mostMs: 750, pauseMs: 250 };

/** One process a node: takes envelopes from all its workers, forwards them over one stream, and samples the
 *  processes of the tries that they tell it of. */
export class Agent implements Inbox, AsyncDisposable {
  readonly #options: AgentOptions;
  readonly #forwarder: Forwarder;
  /** For the agent's own messages, which go the way of all others. Ended when the last worker has gone, so that the
   *  ledger of its run is complete then; the next sample has another. */
  #client: Client | undefined;
  readonly #sampler: Sampler;
  readonly #nodeSampler: NodeSampler | undefined;
  readonly #clock: Clock;
  #receiver: RadioReceiver | undefined;
  /** Clients before it that are not yet closed. */
  readonly #ending = new Set<Client>();
  /** Open connections. */
  #workers = 0;
  #heardAtMs: number;

  private constructor(options: AgentOptions) {
    const { upstream, spool, spoolBytes, nodeIntervalSeconds, clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#heardAtMs = clock.nowMs();
    this.#forwarder = new Forwarder({
      upstream,
      clock,
      random: Math.random,
      gathering,
      ...(spool === undefined
        ? {}
        : { spool: { disk: systemDisk, directory: spool, mostBytesOfSender: spoolBytes } }),
      onWarning: this.#warn,
    });
    const onSample = (sample: Message): void => this.#send(sample);
    this.#sampler = new Sampler({ clock, onSample, onWarning: this.#warn });
    if (nodeIntervalSeconds !== undefined) {
      this.#nodeSampler = new NodeSampler({ clock, intervalSeconds: nodeIntervalSeconds, onSample });
    }
    // What agents before this one left in the spool goes on at once.
    if (spool !== undefined) this.#client = this.#openClient();
  }

  /** Rejects with a CollectorError when the socket cannot be listened on; nothing is left open then. */
  static async open(options: AgentOptions): Promise<Agent> {
    const agent = new Agent(options);
    try {
      agent.#receiver = await openUnixReceiver(options.socket, agent, {
        logger: options.logger,
        onConnections: (open) => agent.#count(open),
      });
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

  /** Milliseconds since the last worker left, or since the start; 0 while one is connected, or a process that is
   *  sampled lives. */
  get aloneMs(): number {
    if (this.#workers === 0 && this.#sampler.watched > 0) this.#sampler.prune();
    const isWanted = this.#workers > 0 || this.#sampler.watched > 0;
    return isWanted ? 0 : this.#clock.nowMs() - this.#heardAtMs;
  }

  /** What it does now, and has done since the start. */
  get figures(): AgentFigures {
    const { answered, bytes, unanswered, isCutOff } = this.#forwarder;
    return {
      ...{ answered, bytes, unanswered, isCutOff },
      workers: this.#workers,
      sampled: this.#sampler.watched,
    };
  }

  /** Whether something is not yet acknowledged. */
  get isBusy(): boolean {
    return this.#forwarder.unanswered > 0 || this.#ending.size > 0;
  }

  async accept(bytes: Uint8Array): Promise<Acknowledgement> {
    this.#heardAtMs = this.#clock.nowMs();
    const envelope = readEnvelope(bytes);
    const acceptance = this.#forwarder.forward(envelope);
    if (envelope.tries.length > 0) {
      this.#sampler.together(() => envelope.tries.forEach((said) => this.#hear(said)));
    }
    return acceptance;
  }

  /** Ends the sampling, and takes no more from workers when what they have sent is answered, or `patienceMs` are over,
   *  or nobody is upstream: then the rest is in the spool, and its senders still have it. */
  async stop(patienceMs: number): Promise<void> {
    await this.#sampler[Symbol.asyncDispose]();
    await this.#nodeSampler?.[Symbol.asyncDispose]();
    const patience = AbortSignal.timeout(this.#forwarder.isCutOff ? 0 : patienceMs);
    const closing = Promise.all([this.#receiver?.[Symbol.asyncDispose](), this.#closeClient(patience)]);
    const over = new Promise((resolve) => patience.addEventListener("abort", resolve, { once: true }));
    await Promise.race([closing, over]);
    await this.#forwarder[Symbol.asyncDispose]();
    await closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(0);
  }

  readonly #warn = ({ message }: CollectorError): void => this.#options.logger.warn(message);

  #count(workers: number): void {
    this.#workers = workers;
    this.#heardAtMs = this.#clock.nowMs();
    if (workers === 0) void this.#closeClient();
  }

  /** Does not wait for room: a spool takes what is too much, and without one a sample is not worth to stop for. */
  #send(message: Message): void {
    this.#client ??= this.#openClient();
    this.#client.send(message).catch((cause: unknown) => this.#options.logger.debug({ cause }, "no sample"));
  }

  #openClient(): Client {
    const { spool, spoolBytes } = this.#options;
    const openRadio = (): RadioSender => openInProcessSender(this.#forwarder);
    return new Client(
      openRadio(),
      { hostname: hostname(), spool, spoolBytes, onWarning: this.#warn },
      openRadio,
    );
  }

  /** Resolves when this client and those before it are closed. */
  async #closeClient(patience?: AbortSignal): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    if (client !== undefined) {
      this.#ending.add(client);
      // Its warning has told what it left, and its spool has it.
      void client
        .close()
        .catch(() => undefined)
        .finally(() => this.#ending.delete(client));
    }
    await Promise.allSettled([...this.#ending].map((one) => one.close(patience)));
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
