import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { CollectorError, reasonOf } from "../base/errors.js";
import { nearestName } from "../base/names.js";
import type { Radio } from "./radio.js";

/** Radios by name. A module of a third party is found by its specifier, or by a path that begins with "./", "../"
 *  or "/". */
export class RadioRegistry {
  readonly #radios = new Map<string, Radio>();

  get names(): string[] {
    return [...this.#radios.keys()];
  }

  add(name: string, radio: Radio): this {
    if (this.#radios.has(name)) {
      throw new CollectorError("invalid-argument", `add radio "${name}": the name is taken; choose another`);
    }
    this.#radios.set(name, radio);
    return this;
  }

  get(name: string): Radio {
    const radio = this.#radios.get(name);
    if (radio === undefined) throw this.#unknown(name, "no radio has this name");
    return radio;
  }

  /** The radio of this name, or else the one that the module exports as `radio`; it keeps the specifier as its
   *  name. */
  async load(nameOrModule: string): Promise<Radio> {
    const known = this.#radios.get(nameOrModule);
    if (known !== undefined) return known;
    // From the user's place, not from this file's.
    const specifier = /^\.{0,2}\//.test(nameOrModule)
      ? pathToFileURL(resolve(nameOrModule)).href
      : nameOrModule;
    let exported: { readonly radio?: unknown };
    try {
      exported = (await import(specifier)) as typeof exported;
    } catch (cause) {
      throw this.#unknown(nameOrModule, `no radio has this name, and no module: ${reasonOf(cause)}`, cause);
    }
    if (!isRadio(exported.radio)) {
      throw this.#unknown(nameOrModule, "the module exports no `radio` with a function openSender");
    }
    this.add(nameOrModule, exported.radio);
    return exported.radio;
  }

  #unknown(name: string, reason: string, cause?: unknown): CollectorError {
    const near = nearestName(name, this.#radios.keys());
    const cure = near === undefined ? `known are ${this.names.join(", ")}` : `did you mean "${near}"?`;
    return new CollectorError("invalid-argument", `load radio "${name}": ${reason}; ${cure}`, { cause });
  }
}

function isRadio(value: unknown): value is Radio {
  return (
    typeof value === "object" &&
    value !== null &&
    "openSender" in value &&
    typeof value.openSender === "function"
  );
}
