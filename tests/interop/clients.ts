import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** A program and its arguments. {node} and {python} stand for this Node and for the Python of .venv. */
type Command = readonly string[];

/** How one language's client is built and run: its `interop.json`. */
export interface Client {
  /** As a person writes it: "C++". */
  readonly language: string;
  /** Each ends with 0 where the language's tools are there. */
  readonly needs: readonly Command[];
  readonly build: readonly Command[];
  /** Longest that each of them, or of its tests, may take, where that is long: on a new machine they download what they
   *  need. */
  readonly timeoutSeconds?: number;
  /** The client's own tests, those of the vectors among them. */
  readonly test: readonly Command[];
  /** Sends the script: ADDRESS RUN_ID COUNT LANGUAGE. */
  readonly interop: Command;
  /** A workflow of its own, read back: ADDRESS DATABASE. */
  readonly example: Command;
  /** Where its commands run. */
  readonly folder: string;
}

/** All clients that say how they are run, those last that take long to build. */
export function allClients(): Client[] {
  const folders = ["python", ...readdirSync(join(root, "clients")).map((name) => `clients/${name}`)];
  return folders
    .map((name) => join(root, name))
    .filter((folder) => existsSync(join(folder, "interop.json")))
    .map((folder) => ({
      ...(JSON.parse(readFileSync(join(folder, "interop.json"), "utf8")) as Client),
      folder,
    }))
    .sort((a, b) => (a.timeoutSeconds ?? 0) - (b.timeoutSeconds ?? 0));
}

/** The first command that a client needs and that does not run here; undefined when all do. */
export function missingTool({ needs, folder }: Client): string | undefined {
  const missing = needs.find((command) => {
    const [program, args] = resolved(command);
    return spawnSync(program, args, { cwd: folder, stdio: "ignore" }).status !== 0;
  });
  return missing?.join(" ");
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  /** Of both outputs, as they came. */
  readonly output: string;
}

/** Runs a command of a client's to its end. It leads a process group, which ends after `boundSeconds`, or when the
 *  signal says so. */
export async function run(
  { folder }: Client,
  command: Command,
  boundSeconds: number,
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const [program, args] = resolved(command);
  const child = spawn(program, args, {
    cwd: folder,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const end = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // it has ended by itself
    }
  };
  let [stdout, output] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    output += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
  const late = setTimeout(() => {
    output += `\nnot done after ${String(boundSeconds)} s, and ended\n`;
    end();
  }, boundSeconds * 1_000);
  process.once("exit", end);
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return { code, stdout, output };
  } catch (cause) {
    return { code: null, stdout, output: `${program}: ${String(cause)}` };
  } finally {
    clearTimeout(late);
    process.off("exit", end);
  }
}

function resolved(command: Command): [string, string[]] {
  const places: Record<string, string> = {
    "{node}": process.execPath,
    "{python}": join(root, ".venv", "bin", "python"),
  };
  const [program = "", ...args] = command.map((word) => places[word] ?? word);
  return [program, args];
}
