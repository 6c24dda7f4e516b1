import { promisify } from "node:util";

import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import test, { type ExecutionContext } from "ava";

import {
  CollectorServiceService,
  type StreamMessagesRequest,
  type StreamMessagesResponse,
} from "../../src/gen/parsl_collector/v1/collector_service.js";
import { connect } from "../../src/index.js";
import { Envelope } from "../../src/model/envelope.js";
import { runId, taskInfo, workflowStart } from "../support/builders.js";
import { startCollector } from "../support/collector.js";
import { openDatabase } from "../support/database.js";
import { Service } from "../support/service.js";
import { within } from "../support/wait.js";

const mebibyte = 2 ** 20;

/** A gRPC proxy before a collector that takes requests of 1 MiB, as such proxies do by default. */
async function startProxy(t: ExecutionContext, collector: string): Promise<string> {
  const service = Service.connect(t, collector);
  const server = new Server({ "grpc.max_receive_message_length": mebibyte });
  server.addService(
    { streamMessages: CollectorServiceService.streamMessages },
    {
      streamMessages: (call: ServerDuplexStream<StreamMessagesRequest, StreamMessagesResponse>) => {
        let forwarded = Promise.resolve();
        call.on("data", ({ envelope }: StreamMessagesRequest) => {
          const bytes = Envelope.encode(Envelope.fromPartial(envelope ?? {})).finish();
          forwarded = forwarded.then(async () => {
            call.write({ acknowledgements: [await service.sendBytes(bytes)] });
          });
        });
        call.on("end", () => void forwarded.then(() => call.end()));
        call.on("error", () => undefined); // the client's end of a stream that was refused
      },
    },
  );
  const bind = promisify(server.bindAsync.bind(server));
  const port = await bind("127.0.0.1:0", ServerCredentials.createInsecure());
  t.teardown(() => {
    server.forceShutdown();
  });
  return `127.0.0.1:${String(port)}`;
}

test("a message over the limit of a proxy is kept as rejected, and all others are rows", async (t) => {
  const collector = await startCollector(t);
  const rejected: number[] = [];
  const client = connect({
    address: await startProxy(t, collector.address),
    runId,
    onRejected: ({ sequence }) => rejected.push(sequence),
  });
  t.teardown(() => client.abort());

  await client.send(workflowStart());
  for (let taskId = 0; taskId < 20; taskId += 1) {
    await client.send(taskInfo({ taskId, taskInputs: "x".repeat(taskId === 10 ? 2 * mebibyte : 10) }));
  }
  await within("the client's close", client.close());

  t.deepEqual(rejected, [12]);
  t.deepEqual(client.counts, { sent: 21, acknowledged: 21, rejected: 1, spooled: 0, lost: 0 });
  const database = openDatabase(t, collector.database);
  t.is(database.count("task"), 19);
  t.regex(
    String(database.value("SELECT reason FROM collector_rejected")),
    /refused on its way: .*RESOURCE_EXHAUSTED: Received message larger than max/,
  );
});
