import { once } from "node:events";
import { createRequire } from "node:module";

import {
  credentials,
  loadPackageDefinition,
  status,
  type Client,
  type ClientDuplexStream,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer, loadSync } from "@grpc/proto-loader";
import { protoPath as healthProtoPath } from "grpc-health-check";
import test from "ava";

import { lengthDelimited } from "../support/encoded.js";
import { sharedCollector } from "../support/shared-collector.js";
import type { Scope } from "../support/scope.js";
import { within } from "../support/wait.js";

/** What tools ask of any gRPC server: grpc_health_probe, Kubernetes, grpcurl, grpcdebug. */

const shared = sharedCollector();
const serviceName = "parsl_collector.v1.CollectorService";

interface HealthClient extends Client {
  check(request: object, callback: (error: ServiceError | null, response: object) => void): void;
}

interface ReflectionResponse {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
}

interface ReflectionClient extends Client {
  serverReflectionInfo(): ClientDuplexStream<object, ReflectionResponse>;
}

interface ServersResponse {
  readonly server: readonly { readonly data: { readonly callsStarted: number } }[];
}

interface ChannelzClient extends Client {
  getServers(
    request: object,
    callback: (error: ServiceError | null, response: ServersResponse) => void,
  ): void;
}

/** A client made at run time from a proto file, as such tools do. */
function clientOf(t: Scope, protoPath: string, service: string): Client {
  let found: unknown = loadPackageDefinition(loadSync(protoPath, { enums: String, longs: Number }));
  for (const name of service.split(".")) found = (found as Record<string, unknown>)[name];
  const Constructor = found as new (...args: unknown[]) => Client;
  const client = new Constructor(shared().collector.address, credentials.createInsecure());
  t.teardown(() => client.close());
  return client;
}

test("the health service says SERVING for the server and for the collector's service", async (t) => {
  const health = clientOf(t, healthProtoPath, "grpc.health.v1.Health") as HealthClient;
  const check = (service: string) =>
    new Promise<object>((resolve, reject) => {
      health.check({ service }, (error, response) => {
        if (error === null) resolve(response);
        else reject(error);
      });
    });

  t.like(await check(""), { status: "SERVING" });
  t.like(await check(serviceName), { status: "SERVING" });
  const unknown = await t.throwsAsync(check("another.Service"));
  t.is((unknown as unknown as ServiceError).code, status.NOT_FOUND);
});

test("reflection names the services and describes the collector's", async (t) => {
  const reflectionPath = createRequire(import.meta.url).resolve(
    "@grpc/reflection/build/proto/grpc/reflection/v1/reflection.proto",
  );
  const reflection = clientOf(t, reflectionPath, "grpc.reflection.v1.ServerReflection") as ReflectionClient;
  const ask = async (request: object): Promise<ReflectionResponse> => {
    const call = reflection.serverReflectionInfo();
    call.write(request);
    const [response] = (await within("the answer", once(call, "data"))) as [ReflectionResponse];
    call.end();
    return response;
  };

  const { listServicesResponse } = await ask({ listServices: "" });
  const { fileDescriptorResponse } = await ask({ fileContainingSymbol: serviceName });

  const names = listServicesResponse?.service.map(({ name }) => name) ?? [];
  for (const name of [serviceName, "grpc.health.v1.Health"]) t.true(names.includes(name), name);
  const files = fileDescriptorResponse?.fileDescriptorProto ?? [];
  const described = loadFileDescriptorSetFromBuffer(
    Buffer.concat(files.map((file) => lengthDelimited(1, file))), // FileDescriptorSet.file
  );
  t.like(described[serviceName], {
    StreamMessages: { requestStream: true, responseStream: true },
    SendMessages: { requestStream: false, responseStream: false },
  });
  for (const type of ["Envelope", "TaskInfo"]) t.truthy(described[`parsl_collector.v1.${type}`], type);
});

test("channelz tells of the server and of its calls", async (t) => {
  const channelzPath = createRequire(import.meta.url).resolve("@grpc/grpc-js/proto/channelz.proto");
  const channelz = clientOf(t, channelzPath, "grpc.channelz.v1.Channelz") as ChannelzClient;

  const { server } = await new Promise<ServersResponse>((resolve, reject) => {
    channelz.getServers({}, (error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
  });

  t.is(server.length, 1);
  t.true((server[0]?.data.callsStarted ?? 0) > 0);
});
