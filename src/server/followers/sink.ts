import type { Logger } from "../../base/logger.js";
import { messagesIn, type LoggedMessage } from "../committed-messages.js";
import type { LogEntry } from "../message-log.js";

/** A kind of sink that follows a collector's database: what a module that brings one exports as `sink`. docs/SINKS.md
 *  shows how to write one. */
export interface FollowingSinkKind {
  /** Opens it at an address, whose form is its own. Rejects with an error that says what to do when that can never be;
   *  what may be there later is for `store` to try again. */
  open(address: string, options: FollowingSinkOptions): Promise<FollowingSink>;
}

export interface FollowingSinkOptions {
  readonly logger: Logger;
}

/** Takes what the collector has committed, in the order of the commits. The collector acknowledges by its database
 *  alone: such a sink is told later, at its own pace, and it may be told the end of what it had again after a crash of
 *  either side. `senderId` and `sequence` name a message for ever, so what comes twice can be seen. */
export interface FollowingSink extends AsyncDisposable {
  /** Resolves when all of the group is safe. Rejects when it is not: the same messages come again, after a pause, and
   *  in a group that may begin or end elsewhere. One call at a time. */
  store(group: FollowedGroup): Promise<void>;
}

/** What several commits brought. */
export class FollowedGroup {
  /** Envelopes, as the log has them: with them come senders' closing notes and losses. */
  readonly entries: readonly LogEntry[];
  #messages: readonly LoggedMessage[] | undefined;

  constructor(entries: readonly LogEntry[]) {
    this.entries = entries;
  }

  /** Their messages, those that were rejected among them. */
  get messages(): readonly LoggedMessage[] {
    this.#messages ??= this.entries.flatMap(messagesIn);
    return this.#messages;
  }
}
