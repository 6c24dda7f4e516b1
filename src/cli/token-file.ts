import { readFileSync, statSync } from "node:fs";

import { CollectorError, reasonOf } from "../base/errors.js";
import type { Token } from "../radios/grpc/access.js";

/** Characters of a token at least: 128 bits in base64. */
const leastTokenLength = 22;

/** The tokens in a file: a line for each with its name, the token, and the runs that it may write, if these are not
 *  those that it is the first to write: their ids, or "*" for all. Empty lines and those that begin with "#" say
 *  nothing. Throws a CollectorError. */
export function readTokens(path: string): Token[] {
  let text: string;
  try {
    refuseOpenToOthers(path);
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new CollectorError("invalid-argument", `read --token-file ${path}: ${reasonOf(cause)}`, { cause });
  }
  const tokens: Token[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const [name, token, ...runs] = line.split("#", 1)[0]?.trim().split(/\s+/) ?? [];
    if (name === undefined || name === "") continue;
    const problem = problemOf(name, token);
    if (problem !== undefined) {
      throw new CollectorError(
        "invalid-argument",
        `read --token-file ${path}, line ${String(index + 1)}: ${problem}`,
      );
    }
    tokens.push({
      name,
      token: token ?? "",
      runs: runs.length === 0 ? "own" : runs.includes("*") ? "all" : runs,
    });
  }
  if (tokens.length > 0) return tokens;
  throw new CollectorError(
    "invalid-argument",
    `read --token-file ${path}: there is no token in it; write a line as "alice $(openssl rand -base64 33)"`,
  );
}

/** The one token of a client, which --token-file names. Throws a CollectorError. */
export function readToken(path: string): string {
  const [first, ...others] = readTokens(path);
  if (first !== undefined && others.length === 0) return first.token;
  throw new CollectorError(
    "invalid-argument",
    `read --token-file ${path}: there are ${String(others.length + 1)} tokens in it, and one is needed`,
  );
}

function refuseOpenToOthers(path: string): void {
  const { mode } = statSync(path);
  if ((mode & 0o077) === 0) return;
  throw new Error(`others may read or write it (mode ${(mode & 0o777).toString(8)}); run chmod 600 ${path}`);
}

function problemOf(name: string, token: string | undefined): string | undefined {
  if (token === undefined)
    return `"${name}" has no token; write its name, the token, and the ids of runs, if any`;
  if (token.length < leastTokenLength) {
    return `the token of "${name}" is short enough to be guessed; take 32 random bytes, as by \`openssl rand -base64 33\``;
  }
  return undefined;
}
