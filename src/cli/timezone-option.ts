import { InvalidArgumentError } from "commander";

import { tryUseTimezone } from "../model/time.js";

/** Takes the value of --timezone, and makes it the zone of this process. */
export function parseTimezone(name: string): string {
  if (tryUseTimezone(name)) return name;
  throw new InvalidArgumentError(`expected a zone of the tz database, as Europe/Berlin, got "${name}".`);
}
