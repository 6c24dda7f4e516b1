import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Writes the module that a page of docs/ tells as its example in JavaScript to a file from where the package can be
 *  imported as `parsl-collector`, and returns its path. */
export function exampleOf(page: string, name: string): string {
  const doc = readFileSync(new URL(`../../../docs/${page}`, import.meta.url), "utf8");
  const module = /```js\n([^]*?)```/.exec(doc)?.[1];
  if (module === undefined) throw new Error(`docs/${page} has no example in JavaScript`);
  const folder = fileURLToPath(new URL("../../example/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const path = `${folder}${name}`;
  writeFileSync(path, module);
  return path;
}
