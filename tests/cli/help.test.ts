import test from "ava";
import type { Command } from "commander";

import { wholeProgram } from "../../src/cli/program.js";
import { noOptions, takeSettings, variableName } from "../../src/cli/settings.js";

/** What the help of all commands has in common. */

/** Commands that run until they are told to end; what they print is a line of JSON already. */
const standing = ["serve", "agent", "view"];

async function program(): Promise<Command> {
  const whole = await wholeProgram();
  takeSettings(whole, {}, wholeProgram);
  return whole;
}

function helpOf(command: Command): string {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  return help;
}

function actionsOf(command: Command): Command[] {
  return command.commands.flatMap((one) => (one.commands.length > 0 ? actionsOf(one) : [one]));
}

test("the program lists its commands with a line each, and says what its exit codes mean", async (t) => {
  const whole = await program();
  const help = helpOf(whole);

  for (const command of whole.commands) {
    t.true(command.summary().length > 0 && command.summary().length < 70, command.name());
    t.true(help.includes(command.name()), command.name());
  }
  t.regex(help, /Exit codes: 0 done, 1 failed, 2 bad options/);
  t.regex(help, /\n {2}--version /);
});

test("the help of each command has an example, its exit codes, and where its options come from", async (t) => {
  const whole = await program();

  for (const command of whole.commands) {
    const help = helpOf(command);
    t.regex(help, /Exit codes: 0 .*, 1 .*, 2 bad options/, command.name());
    t.regex(help, /Examples?[^\n]*:\n {2}parsl-collector /, command.name());
  }
  for (const command of actionsOf(whole)) {
    const help = helpOf(command);
    t.regex(help, /Exit codes: /, command.name());
    t.regex(help, /from the environment, as PARSL_COLLECTOR_[A-Z_]+, and from --config/, command.name());
  }
});

test("each command that prints data does so as JSON too", async (t) => {
  for (const command of actionsOf(await program())) {
    if (standing.includes(command.name())) continue;
    t.true(
      command.options.some(({ long }) => long === "--json"),
      command.name(),
    );
  }
});

test("no variable means options of two names, and none is kept for something else", async (t) => {
  const meaning = new Map<string, string>();
  for (const command of actionsOf(await program())) {
    const outer = command.parent?.parent == null ? command.name() : command.parent.name();
    for (const option of command.options) {
      for (const words of [[option.name()], [outer, option.name()]]) {
        const variable = variableName(words);
        t.false(noOptions.test(variable), variable);
        t.is(meaning.get(variable) ?? words.join(" "), words.join(" "), variable);
        meaning.set(variable, words.join(" "));
      }
    }
  }
});
