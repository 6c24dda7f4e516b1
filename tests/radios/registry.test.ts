import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import test from "ava";

import { radios } from "../../src/radios/built-in.js";
import { RadioRegistry } from "../../src/radios/registry.js";
import { FakeRadio } from "../support/fake-radio.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

const fake = { openSender: () => new FakeRadio() };

test("a radio is found by its name", async (t) => {
  const registry = new RadioRegistry().add("fake", fake);

  t.is(registry.get("fake"), fake);
  t.is(await registry.load("fake"), fake);
  t.deepEqual(registry.names, ["fake"]);
});

test("an unknown name is told with those that are known, or the one that was meant", async (t) => {
  const registry = new RadioRegistry().add("grpc", fake).add("filesystem", fake);

  t.throws(() => registry.get("gprc"), {
    message: 'load radio "gprc": no radio has this name; known are grpc, filesystem',
  });
  await t.throwsAsync(registry.load("filesystm"), { message: /no module: .*; did you mean "filesystem"\?$/ });
});

test("a name is taken once", (t) => {
  const registry = new RadioRegistry().add("fake", fake);

  t.throws(() => registry.add("fake", fake), { message: /the name is taken/ });
});

test("a module of a third party is loaded by its specifier, and only if it exports a radio", async (t) => {
  const registry = new RadioRegistry();
  const directory = temporaryDirectory(t);
  const module = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return pathToFileURL(join(directory, name)).href;
  };
  const pigeon = module("pigeon.mjs", "export const radio = { openSender: (address) => ({ address }) };");
  const stone = module("stone.mjs", "export const radio = 3;");

  const radio = await registry.load(pigeon);

  t.like(radio.openSender("roof"), { address: "roof" });
  t.is(await registry.load(pigeon), radio);
  await t.throwsAsync(registry.load(stone), { message: /the module exports no `radio`/ });
});

test("gRPC, the filesystem and UDP are built in", (t) => {
  t.deepEqual(radios.names, ["grpc", "filesystem", "udp", "unix"]);
});
