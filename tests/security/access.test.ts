import { once } from "node:events";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect as connectHttp2 } from "node:http2";
import { join } from "node:path";

import { status } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";

import { connect } from "../../src/client/connect.js";
import type { ConnectOptions } from "../../src/client/options.js";
import { CollectorError } from "../../src/base/errors.js";
import { subscribe } from "../../src/radios/grpc/subscriber.js";
import { nodeUsage, runId, taskInfo, workflowStart } from "../support/builders.js";
import { startCollector, type RunningCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { startReceiver } from "../support/grpc-receiver.js";
import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";
import { waitUntil, within } from "../support/wait.js";

const aliceToken = "alice-0123456789abcdefghijkl";
const bobToken = "bob-0123456789abcdefghijklmn";
const otherRun = "22222222-2222-4222-8222-222222222222";

function tokenFile(directory: string, text: string, mode = 0o600): string {
  const path = join(directory, "tokens");
  writeFileSync(path, text, { mode });
  return path;
}

/** A collector with TLS, and tokens of Alice and Bob. */
async function start(t: ExecutionContext) {
  const directory = temporaryDirectory(t);
  const tokens = tokenFile(directory, `# who may write\nalice ${aliceToken}\nbob ${bobToken}\n`);
  const certificates = join(directory, "tls");
  const collector = await startCollector(t, {
    args: ["--self-signed", certificates, "--token-file", tokens],
  });
  const ca = readFileSync(join(certificates, "collector.crt"));
  return { collector, tokens, certificates, ca, address: collector.address };
}

/** Sends one message; the reason when that will never do. */
async function send(options: ConnectOptions, message = workflowStart()): Promise<string> {
  const client = connect({ runId, ...options });
  try {
    await client.send(message);
    await client.flush();
    await client.close();
    return "stored";
  } catch (cause) {
    if (!(cause instanceof CollectorError)) throw cause;
    await client.abort();
    return `${cause.code}: ${cause.message}`;
  }
}

/** How often it logged that it refused somebody with these words. */
function refusals({ stderr }: RunningCollector, words: string): number {
  return stderr.split("\n").filter((line) => line.includes('"refused') && line.includes(words)).length;
}

test("with TLS and its token a client writes its run, and no other's", async (t) => {
  const { collector, ca, address } = await start(t);
  const alice = { address, token: aliceToken, tls: { ca } };
  const bob = { address, token: bobToken, tls: { ca } };

  t.is(await send(alice), "stored");
  t.regex(await send(bob, taskInfo()), /^forbidden: .*run .* is not one that bob may write; give a token/);
  t.is(await send({ ...bob, runId: otherRun }), "stored");
  t.regex(await send({ ...alice, runId: otherRun }, taskInfo()), /^forbidden: .* that alice may write/);

  const db = openDatabase(t, collector.database);
  t.is(db.count("workflow"), 2);
  t.is(db.count("task"), 0);
  t.is(db.count("collector_rejected"), 0);
});

test("without a token, or with one that it does not know, a client is refused, counted, and logged once", async (t) => {
  const { collector, ca, address } = await start(t);
  const stranger = { address, token: "x".repeat(30), tls: { ca } };

  for (let times = 0; times < 3; times += 1) {
    t.regex(
      await send({ address, tls: { ca } }),
      /^unauthenticated: .* wants a token, and the call has none; give/,
    );
  }
  t.regex(await send(stranger), /^unauthenticated: .* does not know the token of the call; give the token/);

  await waitUntil("the refusal is logged", () => refusals(collector, "wants a token") > 0);
  t.is(refusals(collector, "wants a token"), 1);
  t.false(collector.stderr.includes(stranger.token));
  t.is(openDatabase(t, collector.database).count("workflow"), 0);
});

test("a call without a token is refused before its request has come", async (t) => {
  const { receiver, inbox } = await startReceiver(t, {
    tokens: [{ name: "alice", token: aliceToken, runs: "own" }],
  });
  const session = connectHttp2(`http://${receiver.address}`);
  t.teardown(() => session.destroy());

  const call = session.request({
    ":method": "POST",
    ":path": "/parsl_collector.v1.CollectorService/SendMessages",
    "content-type": "application/grpc",
    te: "trailers",
  });
  call.write(Buffer.from([0, 4, 0, 0, 0])); // the head of 64 MiB, of which nothing follows
  const [headers] = (await within("the refusal", once(call, "response"))) as [Record<string, unknown>];

  t.is(Number(headers["grpc-status"]), status.UNAUTHENTICATED);
  t.is(receiver.refused.get("unauthenticated"), 1);
  t.is(inbox.heard.length, 0);
});

test("who speaks no TLS, or trusts another certificate, does not come through; the collector goes on", async (t) => {
  const { collector, ca, address } = await start(t);
  const { ca: foreign } = await start(t);
  const patient = { address, token: aliceToken, radio: "grpc" };
  const states: string[] = [];
  const onStateChange: ConnectOptions["onStateChange"] = (state) => {
    if (state.at === "waiting") states.push(state.reason.message);
  };

  const plain = connect({ ...patient, onStateChange });
  void plain.send(workflowStart());
  await waitUntil("the attempt without TLS fails", () => states.length > 0);
  await plain.abort();
  const mistaken = connect({ ...patient, tls: { ca: foreign }, onStateChange });
  void mistaken.send(workflowStart());
  await waitUntil("the attempt with another authority fails", () =>
    states.some((text) => /certificate/.test(text)),
  );
  await mistaken.abort();

  t.is(await send({ ...patient, tls: { ca } }), "stored");
  await waitUntil("the refusal is logged", () => refusals(collector, "TLS: ") > 0);
});

test("the key is the user's alone, and a second start shows the same certificate", async (t) => {
  const { collector, tokens, certificates, ca } = await start(t);

  t.is(statSync(join(certificates, "collector.key")).mode & 0o777, 0o600);
  await collector.stop();
  const again = await startCollector(t, {
    database: collector.database,
    args: ["--self-signed", certificates, "--token-file", tokens],
  });

  t.is(await send({ address: again.address, token: aliceToken, tls: { ca } }), "stored");
  // By whatever name or address a client knows this host.
  const { address } = again;
  t.is(
    await send({ address, token: aliceToken, tls: { ca, serverName: "parsl-collector" } }, taskInfo()),
    "stored",
  );
});

test("on SIGHUP tokens are read again: who has none any more is cut off, and a bad file changes nothing", async (t) => {
  const { collector, tokens, ca, address } = await start(t);
  let failure: CollectorError | undefined;
  const alice = connect({
    ...{ address, token: aliceToken, tls: { ca }, runId },
    onStateChange: (state) => {
      if (state.at === "failed") failure = state.reason;
    },
  });
  await alice.send(workflowStart());
  await alice.flush();

  writeFileSync(tokens, "alice short\n");
  process.kill(collector.pid, "SIGHUP");
  await waitUntil("it says that they stay", () => collector.stderr.includes("stay as they were"));
  await alice.send(taskInfo());
  await alice.flush();

  writeFileSync(tokens, `carol ${bobToken}\n`);
  process.kill(collector.pid, "SIGHUP");
  await waitUntil("Alice is cut off", async () => {
    await alice.send(taskInfo()).catch(() => undefined);
    return failure;
  });
  t.is(failure?.code, "unauthenticated");
  await alice.abort();
  t.is(await send({ address, token: bobToken, tls: { ca }, runId: otherRun }), "stored");
  t.true(collector.stderr.includes('"tokens":["carol"]'));
  t.false(collector.stderr.includes(bobToken));
});

test("a collector that asks for certificates takes those of its authority only, and knows each by its name", async (t) => {
  const directory = temporaryDirectory(t);
  const { certificates: clients } = await start(t); // makes a certificate, which a client may use as well
  const certificate = readFileSync(join(clients, "collector.crt"));
  const privateKey = readFileSync(join(clients, "collector.key"));
  const own = join(directory, "tls");
  const collector = await startCollector(t, {
    args: ["--self-signed", own, "--tls-client-ca", join(clients, "collector.crt")],
  });
  const { address } = collector;
  const ca = readFileSync(join(own, "collector.crt"));
  const tried: string[] = [];

  const nameless = connect({
    ...{ address, tls: { ca }, runId },
    onStateChange: (state) => {
      if (state.at === "waiting") tried.push(state.reason.message);
    },
  });
  void nameless.send(workflowStart());
  await waitUntil("the attempt without a certificate fails", () => tried.length > 0);
  await nameless.abort();

  t.is(await send({ address, tls: { ca, certificate, privateKey } }), "stored");
  t.deepEqual(openDatabase(t, collector.database).rows("SELECT owner FROM collector_run_owner"), [
    { owner: "parsl-collector" },
  ]);
});

test("a token may be tied to runs by their ids", async (t) => {
  const directory = temporaryDirectory(t);
  const tokens = tokenFile(directory, `one ${aliceToken} ${otherRun}\nall ${bobToken} *\n`);
  const { address } = await startCollector(t, { args: ["--token-file", tokens] }); // on loopback, without TLS

  t.regex(await send({ address, token: aliceToken }), /^forbidden: /);
  t.is(await send({ address, token: bobToken, runId: otherRun }), "stored");
  t.is(await send({ address, token: aliceToken, runId: otherRun }, taskInfo()), "stored");
});

const wrong: readonly (readonly [string, string, number, RegExp])[] = [
  [
    "is short",
    "alice short\n",
    0o600,
    /line 1: the token of "alice" is short enough to be guessed; take 32 random/,
  ],
  ["is missing", "\nalice\n", 0o600, /line 2: "alice" has no token; write its name, the token/],
  [
    "can be read by others",
    `alice ${aliceToken}\n`,
    0o644,
    /others may read or write it \(mode 644\); run chmod 600/,
  ],
  ["is none", "# nobody\n", 0o600, /there is no token in it; write a line as/],
];

for (const [what, text, mode, expected] of wrong) {
  test(`a token that ${what} is told at the start, with the cure`, async (t) => {
    const directory = temporaryDirectory(t);
    const tokens = tokenFile(directory, text, mode);

    const { exit, stderr } = await runToEnd(t, [
      ...["serve", "--database", join(directory, "monitoring.db"), "--token-file", tokens],
    ]);

    t.is(exit, 1);
    t.regex(stderr, expected);
    t.false(stderr.includes(aliceToken));
  });
}

test("beyond loopback it wants TLS and a token, and says which is missing", async (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, "tls"));
  const tokens = tokenFile(directory, `alice ${aliceToken}\n`);
  const serve = ["serve", "--database", join(directory, "monitoring.db"), "--listen", "0.0.0.0:0"];

  const neither = await runToEnd(t, serve);
  const noToken = await runToEnd(t, [...serve, "--self-signed", join(directory, "tls")]);
  const noTls = await runToEnd(t, [...serve, "--token-file", tokens]);
  const { address } = await startCollector(t, {
    listen: "0.0.0.0:0",
    args: ["--token-file", tokens, "--self-signed", join(directory, "tls")],
  });

  t.regex(neither.stderr, /there is no TLS and no token; give --self-signed DIRECTORY/);
  t.regex(noToken.stderr, /there is no token; give/);
  t.regex(noTls.stderr, /there is no TLS; give/);
  t.is(neither.exit, 1);
  t.regex(address, /^0\.0\.0\.0:\d+$/);
});

test("a subscriber hears of the runs that its token may write, and of no others; without one of nothing", async (t) => {
  const { address, ca } = await start(t);
  const alice = { address, token: aliceToken, tls: { ca } };
  const bob = { address, token: bobToken, tls: { ca } };
  const heard: string[] = [];
  const stop = new AbortController();
  const listening = Promise.withResolvers<undefined>();
  const following = (async () => {
    for await (const { messages } of subscribe({ ...alice, signal: stop.signal })) {
      listening.resolve(undefined);
      heard.push(...messages.map((message) => message.runId));
    }
  })();
  await listening.promise;

  t.is(await send({ ...bob, runId: otherRun }), "stored");
  t.is(await send({ ...bob, runId: "" }, nodeUsage()), "stored");
  t.is(await send({ ...alice, runId }), "stored");
  await waitUntil("her own is heard", () => heard.length > 0);
  stop.abort();
  await following;

  t.deepEqual(new Set(heard), new Set([runId]));
  const stranger = subscribe({ address, tls: { ca } });
  const refused = await t.throwsAsync(stranger.next(), { instanceOf: CollectorError });
  t.is(refused.code, "unauthenticated");
});
