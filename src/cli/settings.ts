import { readFileSync } from "node:fs";
import { extname } from "node:path";

import { InvalidArgumentError, type Command, type Option } from "commander";

import { hasCode, reasonOf } from "../base/errors.js";
import { nearestName } from "../base/names.js";

/** What the names of all variables begin with. */
const prefix = "PARSL_COLLECTOR_";

/** Variables of this prefix that are no options: what Python looks for, and what the tests of this repository take. */
export const noOptions = /^PARSL_COLLECTOR_(NODE|SERVER|(TEST|CHAOS|MODEL|FUZZ)_\w+)$/;

/** An environment that says no option. */
export function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !name.startsWith(prefix) || noOptions.test(name)),
  );
}

/** Where an option was said, the stronger first; the command line is stronger than both. */
const sources = ["env", "config"] as const;

/** One option as the environment or a file says it. */
interface Setting {
  readonly option: Option;
  /** For a person: the variable, or the file and the key in it. */
  readonly where: string;
  readonly value: unknown;
}

/** What a file says: options by their long names, and tables of them by the names of commands. */
type ConfigFile = Readonly<Record<string, unknown>>;

/** The options of each command by their long names. `rejected list` and its like count as `rejected`. */
type KnownOptions = ReadonlyMap<string, ReadonlyMap<string, Option>>;

/** Lets every command of a program take its options from the environment and from a file as well, and names the
 *  likely meaning of a misspelt value. `whole` gives the program with all commands, which is needed only to tell a
 *  setting of another command from a misspelt one. */
export function takeSettings(
  program: Command,
  env: Readonly<Record<string, string | undefined>>,
  whole: () => Promise<Command>,
): void {
  for (const command of actionsOf(program)) {
    command.options.forEach(suggestChoice);
    const example = variableName([commandName(command), command.options[0]?.name() ?? "config"]);
    command
      .option("--config <file>", "TOML or JSON file with options by their long names")
      .addHelpText(
        "after",
        `\nOptions also come from the environment, as ${example}, and from --config, in this order\n` +
          "after the command line; docs/OPERATIONS.md has the rules.",
      );
  }
  program.hook("preAction", (_, command) => applySettings(command, env, whole));
}

/** The commands that do something; others only hold them. */
function actionsOf(command: Command): Command[] {
  return command.commands.flatMap((one) => (one.commands.length > 0 ? actionsOf(one) : [one]));
}

/** The first word after the program's name. */
function commandName(command: Command): string {
  const { parent } = command;
  return parent === null || parent.parent === null ? command.name() : commandName(parent);
}

function suggestChoice(option: Option): void {
  const { argChoices: choices, parseArg } = option;
  if (choices === undefined || parseArg === undefined) return;
  option.argParser((text: string, before: unknown) => {
    const near = choices.includes(text) ? undefined : nearestName(text, choices);
    if (near === undefined) return parseArg(text, before);
    throw new InvalidArgumentError(`Allowed choices are ${choices.join(", ")}. Did you mean "${near}"?`);
  });
}

async function applySettings(
  command: Command,
  env: Readonly<Record<string, string | undefined>>,
  whole: () => Promise<Command>,
): Promise<void> {
  const name = commandName(command);
  const variables = new Map(
    Object.entries(env).filter(
      ([variable, value]) => variable.startsWith(prefix) && !noOptions.test(variable) && value !== "",
    ),
  );
  const said = { env: fromEnvironment(command, name, variables), config: [] as Setting[] };
  if (said.env.length < variables.size) checkVariables(command, variables, knownOptions(await whole()));
  const path = configPath(command, said.env);
  if (path !== undefined) {
    const file = await readConfig(command, path);
    checkFile(command, path, file, knownOptions(await whole()));
    said.config = fromFile(command, name, path, file);
  }
  for (const source of sources) {
    for (const setting of said[source]) apply(command, setting, source);
  }
}

function configPath(command: Command, fromEnv: readonly Setting[]): string | undefined {
  const { config } = command.opts<{ readonly config?: string }>();
  return config ?? fromEnv.find(({ option }) => option.name() === "config")?.value?.toString();
}

/** Those of a variable for this command alone come first, so that they win. */
function fromEnvironment(
  command: Command,
  name: string,
  variables: ReadonlyMap<string, string | undefined>,
): Setting[] {
  const settings = [[name], []].map((scope) =>
    command.options.flatMap((option) => {
      const variable = variableName([...scope, option.name()]);
      const value = variables.get(variable);
      if (value === undefined) return [];
      return [{ option, where: `variable ${variable}`, value: isList(option) ? value.split(",") : value }];
    }),
  );
  return settings.flat();
}

function fromFile(command: Command, name: string, path: string, file: ConfigFile): Setting[] {
  const table = file[name];
  return [isTable(table) ? table : {}, file].flatMap((options) =>
    command.options.flatMap((option) => {
      const value = options[option.name()];
      if (value === undefined || isTable(value)) return [];
      return [{ option, where: `config file ${path}: ${option.name()}`, value }];
    }),
  );
}

