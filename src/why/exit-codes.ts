import { constants } from "node:os";

/** What the exit code of a bash app means, as a sentence. */
export function exitCodeMeaning(code: number): string {
  const known = meanings[code];
  if (known !== undefined) return known;
  const signal = code < 0 ? -code : code > 128 ? code - 128 : 0;
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  if (name === undefined) return "What this code means is up to the command.";
  const whom = code < 0 ? "the shell of the app was" : "a program that the app ran was";
  return `By this code ${whom} ended by the signal ${name}${signalHints[name] ?? ""}.`;
}

const meanings: Readonly<Record<number, string>> = {
  1: "Code 1 is the common word of programs for any failure.",
  2: "Code 2 is what the shell and many programs say of wrong options or a missing file.",
  124: "Code 124 is what `timeout` says of a command that took longer than it might.",
};

const signalHints: Readonly<Record<string, string>> = {
  SIGKILL:
    ", which is what the kernel's memory killer and batch systems send; memory was not seen near the node's limit",
  SIGSEGV: ": a crash in compiled code",
  SIGBUS: ": a crash in compiled code, or a file or shared memory that could not be read",
  SIGILL: ": it was compiled for another kind of CPU",
  SIGFPE: ": an error of arithmetic, as a division by zero",
  SIGABRT: ": it gave up by itself, as after a failed assertion",
  SIGTERM: ": somebody asked it to end, as a batch system does before the wall time is over",
  SIGPIPE: ": it wrote to a program that had ended",
};
