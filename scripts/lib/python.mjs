import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { Problem } from "./problem.mjs";
import { venvBin, venvPython } from "./repository.mjs";

/** Newest first after the system's own choice. */
const candidates = ["python3", "python3.13", "python3.12", "python3.11", "python3.10"];

/** What a candidate is asked: is it new enough, can it make a virtual environment with pip in it. */
const question = `
import sys
version = "%d.%d" % sys.version_info[:2]
try:
    import ensurepip, venv
    print(version, sys.version_info >= (3, 10), True)
except ImportError:
    print(version, sys.version_info >= (3, 10), False)
`;

/** The name and version of the first Python >= 3.10 that can make a virtual environment. Throws a Problem that
 *  names the command which installs what is missing. */
export function findPython() {
  const seen = candidates.map(ask).filter((answer) => answer !== undefined);
  const usable = seen.find(({ newEnough, makesVenv }) => newEnough && makesVenv);
  if (usable !== undefined) return usable;
  const withoutVenv = seen.find(({ newEnough }) => newEnough);
  if (withoutVenv !== undefined) {
    throw new Problem(
      `make the Python environment .venv: ${withoutVenv.name} (${withoutVenv.version}) lacks the modules venv and ` +
        "ensurepip; install them with `sudo apt-get install python3-venv`",
    );
  }
  const found = seen.map(({ name, version }) => `${name} is ${version}`).join(", ");
  throw new Problem(
    `make the Python environment .venv: no Python 3.10 or newer found${found === "" ? "" : ` (${found})`}; ` +
      "install one with `sudo apt-get install python3 python3-venv`",
  );
}

/** Makes the programs of .venv start in a folder whose path has a space. The first line of a program cannot quote:
 *  pip minds that in the programs that it makes, and not in those that a package brings, as Parsl's interchange.py
 *  and process_worker_pool.py. */
export function quoteInterpreters() {
  if (!/\s/.test(venvPython)) return;
  const unquoted = `#!${venvPython}\n`;
  const quoted = `#!/bin/sh\n'''exec' "${venvPython}" "$0" "$@"\n' '''\n`; // a text to Python, two commands to sh
  for (const file of readdirSync(venvBin).map((name) => join(venvBin, name))) {
    if (!statSync(file).isFile()) continue;
    const text = readFileSync(file, "latin1"); // byte for byte
    if (text.startsWith(unquoted)) writeFileSync(file, quoted + text.slice(unquoted.length), "latin1");
  }
}

function ask(name) {
  try {
    const answer = execFileSync(name, ["-c", question], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [version, newEnough, makesVenv] = answer.trim().split(" ");
    return { name, version, newEnough: newEnough === "True", makesVenv: makesVenv === "True" };
  } catch {
    return undefined; // no such program, or one that does not run: the next one may
  }
}
