/** Builds the Python package, a wheel and an sdist, with the whole collector inside: its program as one file, and
 *  beside it what that reads while it runs. The package needs no npm then, only a Node.
 *
 *  usage: node scripts/build-python.mjs [DIRECTORY]
 *
 *  DIRECTORY is where both are put; python/dist unless it is named. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";

import { build } from "esbuild";

import { endChildrenWithUs, runToEnd } from "./lib/child.mjs";
import { Problem, runScript } from "./lib/problem.mjs";
import { leastNode, root, venvPython } from "./lib/repository.mjs";

const boundSeconds = 5 * 60;

/** What packages read beside their code, by their places under node_modules: schemas, and SQLite for each platform
 *  that the Python package runs on. It wants fork and Unix sockets, so there is none for Windows. */
const assets = [
  "@grpc/grpc-js/proto/channelz.proto",
  "grpc-health-check/proto",
  "@grpc/reflection/build/proto/grpc",
  ...["linux-x64", "linux-arm64", "linuxmusl-x64", "linuxmusl-arm64", "darwin-x64", "darwin-arm64"].map(
    (platform) => `better-sqlite3/prebuilds/${platform}.node`,
  ),
];

/** Modules that run in threads of their own, by the names of their files, which differ. */
const threads = {
  "writer-thread": "./server/sinks/sqlite/writer-thread.js",
  "postgresql-thread": "./server/sinks/postgresql/postgresql-thread.js",
  "followers-thread": "./server/followers/followers-thread.js",
  "index-thread": "./view/index-thread.js",
  "why-thread": "./view/why-thread.js",
};

/** Packages look for their assets from `__dirname`, which a bundle in ESM has not: it becomes the package's folder beside
 *  the bundle. */
const withAssetsBesideIt = {
  name: "with-assets-beside-it",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\/node_modules\/.*\.c?js$/ }, ({ path }) => {
      const folder = JSON.stringify(dirname(relative(join(root, "node_modules"), path)));
      const beside = `require("path").join(besideBundle, ${folder})`;
      return { contents: readFileSync(path, "utf8").replace(/\b__dirname\b/g, beside) };
    });
  },
};

const target = resolve(process.argv[2] ?? join(root, "python", "dist"));

endChildrenWithUs();
await runScript("build:python", async () => {
  const stage = mkdtempSync(join(tmpdir(), "parsl-collector-python-"));
  try {
    for (const name of ["pyproject.toml", "README.md", "src"]) {
      cpSync(join(root, "python", name), join(stage, name), {
        recursive: true,
        filter: (path) => !/__pycache__|\.egg-info/.test(path),
      });
    }
    await bundle(join(stage, "src", "parsl_collector", "_program"));
    await pack(stage);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
});

/** Puts the program into `directory`, at the place that it has in the repository: so it finds package.json, and itself
 *  where it starts itself again. */
async function bundle(directory) {
  const main = join(directory, "build", "src", "cli", "main.js");
  const compiled = join(root, "build", "src");
  if (!existsSync(compiled)) throw new Problem(`bundle ${compiled}: it is not there; run \`npm run build\``);
  const { metafile } = await build({
    absWorkingDir: root,
    metafile: true,
    stdin: {
      contents: `
        const programs = { ${Object.entries({ main: "./cli/main.js", ...threads })
          .map(([name, path]) => `"${name}": () => import("${path}")`)
          .join(", ")} };
        await programs[globalThis.parslCollectorThread ?? "main"]();`,
      resolveDir: compiled,
    },
    outfile: main,
    bundle: true,
    platform: "node",
    target: `node${leastNode}`,
    format: "esm",
    minifySyntax: true,
    legalComments: "none",
    // For packages in CommonJS, which have no `import`.
    banner: {
      js:
        'import { createRequire } from "node:module"; const require = createRequire(import.meta.url); ' +
        "const besideBundle = import.meta.dirname;",
    },
    plugins: [withAssetsBesideIt],
  });
  // Threads are started from files of these names; the bundle is those threads too.
  for (const name of Object.keys(threads)) {
    const entry = `globalThis.parslCollectorThread = "${name}";\nawait import("./main.js");\n`;
    writeFileSync(join(dirname(main), `${name}.js`), entry);
  }
  for (const asset of assets) {
    const place = join(dirname(main), asset);
    mkdirSync(dirname(place), { recursive: true });
    cpSync(join(root, "node_modules", asset), place, { recursive: true });
  }
  // The page, which the program looks for where the repository has it. Its own licences are in it.
  const page = join("build", "web");
  cpSync(join(root, page), join(directory, page), { recursive: true });
  writeFileSync(join(directory, "LICENSES"), licensesOf(Object.keys(metafile.inputs)));
  const { name, version, type } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  writeFileSync(join(directory, "package.json"), `${JSON.stringify({ name, version, type })}\n`);
}

/** What the packages want to be said where they are handed on. */
function licensesOf(files) {
  const packages = new Set(
    files.map((file) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0]).filter(Boolean),
  );
  return [...packages]
    .sort()
    .flatMap((place) => {
      const name = readdirSync(join(root, place)).find((file) => /^licen[cs]e/i.test(file));
      const {
        name: title,
        version,
        license,
      } = JSON.parse(readFileSync(join(root, place, "package.json"), "utf8"));
      const text = name === undefined ? "" : readFileSync(join(root, place, name), "utf8").trim();
      return [`${title} ${version}: ${license}`, text, "-".repeat(80)];
    })
    .join("\n\n");
}

async function pack(stage) {
  const command = ["-m", "build", "--no-isolation", "--outdir", target, stage];
  const ended = await runToEnd(venvPython, command, { boundSeconds });
  if (ended.code !== 0) throw new Problem("pack the wheel: see what Python's build says above", ended.output);
  process.stdout.write(`${ended.output.trimEnd().split("\n").at(-1)}\n`);
}
