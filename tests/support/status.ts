import { credentials } from "@grpc/grpc-js";

import {
  CollectorServiceClient,
  type GetStatusResponse,
} from "../../src/gen/parsl_collector/v1/collector_service.js";

/** What the collector says of its senders once everything that it received before is committed. */
export async function collectorStatus(address: string, runId = ""): Promise<GetStatusResponse> {
  const client = new CollectorServiceClient(address, credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      client.getStatus({ runId }, (error, response) => {
        if (error === null) resolve(response);
        else reject(error);
      });
    });
  } finally {
    client.close();
  }
}
