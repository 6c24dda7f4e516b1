import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { compile } from "./build.mjs";
import { runToEnd } from "./child.mjs";
import { countsOfAva, countsOfCheck, countsOfInterop, countsOfPytest } from "./counts.mjs";
import { environment, nodePath, root, venvPython } from "./repository.mjs";

/** A part of the suite: what it is called, how it is run and how its tests are counted. `onText` is given its
 *  output as it comes. */
/** @typedef {{
 *    name: string,
 *    run: (onText: (text: string) => void) => Promise<import("./child.mjs").Ended>,
 *    counts: (ended: import("./child.mjs").Ended) => import("./counts.mjs").Counts,
 *    progress?: RegExp,
 *  }} Step */

const checkBoundSeconds = 5 * 60;
const suiteBoundSeconds = 18 * 60;

/** Ruff's settings are those of python/, from where they hold for the other folders too. */
const pythonFolders = [
  "--config=pyproject.toml",
  ".",
  "../tests/parsl",
  "../tests/chaos",
  "../bench/parsl",
  "../demo",
];

/** Compiled first: the tests run what it makes.
 *  @type {Step} */
export const types = { name: "tsc", run: compile, counts: countsOfCheck };

/** Everything that reads and does not run. Each is one test.
 *  @returns {Step[]} */
export function checks() {
  return [
    check("eslint", "eslint", ["."]),
    check("prettier", "prettier", ["--check", "--log-level=warn", "."]),
    check("publint", "publint", ["--strict"]),
    check("attw", "attw", ["--pack", ".", "--profile", "esm-only"]),
    check("knip", "knip", ["--no-config-hints"]),
    check("ruff check", "ruff", ["check", "--quiet", ...pythonFolders], { cwd: join(root, "python") }),
    check("ruff format", "ruff", ["format", "--diff", ...pythonFolders], { cwd: join(root, "python") }),
    check("buf lint", "buf", ["lint"]),
    check("buf format", "buf", ["format", "--diff", "--exit-code"]),
    ...commitsToStayCompatibleWith().map((commit) =>
      check(`buf breaking ${commit}`, "buf", ["breaking", "--against", `.git#ref=${commit}`]),
    ),
    check("generated code", nodePath(), [join("scripts", "generate.mjs"), "--check"]),
  ];
}

/** The TypeScript tests; in a fast run without those that start programs.
 *  @returns {Step} */
export function ava({ fast }) {
  const files = fast ? testFiles().filter((name) => !startsPrograms(name)) : [];
  const compiled = files.map((name) => `build/${name.replace(/\.ts$/, ".js")}`);
  return suite("ava", nodePath(), [join("node_modules", "ava", "entrypoints", "cli.mjs"), ...compiled], {
    // ava's marks for a test depend on the terminal that it believes to have.
    env: { NO_COLOR: "1", FORCE_COLOR: "0", TERM: "dumb" },
    counts: countsOfAva,
    progress: /^ {2}✔ /gm,
  });
}

const inPythonTests = (name) => `python/tests/${name}`;

/** Files of python/tests that take about as long as all others together; and half of these. */
const longTests = ["test_shutdown.py", "test_workflows.py"].map(inPythonTests);
const radioTests = [
  "test_agent.py",
  "test_filesystem_road.py",
  "test_firewall.py",
  "test_local_agent.py",
  "test_radio.py",
  "test_roads.py",
  "test_security.py",
  "test_udp_road.py",
].map(inPythonTests);

/** Those that need no hub: of the wheel, and of what a program without a kernel calls (its client, its subscriber,
 *  executors). */
const packageTests = ["test_package.py"].map(inPythonTests);
const withoutHubTests = ["test_client.py", "test_subscribe.py", "test_attach.py"].map(inPythonTests);

/** The tests of the Python package but for its wheel's, in parts that may run side by side; a new file is among the
 *  rest. In a fast run only those that start no programs: of the encoding.
 *  @returns {Step[]} */
export function pytest({ fast }) {
  if (fast) return [ofPython("pytest python", ["python/tests/test_encode.py"])];
  return [
    ofPython("pytest python: the rest", [
      "python/tests",
      ...[...longTests, ...radioTests, ...packageTests, ...withoutHubTests].map((path) => `--ignore=${path}`),
    ]),
    ofPython("pytest python: radios", radioTests),
    ofPython("pytest python: long ones", longTests),
    ofPython("pytest python: no hub", withoutHubTests),
  ];
}

/** Those of its wheel, in an environment of its own.
 *  @returns {Step} */
export function pythonPackage() {
  return ofPython("pytest python: package", packageTests);
}

/** The clients in other languages, each built by its own tools; a language without them here is skipped by name.
 *  @returns {Step} */
export function interop() {
  return suite("interop", nodePath(), [join("build", "tests", "interop", "main.js")], {
    counts: countsOfInterop,
    progress: /^ {2}✔ /gm,
  });
}

/** Our file in Parsl's hands: every page of parsl-visualize.
 *  @returns {Step} */
export function visualize() {
  return ofPython("pytest tests/parsl", ["tests/parsl"]);
}

/** Parsl's own tests with our hub. They mostly wait, so they run as two halves side by side.
 *  @returns {Step[]} */
export function parslsOwn() {
  const script = join("tests", "parsl", "run_parsl_tests.py");
  return [
    suite("Parsl's own: std streams", venvPython, [script, "-v", "-rs", "-k", "stdstream"], ofPytest),
    suite("Parsl's own: the rest", venvPython, [script, "-v", "-rs", "-k", "not stdstream"], ofPytest),
  ];
}

// pytest writes a test's name when it begins and the word when it ends: they come apart.
const ofPytest = { env: { PYTHONUNBUFFERED: "1" }, counts: countsOfPytest, progress: /\bPASSED\b/g };

function ofPython(name, args) {
  return suite(name, venvPython, ["-m", "pytest", "-v", "-rs", ...args], ofPytest);
}

function check(name, command, args, { cwd } = {}) {
  const options = { cwd, boundSeconds: checkBoundSeconds };
  return { name, run: () => runToEnd(command, args, options), counts: countsOfCheck };
}

function suite(name, command, args, { env = {}, counts, progress }) {
  const options = { env: environment(env), boundSeconds: suiteBoundSeconds };
  return { name, run: (onText) => runToEnd(command, args, { ...options, onText }), counts, progress };
}

function testFiles() {
  const names = readdirSync(join(root, "tests"), { recursive: true });
  return names.filter((name) => name.endsWith(".test.ts")).map((name) => `tests/${name}`);
}

/** What a test imports shows it. */
function startsPrograms(name) {
  const text = readFileSync(join(root, name), "utf8");
  return /(\/support\/(collector|shared-browser|shared-collector|view)|\/run)\.js"|"node:child_process"/.test(
    text,
  );
}

/** The protos may not break what the last commit has; and after a commit, what the one before it had. Outside a git
 *  repository there is nothing to compare with. */
function commitsToStayCompatibleWith() {
  return ["HEAD", "HEAD~1"].filter((commit) => {
    try {
      execFileSync("git", ["cat-file", "-e", `${commit}:buf.yaml`], { cwd: root, stdio: "ignore" });
      return true;
    } catch {
      return false; // no git, no repository, or no such commit
    }
  });
}
