import { readdirSync } from "node:fs";
import { join } from "node:path";

import test from "ava";

import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

test("bench says what was durable, how soon, and leaves nothing", async (t) => {
  const directory = temporaryDirectory(t);

  const { exit, stdout, stderr } = await runToEnd(t, [
    ...["bench", "--directory", directory, "--seconds", "0.2", "--senders", "2", "--json"],
  ]);

  t.is(exit, 0, stderr);
  const { samples, tasks, acknowledgedMs } = JSON.parse(stdout) as {
    readonly samples: { readonly messages: number; readonly seconds: number; readonly perSecond: number };
    readonly tasks: { readonly messages: number };
    readonly acknowledgedMs: { readonly p50: number; readonly p99: number };
  };
  t.true(samples.messages >= 1_000 && tasks.messages >= 1_000);
  t.is(Math.round(samples.perSecond), Math.round(samples.messages / samples.seconds));
  t.true(acknowledgedMs.p50 > 0 && acknowledgedMs.p50 <= acknowledgedMs.p99);
  t.deepEqual(readdirSync(directory), []);
});

test("a directory where bench cannot put its file is named, with the cure", async (t) => {
  const directory = join(temporaryDirectory(t), "missing");

  const { exit, stderr } = await runToEnd(t, ["bench", "--directory", directory]);

  t.is(exit, 1);
  t.regex(
    stderr,
    /^parsl-collector bench: make a directory in .*ENOENT.*; name one that is there .* by --directory\n$/,
  );
});
