import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

import { build } from "esbuild";

import { root } from "./repository.mjs";

/** Puts the page into build/web: index.html, and under assets/ what it loads, with names that change with their content,
 *  so that a browser may keep them for ever. Rejects where the sources do not bundle. */
export async function buildWeb() {
  const output = join(root, "build", "web");
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const worker = await bundle(join(output, "assets"), "pages/graph-worker.ts");
  // The page starts it by this address: esbuild itself does not follow `new Worker(…)`.
  const graphWorker = `/assets/${basename(worker.script)}`;
  const { script, cssBundle } = await bundle(join(output, "assets"), "main.tsx", { graphWorker });
  const tags = [
    `<script type="module" src="/assets/${basename(script)}"></script>`,
    ...(cssBundle === undefined ? [] : [`<link rel="stylesheet" href="/assets/${basename(cssBundle)}" />`]),
  ];
  const page = readFileSync(join(root, "src", "web", "index.html"), "utf8");
  writeFileSync(join(output, "index.html"), page.replace("</head>", `  ${tags.join("\n    ")}\n  </head>`));
}

/** Bundles what the entry point of src/web loads, with `constants` as globals; its script and its styles by path. */
async function bundle(outdir, entryPoint, constants = {}) {
  const { metafile } = await build({
    absWorkingDir: join(root, "src", "web"),
    entryPoints: [entryPoint],
    outdir,
    entryNames: "[name]-[hash]",
    chunkNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    minify: true,
    legalComments: "linked",
    define: {
      "process.env.NODE_ENV": '"production"',
      ...Object.fromEntries(Object.entries(constants).map(([name, value]) => [name, JSON.stringify(value)])),
    },
    loader: { ".svg": "file", ".woff2": "file" },
    metafile: true,
    logLevel: "error",
  });
  const entry = Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === entryPoint);
  if (entry === undefined) throw new Error(`build the page: esbuild names no output of ${entryPoint}`);
  const [script, { cssBundle }] = entry;
  return { script, cssBundle };
}
