import { writeFileSync } from "node:fs";
import { registerHooks } from "node:module";

/** Imported before a program: writes the URLs of all modules that it loaded to the file LOADED_MODULES when it ends. */
const urls: string[] = [];
registerHooks({
  load(url, context, nextLoad) {
    urls.push(url);
    return nextLoad(url, context);
  },
});
process.on("exit", () => {
  writeFileSync(process.env["LOADED_MODULES"] ?? "", urls.join("\n"));
});
