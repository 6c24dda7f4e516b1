/** Words for numbers, as the sentences need them. */

/** 1604211 as "1,604,211". */
export function digits(count: number): string {
  return count.toLocaleString("en-US");
}

/** "1 task", "2 tasks". */
export function counted(count: number, noun: string): string {
  return `${digits(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** Bytes as "1.2 GiB". */
export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10)));
  const number = bytes / 1024 ** power;
  return `${number.toFixed(power === 0 || number >= 100 ? 0 : 1)} ${units[power] ?? ""}`;
}

/** A share as "93 %". */
export function percent(share: number): string {
  return `${String(Math.round(share * 100))} %`;
}

/** "a, b and c". */
export function listed(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join("");
  return `${parts.slice(0, -1).join(", ")} and ${parts.at(-1) ?? ""}`;
}

/** A text on one line, cut at `most` characters. */
export function cut(text: string, most = 160): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`;
}

/** A time of Parsl's tables to the second. */
export function second(time: string): string {
  return time.slice(0, 19);
}
