import { CollectorError } from "../base/errors.js";
import { kindName, kindNames } from "../model/kinds.js";
import type { Principal } from "../model/principal.js";
import type { CommittedMessage, SubscribeRequest, SubscribeResponse } from "../model/subscription.js";
import { messagesIn } from "./committed-messages.js";
import { readBehind } from "./log-following.js";
import type { LogEntry, LogSpan, MessageLog } from "./message-log.js";

/** Bytes of envelopes that a subscriber is given at once, but for a single one that is larger: what a slow one may
 *  have here. All else of its stays in the store. */
const readBytes = 256 * 1024;

/** Subscribers at one time. Each commit wakes them all. */
const mostSubscribers = 100;

/** Positions that a subscriber of few messages falls behind before it is told a new one. */
const silentEntries = 1_000;

/** Gives those who follow what is committed. Each reads the log at its own pace, so a slow one holds up nobody. */
export class Subscriptions {
  readonly #log: MessageLog;
  #open = 0;

  constructor(log: MessageLog) {
    this.#log = log;
  }

  /** What was committed behind the position that a request names, and then what is, until the signal aborts. Throws a
   *  CollectorError: `gone` for a position that the log has left behind. */
  async *follow(
    request: SubscribeRequest,
    principal: Principal | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<SubscribeResponse, void, void> {
    const filter = new Filter(this.#log, request, principal);
    if (this.#open >= mostSubscribers) {
      throw new CollectorError(
        "exhausted",
        `subscribe: the collector has ${String(mostSubscribers)} subscribers, as many as it may`,
      );
    }
    this.#open += 1;
    try {
      const span = await this.#log.keep();
      let at = startOf(request, span);
      let told = at;
      yield { position: positionOf(span, at), messages: [] };
      while (!signal.aborted) {
        const { entries, span: now, missed } = await readBehind(this.#log, at, readBytes, signal);
        if (missed || now.id !== span.id) throw gone(positionOf(span, at));
        const last = entries.at(-1);
        if (last === undefined) continue;
        at = last.position;
        const messages = await filter.messagesOf(entries);
        if (messages.length === 0 && at - told < silentEntries) continue;
        told = at;
        yield { position: positionOf(span, at), messages };
      }
    } finally {
      this.#open -= 1;
    }
  }
}

function positionOf({ id }: LogSpan, at: number): string {
  return `${id}-${String(at)}`;
}

function startOf({ position, fromOldest }: SubscribeRequest, span: LogSpan): number {
  if (position === "") return fromOldest ? span.from : span.to;
  const [, id, digits = ""] = /^([0-9a-f]+)-(\d+)$/.exec(position) ?? [];
  const at = Number(digits);
  if (id === undefined || !Number.isSafeInteger(at)) {
    throw new CollectorError(
      "invalid-argument",
      `subscribe from position "${position}": it is none; give one that a response had, or none for from now`,
    );
  }
  if (id !== span.id || at < span.from || at > span.to) throw gone(position);
  return at;
}

function gone(position: string): CollectorError {
  return new CollectorError(
    "gone",
    `subscribe from position "${position}": what came behind it is no longer kept, or it is of another database; read ` +
      "the database, and subscribe from the oldest or from now; --log-bytes keeps more",
  );
}

/** What somebody wants to hear of, and may. */
class Filter {
  readonly #log: MessageLog;
  readonly #runIds: ReadonlySet<string>;
  readonly #kinds: ReadonlySet<string>;
  readonly #principal: Principal | undefined;

  constructor(log: MessageLog, { runIds, kinds }: SubscribeRequest, principal: Principal | undefined) {
    this.#log = log;
    this.#runIds = new Set(runIds);
    this.#kinds = new Set(kinds);
    this.#principal = principal;
    const known = [...Object.values(kindNames), "UNKNOWN"];
    const unknown = kinds.find((kind) => !known.includes(kind));
    if (unknown !== undefined) {
      throw new CollectorError(
        "invalid-argument",
        `subscribe to messages of kind "${unknown}": there is none; there are ${known.join(", ")}`,
      );
    }
  }

  async messagesOf(entries: readonly LogEntry[]): Promise<CommittedMessage[]> {
    const wanted = entries.flatMap(messagesIn).filter((one) => this.#isWanted(one));
    if (this.#principal === undefined || this.#principal.runs === "all" || wanted.length === 0) return wanted;
    const runIds = new Set(wanted.map(({ runId }) => runId));
    runIds.delete(""); // what is no run's is for those who may read all
    const readable = await this.#log.readable(runIds, this.#principal);
    return wanted.filter(({ runId }) => readable.has(runId));
  }

  #isWanted({ runId, message }: CommittedMessage): boolean {
    const kind = kindName(message);
    return (
      (this.#kinds.size === 0 || this.#kinds.has(kind)) &&
      (this.#runIds.size === 0 || this.#runIds.has(runId))
    );
  }
}
