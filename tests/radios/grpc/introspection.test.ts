import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js";
import { pino } from "pino";
import test from "ava";

import { openGrpcReceiver } from "../../../src/radios/grpc/receiver.js";
import { noSources } from "../../support/grpc-receiver.js";

test("a receiver that is not told to tells nobody what there is to call and who is connected", async (t) => {
  const receiver = await openGrpcReceiver(
    { listen: "127.0.0.1:0" },
    { accept: () => Promise.reject(new Error("nobody sends")), room: undefined },
    noSources,
    pino({ level: "silent" }),
  );
  t.teardown(() => receiver[Symbol.asyncDispose]());
  const client = new Client(receiver.address, credentials.createInsecure());
  t.teardown(() => client.close());
  const bytes = (value: Buffer): Buffer => value;
  const codeOf = (path: string): Promise<status | undefined> =>
    new Promise((resolve) => {
      client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), (error: ServiceError | null) =>
        resolve(error?.code),
      );
    });

  t.is(await codeOf("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), status.UNIMPLEMENTED);
  t.is(await codeOf("/grpc.channelz.v1.Channelz/GetServers"), status.UNIMPLEMENTED);
  t.is(await codeOf("/grpc.health.v1.Health/Check"), undefined);
});
