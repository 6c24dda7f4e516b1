import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Writes the radio that docs/RADIOS.md tells as an example to a file from where the package can be imported as
 *  `parsl-collector`, and returns its path. */
export function exampleRadioPath(): string {
  const doc = readFileSync(new URL("../../../docs/RADIOS.md", import.meta.url), "utf8");
  const module = /```js\n([^]*?)```/.exec(doc)?.[1];
  if (module === undefined) throw new Error("docs/RADIOS.md has no example in JavaScript");
  const folder = fileURLToPath(new URL("../../example/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  const path = `${folder}http-radio.js`;
  writeFileSync(path, module);
  return path;
}
