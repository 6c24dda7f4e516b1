import type { Timestamp } from "../model/messages.js";

const microsPerSecond = 1_000_000n;

/** The time `micros` microseconds after 1970 began in UTC, exactly. */
export function timestampFromMicros(micros: bigint): Timestamp {
  const micro = ((micros % microsPerSecond) + microsPerSecond) % microsPerSecond; // of its second, also before 1970
  return { seconds: (micros - micro) / microsPerSecond, nanos: Number(micro) * 1000 };
}

/** The time of a Date, which has milliseconds only: two records within one become equal. Where a time is
 *  part of a key, as in ResourceInfo, prefer microseconds. */
export function timestampFromDate(date: Date): Timestamp {
  return timestampFromMicros(BigInt(date.getTime()) * 1000n);
}
