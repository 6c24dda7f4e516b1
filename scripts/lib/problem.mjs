/** Something that the user must do something about. It is shown without a stack. */
export class Problem extends Error {
  /** @param {string} message  the act, the object, the reason and the cure
   *  @param {string} [output]  what the program that failed said */
  constructor(message, output = "") {
    super(message);
    this.output = output;
  }
}

/** Runs a script's main function; a Problem ends it with its text and exit code 1.
 *  @param {string} script @param {() => Promise<void>} main */
export async function runScript(script, main) {
  try {
    await main();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.output.trim() !== "") process.stderr.write(`${error.output.trimEnd()}\n\n`);
    process.stderr.write(`${script}: ${error.message}\n`);
    process.exitCode = 1;
  }
}
