import { once } from "node:events";
import { chmodSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { dirname, join, resolve } from "node:path";

import { CollectorError, isRefusal, reasonOf } from "../../base/errors.js";
import type { Logger } from "../../base/logger.js";
import { Acknowledgement } from "../../model/envelope.js";
import type { Inbox, RadioReceiver, ReceiverOptions } from "../radio.js";
import { frameKinds, frameOf, FrameReader } from "./frames.js";

/** The name under which the ledger knows this radio. */
const radioName = "unix";

/** Longest path of a socket, in bytes: Linux takes 107, and the socket is made in a directory beside its place. */
const longestPath = 90;

interface UnixReceiverOptions extends ReceiverOptions {
  /** Told how many senders are connected whenever that changes. One that has ended its side is not, though its
   *  connection stays until it is answered. */
  readonly onConnections?: (open: number) => void;
}

/** Listens on a socket at `path`, which only this user may use. Takes the place of one that a dead process left;
 *  rejects when somebody listens there. */
export async function openUnixReceiver(
  path: string,
  inbox: Inbox,
  { logger, onConnections = () => undefined }: UnixReceiverOptions,
): Promise<RadioReceiver> {
  const address = resolve(path);
  if (Buffer.byteLength(address) > longestPath) {
    throw listenError(address, `its path has more than ${String(longestPath)} bytes; choose a shorter one`);
  }
  await removeIfDead(address);
  const server = createServer({ allowHalfOpen: true });
  const receiver = new UnixReceiver(address, server, inbox, logger, onConnections);
  try {
    await listen(server, address);
  } catch (cause) {
    throw listenError(address, reasonOf(cause));
  }
  return receiver;
}

class UnixReceiver implements RadioReceiver {
  readonly address: string;
  readonly #server: Server;
  readonly #peers = new Set<Peer>();

  constructor(
    address: string,
    server: Server,
    inbox: Inbox,
    logger: Logger,
    onConnections: (open: number) => void,
  ) {
    this.address = address;
    this.#server = server;
    const connected = new Set<Socket>();
    server.on("connection", (socket) => {
      const peer = new Peer(socket, inbox, logger);
      this.#peers.add(peer);
      socket.on("close", () => this.#peers.delete(peer));
      connected.add(socket);
      onConnections(connected.size);
      for (const event of ["end", "close"]) {
        socket.on(event, () => {
          if (connected.delete(socket)) onConnections(connected.size);
        });
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.address, { force: true });
    const closed = new Promise((done) => this.#server.close(done));
    await Promise.all([...this.#peers].map((peer) => peer.drain()));
    await closed;
  }
}

/** One connection: envelopes in, answers out, in order. */
class Peer {
  readonly #socket: Socket;
  readonly #inbox: Inbox;
  readonly #frames = new FrameReader();
  /** Settles when everything that came is answered. */
  #answered: Promise<void> = Promise.resolve();
  #isDone = false;

  constructor(socket: Socket, inbox: Inbox, logger: Logger) {
    this.#socket = socket;
    this.#inbox = inbox;
    socket.on("data", (chunk: Buffer) => this.#hear(chunk));
    socket.on("end", () => void this.#answered.then(() => socket.end()));
    socket.on("error", (cause) =>
      logger.debug({ reason: cause.message }, "a connection to the socket broke"),
    );
  }

  /** Reads no more, answers what was read, and ends. */
  async drain(): Promise<void> {
    this.#isDone = true;
    this.#socket.pause();
    await this.#answered;
    this.#socket.destroySoon();
  }

  #hear(chunk: Buffer): void {
    if (this.#isDone) return;
    let frames: ReturnType<FrameReader["take"]>;
    try {
      frames = this.#frames.take(chunk);
    } catch (cause) {
      this.#end(reasonOf(cause));
      return;
    }
    for (const { kind, payload } of frames) {
      if (kind !== frameKinds.envelope) continue; // of a later version
      // The chunk's memory is kept by the envelopes in it, and by nothing else.
      const acceptance = this.#inbox.accept(payload, radioName);
      this.#answered = this.#answered.then(() => this.#answer(acceptance));
    }
    this.#heedRoom();
  }

  async #answer(acceptance: Promise<Acknowledgement>): Promise<void> {
    try {
      const acknowledgement = await acceptance;
      this.#write(frameKinds.acknowledgement, Acknowledgement.encode(acknowledgement).finish());
    } catch (cause) {
      this.#end(isRefusal(cause) ? reasonOf(cause) : undefined);
    }
  }

  /** Ends the connection: for good with a refusal, else the sender comes again. */
  #end(refusal: string | undefined): void {
    if (!this.#isDone && refusal !== undefined) this.#write(frameKinds.refusal, Buffer.from(refusal));
    this.#isDone = true;
    this.#socket.destroySoon();
  }

  #write(kind: number, payload: Uint8Array): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    this.#socket.write(Buffer.concat(frameOf(kind, payload)));
  }

  #heedRoom(): void {
    const { room } = this.#inbox;
    if (room === undefined || this.#socket.isPaused()) return;
    this.#socket.pause();
    void room.then(() => {
      if (!this.#isDone) this.#socket.resume();
    });
  }
}

/** Makes the socket where nobody else can reach it, and moves it to its place when only this user may use it. */
async function listen(server: Server, address: string): Promise<void> {
  const directory = mkdtempSync(join(dirname(address), ".socket-"));
  try {
    const path = join(directory, "s");
    server.listen(path);
    await once(server, "listening");
    chmodSync(path, 0o600);
    renameSync(path, address);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function removeIfDead(path: string): Promise<void> {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw listenError(path, "something that is no socket is there; remove it, or choose another path");
  }
  const probe = createConnection({ path });
  const isAlive = await Promise.race([
    once(probe, "connect").then(() => true),
    once(probe, "close").then(() => false),
  ]).catch(() => false);
  probe.destroy();
  if (isAlive) throw listenError(path, "another process listens there; choose another path");
  rmSync(path, { force: true });
}

function listenError(path: string, reason: string): CollectorError {
  return new CollectorError("listen", `listen on socket ${path}: ${reason}`);
}
