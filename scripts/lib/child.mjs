import { spawn } from "node:child_process";

import { environment, root } from "./repository.mjs";

/** Between SIGTERM and SIGKILL, in ms: the time of a program to end its own children. */
const graceMs = 5_000;

/** Longest wait for the rest of the output of a program that has ended, in ms. A process that it left behind may
 *  hold the pipe for ever. */
const lastOutputMs = 1_000;

const running = new Set();
let stopped = false;

/** A program that ran: its exit code (null when a signal ended it), its output and how long it took. */
/** @typedef {{ code: number | null, output: string, seconds: number, timedOut: boolean }} Ended */

/** Runs a program in the repository and resolves at its end, however it ends. It leads a process group, so that
 *  what it started ends with it.
 *  @param {string} command
 *  @param {readonly string[]} args
 *  @param {{ cwd?: string, env?: NodeJS.ProcessEnv, boundSeconds?: number, onText?: (text: string) => void }} options
 *  @returns {Promise<Ended>} */
export function runToEnd(command, args, { cwd = root, env = environment(), boundSeconds, onText } = {}) {
  const began = performance.now();
  const pieces = [];
  let timedOut = false;
  return new Promise((resolve) => {
    const ended = (code, problem = "") => {
      clearTimeout(bound);
      running.delete(child);
      child.stdout?.destroy();
      child.stderr?.destroy();
      const output = pieces.join("") + problem;
      resolve({ code, output, seconds: (performance.now() - began) / 1_000, timedOut });
    };
    const child = spawn(command, args, { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    running.add(child);
    const bound =
      boundSeconds === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            endGroup(child);
          }, boundSeconds * 1_000);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        pieces.push(text);
        onText?.(text);
      });
    }
    child.on("error", (error) => {
      ended(null, `${command}: ${error.message}\n`);
    });
    child.on("close", (code) => {
      ended(code);
    });
    child.on("exit", (code) => setTimeout(ended, lastOutputMs, code).unref());
    if (stopped) endGroup(child);
  });
}

/** Ends what still runs when the script itself is told to end, then the script. */
export function endChildrenWithUs() {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      stopped = true;
      process.exitCode = 1;
      for (const child of running) endGroup(child);
    });
  }
}

/** Whether the script has been told to end. */
export function toldToEnd() {
  return stopped;
}

function endGroup(child) {
  signalGroup(child, "SIGTERM");
  setTimeout(() => {
    signalGroup(child, "SIGKILL");
  }, graceMs).unref();
}

function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== "ESRCH") throw error; // it has ended by itself
  }
}
