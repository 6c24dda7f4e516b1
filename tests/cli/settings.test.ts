import { writeFileSync } from "node:fs";
import { join } from "node:path";

import test, { type ExecutionContext } from "ava";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";

import { takeSettings } from "../../src/cli/settings.js";
import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** Options from the environment and from a file, in a program of two commands. */

interface Given {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

function parseCount(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new InvalidArgumentError(`expected a count, got "${text}".`);
}

function program(said: (options: unknown) => void): Command {
  const whole = new Command("program").exitOverride().configureOutput({ writeErr: () => undefined });
  whole
    .command("store")
    .option("--database <file>")
    .option("--radio <address>", "", (text: string, before: string[]) => [...before, text], [])
    .option("--count <n>", "", parseCount, 1)
    .option("--insecure", "", false)
    .option("--no-wait")
    .addOption(new Option("--mode <mode>").choices(["full", "normal"]).default("full"))
    .addOption(new Option("--to <address>").conflicts("database"))
    .action(said);
  const list = whole.command("list");
  list.command("all").option("--database <file>").option("--json", "", false).action(said);
  return whole;
}

/** The options with which a command runs; the message of the error that ends it instead. */
async function optionsOf({ args = ["store"], env = {} }: Given): Promise<unknown> {
  let options: unknown;
  const build = (): Command => program((said) => (options = said));
  const it = build();
  takeSettings(it, env, () => Promise.resolve(build()));
  try {
    await it.parseAsync(args, { from: "user" });
  } catch (cause) {
    if (cause instanceof CommanderError) return cause.message;
    throw cause;
  }
  return options;
}

function file(t: ExecutionContext, content: string, name = "config.toml"): string {
  const path = join(temporaryDirectory(t), name);
  writeFileSync(path, content);
  return path;
}

test("the command line counts more than the environment, that more than the file, that more than a default", async (t) => {
  const config = file(t, 'count = 2\ndatabase = "by-file"\nmode = "normal"\n');
  const env = {
    PARSL_COLLECTOR_CONFIG: config,
    PARSL_COLLECTOR_COUNT: "3",
    PARSL_COLLECTOR_DATABASE: "by-env",
  };

  const options = await optionsOf({ args: ["store", "--count", "4"], env });

  t.like(options, { count: 4, database: "by-env", mode: "normal", insecure: false });
});

test("what is said to one command counts more than what is said to all, and a subcommand has its command's name", async (t) => {
  const config = file(t, 'database = "all"\n[store]\ndatabase = "store"\n[list]\njson = true\n');
  const env = { PARSL_COLLECTOR_DATABASE: "all", PARSL_COLLECTOR_LIST_DATABASE: "list" };

  t.like(await optionsOf({ args: ["store", "--config", config] }), { database: "store" });
  t.like(await optionsOf({ args: ["list", "all", "--config", config], env }), {
    database: "list",
    json: true,
  });
});

test("flags, numbers and lists are said in TOML, in JSON and in the environment alike", async (t) => {
  const expected = { insecure: true, wait: false, count: 7, radio: ["udp=a", "unix=b"] };
  const toml = file(t, 'insecure = true\nno-wait = true\ncount = 7\nradio = ["udp=a", "unix=b"]');
  const json = file(
    t,
    JSON.stringify({ store: { insecure: true, "no-wait": true, count: 7, radio: ["udp=a", "unix=b"] } }),
    "config.json",
  );
  const env = {
    PARSL_COLLECTOR_INSECURE: "true",
    PARSL_COLLECTOR_NO_WAIT: "1",
    PARSL_COLLECTOR_STORE_COUNT: "7",
    PARSL_COLLECTOR_RADIO: "udp=a, unix=b",
  };

  t.like(await optionsOf({ args: ["store", "--config", toml] }), expected);
  t.like(await optionsOf({ args: ["store", "--config", json] }), expected);
  t.like(await optionsOf({ env }), expected);
  t.like(await optionsOf({ env: { PARSL_COLLECTOR_INSECURE: "false", PARSL_COLLECTOR_COUNT: "" } }), {
    insecure: false,
    count: 1,
  });
});

test("what cannot be used is named with where it was said, the reason and the likely meaning", async (t) => {
  const inFile = (content: string, name?: string): Given => ({
    args: ["store", "--config", file(t, content, name)],
  });
  const cases: readonly (readonly [Given, RegExp])[] = [
    [inFile("coun = 1"), /config file .*: coun: no option has this name; did you mean count\?/],
    [inFile("[store]\nmod = 1"), /config file .*: mod: store has no such option; did you mean mode\?/],
    [inFile("[stor]\nmode = 1"), /config file .*: stor: no command has this name; did you mean store\?/],
    [inFile('count = "many"'), /config file .*: count: expected a count, got "many"/],
    [inFile('insecure = "perhaps"'), /config file .*: insecure: expected true or false, got "perhaps"/],
    [inFile("database = true"), /config file .*: database: expected a text or a number, got true/],
    [inFile('config = "another"'), /config file .*: config: no option has this name/],
    [inFile("count = "), /config file .*: Invalid TOML document[^]*; correct it/],
    [inFile("[1", "config.json"), /config file .*: Expected .* in JSON[^]*; correct it/],
    [inFile("[1]", "config.json"), /config file .*: it holds no options by name/],
    [{ args: ["store", "--config", "/no/such"] }, /config file \/no\/such: there is no such file; name one/],
    [
      { env: { PARSL_COLLECTOR_STORE_MODE: "ful" } },
      /variable PARSL_COLLECTOR_STORE_MODE: Allowed choices are full, normal\. Did you mean "full"\?/,
    ],
    [
      { env: { PARSL_COLLECTOR_STORE_MOD: "full" } },
      /variable PARSL_COLLECTOR_STORE_MOD: no option has this name; did you mean PARSL_COLLECTOR_STORE_MODE\?/,
    ],
    [
      { env: { PARSL_COLLECTOR_FOO: "full" } },
      /variable PARSL_COLLECTOR_FOO: no option has this name; remove it$/,
    ],
    [{ args: ["store", "--mode", "norma"] }, /Allowed choices are full, normal\. Did you mean "normal"\?/],
    [{ args: ["store", "--cuont", "1"] }, /unknown option '--cuont'\n\(Did you mean --count\?\)/],
  ];

  for (const [given, expected] of cases) t.regex(String(await optionsOf(given)), expected);
});

test("what another command takes, and what is no option, is left alone", async (t) => {
  const config = file(t, 'json = true\n[store]\ncount = 2\n[list]\ndatabase = "list"');
  const env = {
    PARSL_COLLECTOR_JSON: "true",
    PARSL_COLLECTOR_LIST_JSON: "nonsense",
    PARSL_COLLECTOR_NODE: "/usr/bin/node",
    PARSL_COLLECTOR_TEST_SEED: "1",
  };

  const options = await optionsOf({ args: ["store", "--config", config], env });

  t.like(options, { count: 2, database: undefined });
});

test("one that excludes an option of the command line gives way; two of one source are an error", async (t) => {
  const both = { PARSL_COLLECTOR_DATABASE: "file", PARSL_COLLECTOR_TO: "host:1" };

  const options = await optionsOf({ args: ["store", "--to", "host:2"], env: both });
  const error = await optionsOf({ env: both });

  t.like(options, { to: "host:2", database: undefined });
  t.regex(String(error), /variable PARSL_COLLECTOR_TO: cannot be used with --database; remove one of them/);
});

test("a command of the program runs with what a file says, and exits with 2 when it cannot", async (t) => {
  const missing = join(temporaryDirectory(t), "none.db");

  const run = await runToEnd(t, ["status", "--config", file(t, `[status]\ndatabase = "${missing}"`)]);
  const wrong = await runToEnd(t, ["status", "--config", file(t, "[serve]\nlisen = 1")]);

  t.is(run.exit, 1);
  t.regex(run.stderr, /none\.db: there is no such file/);
  t.is(wrong.exit, 2);
  t.regex(wrong.stderr, /lisen: serve has no such option; did you mean listen\?/);
});
