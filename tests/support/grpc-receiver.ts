import {
  openGrpcReceiver,
  type GrpcReceiver,
  type GrpcReceiverOptions,
  type GrpcSources,
} from "../../src/radios/grpc/receiver.js";
import { EnvelopeInbox } from "./envelope-inbox.js";
import { recordingLogger } from "./log-lines.js";
import type { Scope } from "./scope.js";

/** A gRPC receiver in this process, with an inbox and a log that are the test's. */
export interface TestReceiver {
  readonly receiver: GrpcReceiver;
  readonly inbox: EnvelopeInbox;
  /** What it has warned of. */
  readonly warnings: () => Record<string, unknown>[];
}

/** For a receiver that nobody asks for anything. */
export const noSources: GrpcSources = {
  status: () => Promise.reject(new Error("nobody asks for the status")),
  subscription: () => {
    throw new Error("nobody subscribes");
  },
};

/** Listens until the test ends, on a port of 127.0.0.1 by default. */
export async function startReceiver(
  t: Pick<Scope, "teardown">,
  options: Partial<GrpcReceiverOptions> = {},
): Promise<TestReceiver> {
  const inbox = new EnvelopeInbox();
  const { logger, lines } = recordingLogger();
  const receiver = await openGrpcReceiver({ listen: "127.0.0.1:0", ...options }, inbox, noSources, logger);
  t.teardown(() => receiver[Symbol.asyncDispose]());
  return { receiver, inbox, warnings: () => lines.filter(({ level }) => Number(level) >= 40) };
}
