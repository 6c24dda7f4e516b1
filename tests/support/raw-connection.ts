import { connect as connectHttp2, constants } from "node:http2";
import { connect } from "node:net";

import { within } from "./wait.js";

/** What every HTTP/2 client says first. */
export const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** Writes bytes to a port, as "127.0.0.1:41235", or to a socket, as "unix:/tmp/socket", and waits until who listens there
 *  has closed the connection or has had a turn to read them all. */
export async function throwAt(address: string, bytes: Uint8Array): Promise<void> {
  const [host = "", port = ""] = address.split(":");
  const socket = connect(host === "unix" ? { path: port } : { host, port: Number(port) });
  socket.on("error", () => undefined); // a reset is a fair answer, and events.once would reject at it
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.resume();
  socket.end(bytes);
  await within("the end of a connection", closed);
}

/** Calls SendMessages with a body and headers of the caller's choice, as no gRPC library would let one, and
 *  returns the gRPC status, or undefined when the stream was reset. */
export async function post(
  address: string,
  body: Uint8Array,
  headers: Record<string, string> = {},
): Promise<number | undefined> {
  // In MB: of what is still to be sent. Node's client would not take an answer that comes before, otherwise.
  const session = connectHttp2(`http://${address}`, { maxSessionMemory: 1_000 });
  session.on("error", () => undefined);
  const request = session.request({
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: "/parsl_collector.v1.CollectorService/SendMessages",
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  let code: number | undefined;
  const note = (from: Record<string, unknown>) => {
    if (from["grpc-status"] !== undefined) code = Number(from["grpc-status"]);
  };
  request.on("response", note);
  request.on("trailers", note);
  request.on("error", () => undefined);
  request.resume();
  request.end(body);
  await within("the end of a request", new Promise((resolve) => request.once("close", resolve)));
  session.destroy();
  return code;
}

/** A gRPC frame: whether it is compressed, a length of 4 bytes, the message. */
export function frame(compressed: 0 | 1, message: Uint8Array, length = message.length): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(compressed, 0);
  header.writeUInt32BE(length, 1);
  return Buffer.concat([header, message]);
}
