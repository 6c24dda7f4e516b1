/** Makes a fresh clone ready: npm packages, the Python environment .venv, the compiled TypeScript. A step whose
 *  inputs have not changed costs nothing. Runs on any Node >= 20, with Node's own modules only.
 *
 *  usage: node scripts/setup.mjs [--no-build] */
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { compile, isCompiled } from "./lib/build.mjs";
import { endChildrenWithUs, runToEnd, toldToEnd } from "./lib/child.mjs";
import { Problem, runScript } from "./lib/problem.mjs";
import { findPython, quoteInterpreters } from "./lib/python.mjs";
import { leastNode, leastNodeOfSetup, nodeMajor, nodePath, root, venvPython } from "./lib/repository.mjs";
import { forget, hashOf, isDone, markDone } from "./lib/stamp.mjs";

/** A download that stalls must not hold a CI for ever. */
const installBoundSeconds = 15 * 60;

/** The package of the checkout alone that brings a Node where there is one for this machine. */
const nodeOfCheckout = "scripts/node";

const wantsBuild = !process.argv.includes("--no-build");

endChildrenWithUs();
await runScript("setup", async () => {
  if (nodeMajor() < leastNodeOfSetup) {
    throw new Problem(
      `run on Node ${process.versions.node}: Node ${leastNodeOfSetup} or newer is needed; ` +
        "install one with `sudo apt-get install nodejs npm`, or from nodejs.org where your system's is older",
    );
  }
  // Both mostly wait for the network.
  const results = await Promise.allSettled([installNpmPackages(), installPythonPackages()]);
  const failed = results.find(({ status }) => status === "rejected");
  if (failed !== undefined) throw failed.reason;
  if (wantsBuild) await build();
});

async function installNpmPackages() {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const node = JSON.parse(readFileSync(join(root, nodeOfCheckout, "package.json"), "utf8"));
  const wanted = dependenciesOf(manifest, node);
  const lockAgrees = JSON.stringify(wanted) === JSON.stringify(wantedByLock());
  const hash = () =>
    hashOf({
      texts: [JSON.stringify([wanted, manifest.allowScripts])],
      paths: ["package-lock.json", ".npmrc"],
    });
  const installed = existsSync(join(root, "node_modules", ".package-lock.json"));
  if (!installed || !isDone("npm", hash())) {
    // npm itself, by the Node that it runs on: node_modules/.bin/node is about to be replaced.
    const [command, ...args] =
      process.env.npm_execpath === undefined
        ? ["npm"]
        : [process.env.npm_node_execpath ?? process.execPath, process.env.npm_execpath];
    const act = lockAgrees ? "ci" : "install";
    await step(`npm ${act}`, command, [...args, act, "--loglevel=error"], {
      cure: "see what npm says above; npm itself comes with `sudo apt-get install npm`",
    });
    markDone("npm", hash());
  }
  if (nodePath() === process.execPath && nodeMajor() < leastNode) {
    throw new Problem(
      `find a Node for the collector: this machine (${process.platform} ${process.arch}) has no Node in the lockfile and ` +
        `runs Node ${process.versions.node}; put a Node ${leastNode} or newer first in PATH`,
    );
  }
}

/** The dependencies as package-lock.json has them; undefined without one. */
function wantedByLock() {
  const lock = join(root, "package-lock.json");
  if (!existsSync(lock)) return undefined;
  const { packages } = JSON.parse(readFileSync(lock, "utf8"));
  return dependenciesOf(packages[""], packages[nodeOfCheckout]);
}

function dependenciesOf(manifest, node) {
  return [manifest.dependencies, manifest.devDependencies, node?.optionalDependencies];
}

async function installPythonPackages() {
  if (lstatSync(join(root, ".venv"), { throwIfNoEntry: false })?.isSymbolicLink()) {
    throw new Problem("make .venv: it is a link to another place's, which would be emptied; remove the link");
  }
  // An environment knows its own place: one that was moved is made anew.
  if (!existsSync(venvPython) || !isDone("venv", hashOf({}))) {
    const python = findPython();
    await step(`make .venv with Python ${python.version}`, python.name, ["-m", "venv", "--clear", ".venv"], {
      cure: "see what Python says above; its venv comes with `sudo apt-get install python3-venv`",
    });
    markDone("venv", hashOf({}));
    forget("python");
  }
  const requirements = "python/requirements-dev.txt";
  const hash = hashOf({ paths: [requirements, "python/pyproject.toml"] });
  if (isDone("python", hash)) return;
  const install = ["-m", "pip", "--disable-pip-version-check", "--quiet", "install"];
  await step("pip install", venvPython, [...install, "-r", requirements, "-e", "python"], {
    cure: "see what pip says above",
  });
  quoteInterpreters();
  markDone("python", hash);
}

async function build() {
  if (isCompiled()) return;
  say("compile");
  const { code, output } = await compile();
  if (code !== 0) throw new Problem("compile: see the compiler's errors above", output);
}

async function step(name, command, args, { cure }) {
  say(name);
  const ended = await runToEnd(command, args, { boundSeconds: installBoundSeconds });
  if (toldToEnd()) throw new Problem(`${name}: ended by a signal; the next set-up goes on from here`);
  if (ended.timedOut)
    throw new Problem(`${name}: not done after ${installBoundSeconds} s; ${cure}`, ended.output);
  if (ended.code !== 0) throw new Problem(`${name}: failed; ${cure}`, ended.output);
  say(`${name}: done in ${Math.round(ended.seconds)} s`);
}

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}
