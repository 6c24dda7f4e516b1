import { InvalidArgumentError } from "commander";

/** Takes the value of --listen. */
export function parseListen(text: string): string {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[2]) > 65_535) {
    throw new InvalidArgumentError(
      `expected host:port with a port from 0 to 65535, as 127.0.0.1:0, got "${text}".`,
    );
  }
  return text;
}
