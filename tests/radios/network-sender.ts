import { connect, radios } from "../../src/index.js";
import { at, resourceInfo, runId } from "../support/builders.js";
import { runKey } from "../support/datagrams.js";

/** Sends samples, each as soon as the one before has left, and a closing note. For a network of its own.
 *
 *  usage: network-sender.js RADIO ADDRESS COUNT */

const [name = "", address = "", count = ""] = process.argv.slice(2);
const radio = radios.get(name).openSender(address, { key: runKey });
const client = connect({ radio, runId, hostname: "n1" });
for (let n = 0; n < Number(count); n += 1) {
  await client.send(resourceInfo({ taskId: process.pid, timestamp: at(n) }));
  await client.flush();
}
await client.close();
process.stdout.write(client.senderId);
