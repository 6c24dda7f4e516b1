import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";

import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import test, { type ExecutionContext } from "ava";

import { loadSinkKind } from "../../../src/server/followers/registry.js";
import { exampleOf } from "../../support/doc-example.js";
import { noNatsServer, startNatsServer } from "../../support/nats-server.js";
import { temporaryDirectory } from "../../support/temporary-directory.js";
import { keepsTheContract, type Place, type Subject } from "./contract.js";

test(keepsTheContract, {
  name: "jsonl",
  kind: () => loadSinkKind("jsonl"),
  start: (t): Promise<Place> => {
    const directory = join(temporaryDirectory(t), "there");
    mkdirSync(directory);
    const address = join(directory, "messages.jsonl");
    const away = `${directory}.away`;
    return Promise.resolve({
      address,
      names: () => Promise.resolve(eachOnce(namesIn(readFileSync(address, "utf8")))),
      // The file cannot be written where its directory is a file.
      block: () => {
        renameSync(directory, away);
        writeFileSync(directory, "");
        return Promise.resolve();
      },
      restore: () => {
        rmSync(directory);
        renameSync(away, directory);
        return Promise.resolve();
      },
    });
  },
} satisfies Subject);

function namesIn(lines: string): string[] {
  return lines
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { sender_id: string; sequence?: number })
    .filter(({ sequence }) => sequence !== undefined)
    .map(({ sender_id: sender, sequence }) => `${sender}:${String(sequence)}`);
}

/** Names in the order in which they first came. */
function eachOnce(names: readonly string[]): string[] {
  return [...new Set(names)];
}

(noNatsServer === undefined ? test : test.skip)(keepsTheContract, {
  name: "nats",
  kind: () => loadSinkKind("nats"),
  start: async (t: ExecutionContext): Promise<Place> => {
    const directory = temporaryDirectory(t);
    let server = await startNatsServer(t, directory);
    const { address } = server;
    return {
      address: `nats://${address}?stream=TEST&prefix=a.b&format=json`,
      names: () => namesInStream(address, "TEST"),
      block: () => server.kill(),
      restore: async () => {
        server = await startNatsServer(t, directory, Number(address.split(":")[1]));
      },
    };
  },
} satisfies Subject);

/** The ids of all messages of a stream. The server has dropped what came again. */
async function namesInStream(address: string, stream: string): Promise<string[]> {
  const connection = await connect({ servers: address });
  try {
    const manager = await jetstreamManager(connection);
    const { state } = await manager.streams.info(stream);
    const consumer = await manager.consumers.add(stream, { ack_policy: AckPolicy.None });
    const messages = await (
      await jetstream(connection).consumers.get(stream, consumer.name)
    ).fetch({
      max_messages: state.messages,
      expires: 5_000,
    });
    const names: string[] = [];
    for await (const { headers } of messages) names.push(headers?.get("Nats-Msg-Id") ?? "");
    return names;
  } finally {
    await connection.close();
  }
}

test(keepsTheContract, {
  name: "the example of docs/SINKS.md",
  kind: () => loadSinkKind(exampleOf("SINKS.md", "webhook-sink.js")),
  start: async (t): Promise<Place> => {
    const names: string[] = [];
    let isBlocked = false;
    const server = createServer((request, response) => {
      void text(request).then((body) => {
        if (isBlocked) response.statusCode = 503;
        else names.push(...(JSON.parse(body) as { id: string }[]).map(({ id }) => id));
        response.setHeader("connection", "close");
        response.end();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    t.teardown(() => server.close());
    const set = (blocked: boolean) => () => {
      isBlocked = blocked;
      return Promise.resolve();
    };
    return {
      address: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/messages`,
      names: () => Promise.resolve(eachOnce(names)),
      ...{ block: set(true), restore: set(false) },
    };
  },
} satisfies Subject);
