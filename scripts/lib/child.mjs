import { spawn } from "node:child_process";

import { environment, root } from "./repository.mjs";

/** Between SIGTERM and SIGKILL, in ms: the time of a program to end its own children. */
const graceMs = 5_000;

/** Longest wait for the rest of the output of a program that has ended, in ms. A process that it left behind may
 *  hold the pipe for ever. */
const lastOutputMs = 1_000;

const running = new Set();
let stopped = false;

/** A program that ran: its exit code (128 and its number when a signal ended it, null when it could not be started), its
 *  output, how long it took, and the CPU of it and of all that it waited for (NaN when nobody was left to tell). */
/** @typedef {{
 *    code: number | null,
 *    output: string,
 *    seconds: number,
 *    cpuSeconds: number,
 *    timedOut: boolean,
 *  }} Ended */

/** The exit code of a program that is not there. */
export const notFound = 127;

/** Runs the program that its arguments are and tells the CPU time on descriptor 3. It outlives a signal to the group
 *  until the program has ended, too. */
const timing = 'trap : HUP INT TERM; "$@" 3>&-; code=$?; times >&3; exit $code';

/** Runs a program in the repository and resolves at its end, however it ends. It leads a process group, so that
 *  what it started ends with it.
 *  @param {string} command
 *  @param {readonly string[]} args
 *  @param {{ cwd?: string, env?: NodeJS.ProcessEnv, boundSeconds?: number, onText?: (text: string) => void }} options
 *  @returns {Promise<Ended>} */
export function runToEnd(command, args, { cwd = root, env = environment(), boundSeconds, onText } = {}) {
  const began = performance.now();
  const pieces = [];
  let times = "";
  let timedOut = false;
  return new Promise((resolve) => {
    const ended = (code, problem = "") => {
      clearTimeout(bound);
      running.delete(child);
      child.stdout?.destroy();
      child.stderr?.destroy();
      const output = pieces.join("") + problem;
      const seconds = (performance.now() - began) / 1_000;
      resolve({ code, output, seconds, cpuSeconds: cpuSecondsOf(times), timedOut });
    };
    const child = spawn("sh", ["-c", timing, "sh", command, ...args], {
      cwd,
      env,
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
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
    child.stdio[3].setEncoding("utf8").on("data", (text) => (times += text));
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

/** Of what `times` says: user and system time of the shell, and in the second line those of its children. */
function cpuSecondsOf(times) {
  const [, children = ""] = times.split("\n");
  const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].map(
    (time) => Number(time[1]) * 60 + Number(time[2]),
  );
  return seconds.length === 0 ? NaN : seconds.reduce((sum, one) => sum + one);
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
