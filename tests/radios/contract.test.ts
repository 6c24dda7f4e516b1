import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import test from "ava";
import { pino } from "pino";

import { radios } from "../../src/radios/built-in.js";
import { RadioRegistry } from "../../src/radios/registry.js";
import { openInProcessSender } from "../../src/radios/in-process/sender.js";
import { openGrpcReceiver } from "../../src/radios/grpc/receiver.js";
import { openGrpcSender } from "../../src/radios/grpc/sender.js";
import type { Inbox, RadioReceiver } from "../../src/radios/radio.js";
import { noSources } from "../support/grpc-receiver.js";
import { keepsTheContract, type Subject } from "./contract.js";
import { exampleOf } from "../support/doc-example.js";

const logger = pino({ level: "silent" });

test(keepsTheContract, {
  name: "grpc",
  promises: "stored",
  openReceiver: (inbox, before = "127.0.0.1:0") =>
    openGrpcReceiver({ listen: before }, inbox, noSources, logger),
  openSender: (address) => openGrpcSender({ address }),
} satisfies Subject);

test(keepsTheContract, inProcess());

/** There is nothing between its halves: a receiver that is away is an inbox that refuses. */
function inProcess(): Subject {
  let current: Inbox | undefined;
  return {
    name: "in-process",
    promises: "stored",
    openReceiver: (inbox): Promise<RadioReceiver> => {
      current = inbox;
      return Promise.resolve({ address: "", [Symbol.asyncDispose]: () => Promise.resolve() });
    },
    openSender: () => {
      if (current === undefined) throw new Error("no inbox");
      return openInProcessSender(current);
    },
  };
}

const http = await new RadioRegistry().load(exampleOf("RADIOS.md", "http-radio.js"));

test(keepsTheContract, {
  name: "http",
  promises: "stored",
  openReceiver: (inbox, before = "127.0.0.1:0") => {
    if (http.openReceiver === undefined) throw new Error("the example has no receiving half");
    return http.openReceiver(before, inbox, { logger });
  },
  openSender: (address) => http.openSender(address),
} satisfies Subject);

function builtIn(name: "filesystem" | "udp" | "unix"): Pick<Subject, "name" | "openReceiver" | "openSender"> {
  const radio = radios.get(name);
  const key = Buffer.alloc(32, 7);
  const directory = mkdtempSync(join(tmpdir(), "parsl-collector-"));
  process.once("exit", () => rmSync(directory, { recursive: true, force: true }));
  const place = { filesystem: directory, udp: "127.0.0.1:0", unix: join(directory, "socket") }[name];
  return {
    name,
    openReceiver: (inbox, before = place) => {
      if (radio.openReceiver === undefined) throw new Error(`${name} has no receiving half`);
      return radio.openReceiver(before, inbox, { logger, key });
    },
    openSender: (address) => radio.openSender(address, { key }),
  };
}

test(keepsTheContract, { ...builtIn("filesystem"), promises: "kept" } satisfies Subject);

test(keepsTheContract, { ...builtIn("udp"), promises: "sent" } satisfies Subject);

test(keepsTheContract, { ...builtIn("unix"), promises: "stored" } satisfies Subject);
