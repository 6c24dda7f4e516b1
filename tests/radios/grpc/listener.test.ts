import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";

import test, { type ExecutionContext } from "ava";

import { selfSigned } from "../../../src/radios/grpc/certificate.js";
import { sample } from "../../support/builders.js";
import { envelopeOf, newSenderId } from "../../support/encoded.js";
import { startReceiver } from "../../support/grpc-receiver.js";
import { callHeaders, frameTypes, http2Frame, settings } from "../../support/http2-frames.js";
import { frame, http2Preface } from "../../support/raw-connection.js";
import { Service } from "../../support/service.js";
import { TcpProxy } from "../../support/tcp-proxy.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { waitUntil, within } from "../../support/wait.js";

/** Another host, as far as the collector can tell. */
const strangersAddress = "127.0.0.2";

async function connectFrom(t: ExecutionContext, localAddress: string, address: string): Promise<Socket> {
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  t.teardown(() => socket.destroy());
  socket.on("error", () => undefined);
  socket.resume();
  await within("a connection", once(socket, "connect"));
  return socket;
}

async function closed(socket: Socket): Promise<void> {
  const end = new Promise((resolve) => socket.once("close", resolve));
  if (!socket.closed) await within("the end of a connection", end);
}

test("an address that has as many connections as it may gets no more, and others do", async (t) => {
  const { receiver, warnings } = await startReceiver(t, { limits: { connectionsPerPeer: 3 } });
  const kept = await Promise.all([1, 2, 3].map(() => connectFrom(t, strangersAddress, receiver.address)));

  const beyond = await Promise.all([1, 2].map(() => connectFrom(t, strangersAddress, receiver.address)));
  await Promise.all(beyond.map(closed));

  t.deepEqual(
    kept.map((socket) => socket.closed),
    [false, false, false],
  );
  t.is(receiver.refused.get("connections-per-peer"), 2);
  t.is(warnings().length, 1, "logged once");
  t.like(warnings()[0], { peer: strangersAddress });
  t.regex(String(warnings()[0]?.["reason"]), /it has 3 connections.*--max-connections-per-peer/);
  const service = Service.connect(t, receiver.address);
  t.is((await service.send([sample(1)])).committed?.last, 1n);

  kept[0]?.destroy();
  await waitUntil("a connection that ended makes room for another", async () => {
    const socket = await connectFrom(t, strangersAddress, receiver.address);
    socket.write(http2Preface);
    return await Promise.race([once(socket, "data").then(() => true), closed(socket).then(() => false)]);
  });
});

test("a connection without a call ends at its deadline, however little it says, and one with a call stays", async (t) => {
  const { receiver, warnings } = await startReceiver(t, { limits: { firstCallTimeoutMs: 1_000 } });
  const stream = Service.connect(t, receiver.address).stream();
  const senderId = newSenderId();
  await stream.write(envelopeOf([sample(1)], { senderId }));
  await stream.acknowledged(1);

  const sockets = await Promise.all(
    Array.from({ length: 4 }, () => connectFrom(t, strangersAddress, receiver.address)),
  );
  const [, polite, slow, endless] = sockets; // and one says nothing
  const headersWithoutEnd = http2Frame(frameTypes.headers, 0, 1, callHeaders("StreamMessages"));
  polite?.write(http2Preface);
  endless?.write(Buffer.concat([Buffer.from(http2Preface), settings(), headersWithoutEnd]));
  const bytes = Buffer.from(http2Preface).values();
  const byByte = setInterval(() => slow?.write(Uint8Array.of(bytes.next().value ?? 0)), 100);
  t.teardown(() => clearInterval(byByte));
  await Promise.all(sockets.map(closed));

  t.is(receiver.refused.get("no-call"), sockets.length);
  t.is(warnings().length, 1, "logged once");
  await stream.write(envelopeOf([sample(2)], { senderId, first: 2 }));
  t.is((await stream.acknowledged(2)).length, 2);
});

test("half a TLS handshake ends at its deadline", async (t) => {
  const tls = await selfSigned(temporaryDirectory(t));
  const { receiver } = await startReceiver(t, { tls, limits: { firstCallTimeoutMs: 50 } });

  const socket = await connectFrom(t, strangersAddress, receiver.address);
  const clientHello = Buffer.from("160301020001000200", "hex"); // begun, of 512 bytes
  socket.write(clientHello);
  await closed(socket);

  t.is(receiver.refused.get("no-call"), 1);
});

test("a TLS connection with a call stays beyond the deadline of its first", async (t) => {
  const tls = await selfSigned(temporaryDirectory(t));
  const { receiver } = await startReceiver(t, { tls, limits: { firstCallTimeoutMs: 1_000 } });
  const session = connectHttp2(`https://${receiver.address}`, { rejectUnauthorized: false });
  t.teardown(() => session.destroy());
  const answer = async (): Promise<void> => {
    const request = session.request({
      ":method": "POST",
      ":path": "/parsl_collector.v1.CollectorService/GetStatus",
      "content-type": "application/grpc",
      te: "trailers",
    });
    request.resume();
    request.end(frame(0, new Uint8Array()));
    await within("the end of a request", once(request, "close"));
  };

  await answer();
  const silent = await connectFrom(t, strangersAddress, receiver.address);
  await closed(silent); // at its deadline, which comes after the other's
  await answer();

  t.false(session.closed);
  t.is(receiver.refused.get("no-call"), 1);
});

test("a connection that has no call any more is ended in good order, and its client comes again", async (t) => {
  const { receiver } = await startReceiver(t, { limits: { connectionIdleMs: 1_500 } });
  const proxy = await TcpProxy.start(t, receiver.address);
  const service = Service.connect(t, proxy.address);

  await service.send([sample(1)]);
  await within("the end of the connection", proxy.ended());
  t.is((await service.send([sample(2)])).committed?.last, 1n);

  t.is(proxy.connections, 2);
});

test("connections that say nothing do not hold up the end", async (t) => {
  const { receiver } = await startReceiver(t);
  const silent = await connectFrom(t, strangersAddress, receiver.address);

  await within("the end of the receiver", receiver[Symbol.asyncDispose]());

  await closed(silent);
  t.false(receiver.refused.has("no-call"));
});

test("localhost is all its addresses, on one port", async (t) => {
  const { receiver } = await startReceiver(t, { listen: "localhost:0" });
  const port = /^localhost:(\d+)$/.exec(receiver.address)?.[1] ?? "";

  for (const address of [`127.0.0.1:${port}`, receiver.address]) {
    t.is((await Service.connect(t, address).send([sample(1)])).committed?.last, 1n);
  }
});
