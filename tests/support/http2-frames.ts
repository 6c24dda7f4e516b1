import { once } from "node:events";
import { connect, type Socket } from "node:net";

import { http2Preface } from "./raw-connection.js";
import type { Scope } from "./scope.js";
import { within } from "./wait.js";

/** HTTP/2 frames by hand (RFC 9113, section 6), to say what no library would. */
export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const endHeaders = 4;

export const settingIds = { initialWindowSize: 4 } as const;

export function http2Frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function settings(values: readonly (readonly [id: number, value: number])[] = []): Buffer {
  const payload = values.map(([id, value]) => Buffer.concat([Uint8Array.of(0, id), uint32(value)]));
  return http2Frame(frameTypes.settings, 0, 0, Buffer.concat(payload));
}

/** A header as HPACK has it: a literal, never indexed, without Huffman's code. */
export function header(name: string, value: string): Buffer {
  return Buffer.concat([Uint8Array.of(0x10), hpackString(name), hpackString(value)]);
}

/** What begins a call of the collector. */
export function callHeaders(method: string): Buffer {
  return Buffer.concat([
    header(":method", "POST"),
    header(":scheme", "http"),
    header(":path", `/parsl_collector.v1.CollectorService/${method}`),
    header(":authority", "collector"),
    header("content-type", "application/grpc"),
    header("te", "trailers"),
  ]);
}

function hpackString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([hpackInteger(bytes.length, 7), bytes]);
}

/** An integer after a prefix of `bits` bits, the bits before which are 0 (RFC 7541, 5.1). */
export function hpackInteger(value: number, bits: number): Buffer {
  const most = 2 ** bits - 1;
  if (value < most) return Buffer.of(value);
  const bytes = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A connection that says whatever it is told, and notes what it needs to go on. */
export class RawHttp2 {
  readonly #socket: Socket;
  #onRoom: () => void = () => undefined;
  #unread = Buffer.alloc(0);
  /** By how much the collector has widened the window for requests of the connection. */
  windowBytes = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => undefined); // "close" follows
    for (const event of ["drain", "close"]) socket.on(event, () => this.#onRoom());
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
  }

  /** Connects until the test ends; from 127.0.0.2 by default, so that it is another host than the good client. */
  static async connect(
    t: Pick<Scope, "teardown">,
    address: string,
    greeting: Uint8Array = Buffer.concat([Buffer.from(http2Preface), settings()]),
  ): Promise<RawHttp2> {
    const [host = "", port = ""] = address.split(":");
    const socket = connect({ host, port: Number(port), localAddress: "127.0.0.2" });
    t.teardown(() => socket.destroy());
    const raw = new RawHttp2(socket);
    await within("a connection", once(socket, "connect"));
    socket.write(greeting);
    return raw;
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** Reads nothing from now on. */
  stopReading(): void {
    this.#socket.pause();
  }

  /** Writes, and waits until there is room for more. Returns whether the connection is still open. */
  async write(bytes: Uint8Array): Promise<boolean> {
    if (this.isClosed) return false;
    const hasRoom = this.#socket.write(bytes);
    await new Promise<void>((resolve) => {
      if (hasRoom)
        setImmediate(resolve); // what has come is read meanwhile
      else this.#onRoom = resolve;
    });
    return !this.isClosed;
  }

  #read(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    while (this.#unread.length >= 9) {
      const end = 9 + this.#unread.readUIntBE(0, 3);
      if (this.#unread.length < end) return;
      const type = this.#unread.readUInt8(3);
      const stream = this.#unread.readUInt32BE(5);
      if (type === frameTypes.windowUpdate && stream === 0) this.windowBytes += this.#unread.readUInt32BE(9);
      this.#unread = this.#unread.subarray(end);
    }
  }
}
