import { once } from "node:events";
import { connect, type Socket } from "node:net";

import test, { type ExecutionContext } from "ava";

import { selfSigned } from "../../../src/radios/grpc/certificate.js";
import { sample } from "../../support/builders.js";
import { envelopeOf, newSenderId } from "../../support/encoded.js";
import { startReceiver } from "../../support/grpc-receiver.js";
import { http2Preface } from "../../support/raw-connection.js";
import { Service } from "../../support/service.js";
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
  if (!socket.closed) await within("the end of a connection", once(socket, "close"));
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

  const silent = await connectFrom(t, strangersAddress, receiver.address);
  const polite = await connectFrom(t, strangersAddress, receiver.address);
  polite.write(http2Preface); // and its settings never come
  await Promise.all([closed(silent), closed(polite)]);

  t.is(receiver.refused.get("no-call"), 2);
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
