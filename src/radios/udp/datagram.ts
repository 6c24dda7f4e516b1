import { createHmac, timingSafeEqual, type KeyObject } from "node:crypto";

/** Name and version of the format. */
const magic = Buffer.from("PCU1");

const macAt = magic.length;
const streamAt = macAt + 32;
const counterAt = streamAt + 16;

/** Bytes of a datagram before its envelope: magic, HMAC-SHA-256 of all that follows it, stream, counter. */
export const headBytes = counterAt + 8;

/** The most that UDP carries over IPv4, in bytes. */
export const mostDatagramBytes = 65_507;

export interface Datagram {
  /** 16 random bytes, as latin1: the same in all datagrams of a socket. */
  readonly stream: string;
  /** From 1, one more with each datagram of a stream. */
  readonly counter: number;
  readonly envelope: Uint8Array;
}

export function seal(key: KeyObject, { stream, counter, envelope }: Datagram): Buffer {
  const datagram = Buffer.alloc(headBytes + envelope.length);
  magic.copy(datagram);
  datagram.write(stream, streamAt, "latin1");
  datagram.writeBigUInt64BE(BigInt(counter), counterAt);
  datagram.set(envelope, headBytes);
  macOf(key, datagram).copy(datagram, macAt);
  return datagram;
}

/** What is in a datagram, or why it is none of ours. The envelope is a part of the same memory. */
export function unseal(key: KeyObject, datagram: Buffer): Datagram | "malformed" | "forged" {
  if (datagram.length < headBytes || !datagram.subarray(0, macAt).equals(magic)) return "malformed";
  if (!timingSafeEqual(datagram.subarray(macAt, streamAt), macOf(key, datagram))) return "forged";
  const counter = Number(datagram.readBigUInt64BE(counterAt));
  if (counter < 1 || !Number.isSafeInteger(counter)) return "malformed";
  return {
    stream: datagram.toString("latin1", streamAt, counterAt),
    counter,
    envelope: datagram.subarray(headBytes),
  };
}

function macOf(key: KeyObject, datagram: Buffer): Buffer {
  return createHmac("sha256", key).update(datagram.subarray(streamAt)).digest();
}