/** Gives the option its value, unless it, or one that excludes it, was said where it counts more. */
function apply(command: Command, { option, where, value }: Setting, source: (typeof sources)[number]): void {
  const isSaid = (one: Option): boolean => {
    const said = command.getOptionValueSource(one.attributeName());
    return said !== undefined && said !== "default";
  };
  if (isSaid(option)) return;
  const rival = command.options.find(
    (one) => isSaid(one) && (excludes(one, option) || excludes(option, one)),
  );
  if (rival !== undefined) {
    if (command.getOptionValueSource(rival.attributeName()) !== source) return;
    command.error(`error: ${where}: cannot be used with --${rival.name()}; remove one of them`);
  }
  try {
    command.setOptionValueWithSource(option.attributeName(), valueOf(option, value), source);
  } catch (cause) {
    if (!(cause instanceof InvalidArgumentError)) throw cause;
    command.error(`error: ${where}: ${cause.message}`);
  }
}

function excludes(one: Option, other: Option): boolean {
  // Not in commander's types.
  const { conflictsWith } = one as Option & { readonly conflictsWith: readonly string[] };
  return conflictsWith.includes(other.attributeName());
}

/** What the command line would have made of it. Throws an InvalidArgumentError. */
function valueOf(option: Option, given: unknown): unknown {
  const isFlag = !option.required && (!option.optional || typeof given === "boolean");
  if (isFlag) return flagOf(option, given);
  const parts: unknown[] = isList(option) && Array.isArray(given) ? given : [given];
  return parts.reduce((before: unknown, part) => {
    if (typeof part !== "string" && typeof part !== "number") {
      const wanted = isList(option) ? "texts in a list" : "a text or a number";
      throw new InvalidArgumentError(`expected ${wanted}, got ${JSON.stringify(part)}.`);
    }
    const text = String(part).trim();
    if (option.parseArg !== undefined) return option.parseArg(text, before);
    return isList(option) ? [...(before as unknown[]), text] : text;
  }, option.defaultValue);
}

function flagOf(option: Option, given: unknown): boolean {
  const [isOn, isOff] = [
    ["true", "1"],
    ["false", "0"],
  ].map((texts) => texts.includes(String(given)));
  if (isOn === isOff) {
    throw new InvalidArgumentError(`expected true or false, got ${JSON.stringify(given)}.`);
  }
  return isOn !== option.negate;
}

function isList(option: Option): boolean {
  return option.variadic || Array.isArray(option.defaultValue);
}

function isTable(value: unknown): value is ConfigFile {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

async function readConfig(command: Command, path: string): Promise<ConfigFile> {
  try {
    const text = readFileSync(path, "utf8");
    const parse = extname(path) === ".json" ? JSON.parse : (await import("smol-toml")).parse;
    const file: unknown = parse(text);
    if (isTable(file)) return file;
  } catch (cause) {
    const isMissing = hasCode(cause, "ENOENT");
    const reason = isMissing ? "there is no such file" : reasonOf(cause).trimEnd();
    const cure = isMissing ? "name one that is there" : "correct it (TOML, or JSON in a file named *.json)";
    command.error(`error: config file ${path}: ${reason}; ${cure}`);
  }
  return command.error(`error: config file ${path}: it holds no options by name; write {"option": value}`);
}

function knownOptions(whole: Command): KnownOptions {
  const known = new Map<string, Map<string, Option>>();
  for (const command of actionsOf(whole)) {
    const name = commandName(command);
    const options = known.get(name) ?? new Map<string, Option>();
    for (const option of command.options) options.set(option.name(), option);
    known.set(name, options);
  }
  return known;
}

function checkVariables(
  command: Command,
  variables: ReadonlyMap<string, string | undefined>,
  known: KnownOptions,
): void {
  const names = [...known].flatMap(([name, options]) =>
    [...options.keys()].flatMap((option) => [variableName([option]), variableName([name, option])]),
  );
  const unknown = [...variables.keys()].find((variable) => !names.includes(variable));
  if (unknown === undefined) return;
  // Without what all have in common, which would make any two of them alike.
  const ends = names.map((name) => name.slice(prefix.length));
  const near = nearestName(unknown.slice(prefix.length), ends);
  const cure = near === undefined ? "remove it" : `did you mean ${prefix}${near}?`;
  command.error(`error: variable ${unknown}: no option has this name; ${cure}`);
}

function checkFile(command: Command, path: string, file: ConfigFile, known: KnownOptions): void {
  const fail = (key: string, reason: string, names: Iterable<string>): never => {
    const near = nearestName(key, names);
    const cure = near === undefined ? "remove it" : `did you mean ${near}?`;
    return command.error(`error: config file ${path}: ${key}: ${reason}; ${cure}`);
  };
  const everywhere = new Set([...known.values()].flatMap((options) => [...options.keys()]));
  everywhere.delete("config");
  for (const [key, value] of Object.entries(file)) {
    const options = known.get(key);
    if (!isTable(value)) {
      if (!everywhere.has(key)) fail(key, "no option has this name", everywhere);
    } else if (options === undefined) {
      fail(key, "no command has this name", known.keys());
    } else {
      const unknown = Object.keys(value).find((name) => !options.has(name) || name === "config");
      if (unknown !== undefined) fail(unknown, `${key} has no such option`, options.keys());
    }
  }
}

/** "PARSL_COLLECTOR_SERVE_LOG_LEVEL" of ["serve", "log-level"]. */
export function variableName(words: readonly string[]): string {
  return prefix + words.join("_").replaceAll("-", "_").toUpperCase();
}
