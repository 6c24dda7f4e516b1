import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import test, { type ExecutionContext } from "ava";
import { DockerfileParser, type Copy } from "dockerfile-ast";
import { validate } from "dockerfile-utils";

import { runToEnd } from "../support/run.js";
import { temporaryDirectory } from "../support/temporary-directory.js";

/** The examples in ops/: that their syntax is right, and that what they name is there. */

const root = fileURLToPath(new URL("../../../", import.meta.url));
const read = (name: string): string => readFileSync(join(root, "ops", name), "utf8");

/** What systemd says of a unit; nothing when it is right. Undefined where systemd is not installed. */
function complaints(t: ExecutionContext, unit: string): string | undefined {
  const path = join(temporaryDirectory(t), "parsl-collector.service");
  // Of the programs that it names only this one is here.
  writeFileSync(path, unit.replace("/usr/bin/node ", `${process.execPath} `));
  const { error, stderr } = spawnSync("systemd-analyze", ["verify", path], { encoding: "utf8" });
  return error === undefined ? stderr : undefined;
}

test("the systemd unit is one that systemd takes without complaint", (t) => {
  const unit = read("parsl-collector.service");

  const said = complaints(t, unit);
  if (said === undefined) {
    t.log("not tested: systemd-analyze is not installed");
    t.pass();
    return;
  }

  t.is(said, "");
  t.regex(
    complaints(t, unit.replace("RestartSec=2", "RestartSecs=2")) ?? "",
    /Unknown key (name )?'RestartSecs'/,
  );
  t.regex(complaints(t, unit.replace("Restart=always", "Restart=allways")) ?? "", /Failed to parse/);
});

test("the container file is valid, and copies only what is there", (t) => {
  const content = read("Containerfile");
  const file = DockerfileParser.parse(content);
  const own = file.getCOPYs().filter((copy) => stageOf(copy) === undefined);
  const sources = own.flatMap((copy) =>
    copy
      .getArguments()
      .slice(0, -1)
      .map((argument) => argument.getValue()),
  );

  t.deepEqual(
    validate(content).map(({ message }) => message),
    [],
  );
  t.true(validate(content.replace("USER node", "USERS node")).length > 0, "or it would take anything");
  t.true(sources.length > 3);
  for (const source of sources) t.true(existsSync(join(root, source)), source);
});

test("the container runs as another user than root what its first stage has built, and looks after its health", (t) => {
  const file = DockerfileParser.parse(read("Containerfile"));
  const stages = file.getFROMs();
  const last = stages.at(-1)?.getRange().start.line ?? 0;
  const final = file.getInstructions().filter((one) => one.getRange().start.line > last);
  const user = final.findLast((one) => one.getInstruction() === "USER");
  const copied = file.getCOPYs().flatMap((copy) => stageOf(copy) ?? []);

  t.deepEqual(
    stages.map((stage) => stage.getBuildStage()),
    ["build", null],
  );
  t.deepEqual([...new Set(copied)], ["build"]);
  t.is(user?.getArgumentsContent(), "node");
  t.is(file.getENTRYPOINTs()[0]?.getArgumentsContent(), '["node", "build/src/cli/main.js"]');
  t.is(file.getHEALTHCHECKs().length, 1);
  t.true(existsSync(join(root, "build/src/cli/main.js")));
});

test("every option in the config file and in the container's variables is one that there is", async (t) => {
  const variables = DockerfileParser.parse(read("Containerfile"))
    .getENVs()
    .flatMap((env) => env.getProperties())
    .map((property): [string, string] => [property.getName(), property.getValue() ?? ""])
    .filter(([name]) => name.startsWith("PARSL_COLLECTOR_"));
  const none = join(temporaryDirectory(t), "none.db");
  // Any command checks all of them, and this one does nothing else.
  const args = ["status", "--database", none, "--config", join(root, "ops/collector.toml")];

  const { exit, stderr } = await runToEnd(t, args, { env: Object.fromEntries(variables) });

  t.is(exit, 1, stderr);
  t.regex(stderr, /none\.db: there is no such file/);
  t.true(variables.length > 3);
});

function stageOf(copy: Copy): string | undefined {
  return (
    copy
      .getFlags()
      .find((flag) => flag.getName() === "from")
      ?.getValue() ?? undefined
  );
}
