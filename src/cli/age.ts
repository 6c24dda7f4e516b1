import { InvalidArgumentError } from "commander";

const unitMs: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** "30d" in ms. A number without a unit is refused: what is meant as hours must not remove days. */
export function parseAge(text: string): number {
  const [, number = "", unit = ""] = /^(\d+)([smhdw])$/.exec(text) ?? [];
  const ms = Number(number) * (unitMs[unit] ?? NaN);
  if (Number.isSafeInteger(ms)) return ms;
  throw new InvalidArgumentError(
    `expected a number with its unit (s, m, h, d or w: seconds to weeks), as in 30d or 12h; got "${text}".`,
  );
}
