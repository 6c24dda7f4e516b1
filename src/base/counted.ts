/** 1604211 as "1,604,211". */
export function digits(count: bigint | number): string {
  return count.toLocaleString("en-US");
}

/** "1 message", "2 messages". */
export function counted(count: bigint | number, noun: string): string {
  return `${digits(count)} ${noun}${Number(count) === 1 ? "" : "s"}`;
}
