import { InvalidArgumentError } from "commander";

export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (Number.isFinite(seconds) && seconds > 0) return seconds;
  throw new InvalidArgumentError(`expected a number of seconds above 0, got "${text}".`);
}
