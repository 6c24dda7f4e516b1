import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

import test, { type ExecutionContext } from "ava";

import { startCollector } from "../support/collector.js";
import { within } from "../support/wait.js";

const index = new URL("../../src/index.js", import.meta.url).href;

/** Runs a program that has a client of the collector at `address`, and returns what it prints if it ends by
 *  itself. */
async function run(t: ExecutionContext, address: string, program: string): Promise<string> {
  const whole = `
    import { connect } from ${JSON.stringify(index)};
    const client = connect({ address: ${JSON.stringify(address)} });
    const message = { workflowStart: { rundir: "/runs/000" } };
    ${program}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", whole], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => child.kill("SIGKILL"));
  const [printed] = await within(
    "the program's end",
    Promise.all([text(child.stdout), once(child, "close")]),
  );
  t.is(child.exitCode, 0);
  return printed.trim();
}

/** The address of a peer that takes connections and never speaks. */
async function silentPeer(t: ExecutionContext): Promise<string> {
  const server = createServer((socket) => socket.on("error", () => socket.destroy()).resume());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  return `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

test("a program ends by itself when its client is closed", async (t) => {
  const { address } = await startCollector(t);

  const printed = await run(
    t,
    address,
    "await client.send(message); await client.close(); console.log(client.counts.acknowledged);",
  );

  t.is(printed, "1");
});

test("a program that leaves the scope of its client has sent everything", async (t) => {
  const { address } = await startCollector(t);

  const printed = await run(
    t,
    address,
    "{ await using one = client; await one.send(message); } console.log(client.counts.acknowledged);",
  );

  t.is(printed, "1");
});

test("a client that was never used does not keep a program", async (t) => {
  t.is(await run(t, await silentPeer(t), 'console.log("ends");'), "ends");
});

test("a program ends by itself when its client gives up on a peer that never speaks", async (t) => {
  const printed = await run(
    t,
    await silentPeer(t),
    `await client.send(message);
     setImmediate(async () => console.log(JSON.stringify(await client.abort())));`,
  );

  t.like(JSON.parse(printed), { messages: 1, firstSequence: 1 });
});

test("a program ends by itself when its client gives up during a pause", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  server.close();
  await once(server, "close");

  const printed = await run(
    t,
    address,
    `await client.send(message);
     const look = setInterval(async () => {
       if (client.state.at !== "waiting") return;
       clearInterval(look);
       console.log((await client.abort()).messages);
     }, 5);`,
  );

  t.is(printed, "1");
});
