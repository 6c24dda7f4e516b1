import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { CollectorError } from "../base/errors.js";

/** What `npm run build` makes of src/web. */
const webDirectory = fileURLToPath(new URL("../../web/", import.meta.url));

const types: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/** A file of the page. */
export interface Asset {
  readonly type: string;
  readonly content: Uint8Array<ArrayBuffer>;
}

/** The page's files. They are named when it is opened: nothing else is ever read for a request. */
export class Pages {
  readonly #paths = new Map<string, string>();
  /** The page, for each of its addresses. */
  readonly html: string;

  /** Throws a CollectorError where the page was not built. */
  constructor(directory: string = webDirectory) {
    const html = join(directory, "index.html");
    if (!existsSync(html)) {
      throw new CollectorError("internal", `open the page ${html}: it is not there; run \`npm run build\``);
    }
    this.html = readFileSync(html, "utf8");
    const assets = join(directory, "assets");
    for (const name of existsSync(assets) ? readdirSync(assets) : [])
      this.#paths.set(name, join(assets, name));
  }

  asset(name: string): Asset | undefined {
    const path = this.#paths.get(name);
    if (path === undefined) return undefined;
    const type = types[extname(name)] ?? "application/octet-stream";
    return { type, content: new Uint8Array(readFileSync(path)) };
  }
}
