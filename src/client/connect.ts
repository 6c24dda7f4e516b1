import { radios } from "../radios/built-in.js";
import type { RadioSender } from "../radios/radio.js";
import { Client } from "./client.js";
import { checkOptions, type ConnectOptions } from "./options.js";

/** A client of the collector at `address`. It connects with its first message, so this neither waits nor
 *  fails when the collector is away. Throws a CollectorError for options that cannot be used. */
export function connect(options: ConnectOptions): Client {
  checkOptions(options);
  const { address, radio, ...rest } = options;
  if (radio !== undefined) return new Client(radio, rest);
  const openRadio = (): RadioSender => radios.get("grpc").openSender(address ?? "");
  return new Client(openRadio(), rest, openRadio);
}
