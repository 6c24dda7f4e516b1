import type { ReceivedEnvelope } from "../../envelope-reader.js";

/** PostgreSQL's text holds no NUL: it becomes the four characters \x00, as Python shows it. */
export function withoutNul(text: string): string {
  return text.replaceAll("\0", "\\x00");
}

/** An envelope whose texts PostgreSQL can hold. Its bytes stay as they came. */
export function storable(envelope: ReceivedEnvelope): ReceivedEnvelope {
  // Nearly no envelope has one, and to look for it costs a tenth of reading it.
  if (!hasNul(envelope.messages) && !hasNul([envelope.senderId, envelope.context])) return envelope;
  const { senderId, context } = envelope;
  const messages = envelope.messages.map(replaced);
  return {
    ...envelope,
    senderId: withoutNul(senderId),
    context: replaced(context),
    messages,
    read: (index) => messages[index] ?? envelope.read(index),
  };
}

function hasNul(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\0");
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return false;
  for (const key in value) if (hasNul((value as Record<string, unknown>)[key])) return true;
  return false;
}

function replaced<T>(value: T): T {
  if (typeof value === "string") return withoutNul(value) as T;
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(replaced) as T;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, replaced(one)])) as T;
}
