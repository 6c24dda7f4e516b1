import { parentPort, workerData } from "node:worker_threads";

import { CollectorError, reasonOf } from "../../../base/errors.js";
import { StoreCounts } from "../../store-counts.js";
import type { Arrival } from "../sink.js";
import type { Call, PackedGroup, Report, WriterData } from "./messages.js";
import { blockThread, SqliteWriter } from "./writer.js";

/** The thread that writes. It blocks for as long as the file cannot be written; meanwhile the main thread
 *  goes on with gRPC, and no stream starves behind a commit. */

if (parentPort === null)
  throw new CollectorError("internal", "start the writer: this file runs in a thread only");
const port = parentPort;

function report(what: Report): void {
  port.postMessage(what);
}

function open(): SqliteWriter | undefined {
  try {
    const { radios, counts, ...options } = workerData as WriterData;
    const tell = (blocked: string | undefined): void => report({ blocked });
    return new SqliteWriter(options, tell, blockThread, new StoreCounts(radios, counts));
  } catch (cause) {
    report({ failed: { message: reasonOf(cause) } });
    return undefined;
  }
}

function unpack({ packed, lengths, radios, principals }: PackedGroup): Arrival[] {
  let start = 0;
  return lengths.map((length, index) => ({
    envelope: packed.subarray(start, (start += length)),
    radio: radios[index] ?? "",
    principal: principals?.[index],
  }));
}

const writer = open();
if (writer === undefined) {
  port.close();
} else {
  report({ opened: writer.journal });
  port.on("message", (call: Call) => {
    if ("store" in call) report({ stored: writer.store(unpack(call.store)) });
    else if ("status" in call) report({ status: writer.status(call.status, call.principal) });
    else if ("losses" in call) report({ losses: writer.losses() });
    else if ("keepLog" in call) {
      writer.keepLog();
      report({ logKept: true });
    } else {
      writer.close();
      port.close();
    }
  });
}
