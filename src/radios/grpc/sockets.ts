import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";

const collected = new AsyncLocalStorage<Set<Socket>>();

subscribe("net.client.socket", (message) => {
  collected.getStore()?.add((message as { readonly socket: Socket }).socket);
});

/** Runs `act`, and puts every socket that it or what it sets going connects into `sockets`. grpc-js lets
 *  nobody at a connection before HTTP/2 has answered on it, and closing its channel leaves one that never
 *  answers open for ever: each attempt at a silent peer would cost a file descriptor, and one at a peer
 *  that drops packets would keep the process alive for minutes. */
export function collectSockets<T>(sockets: Set<Socket>, act: () => T): T {
  return collected.run(sockets, act);
}
