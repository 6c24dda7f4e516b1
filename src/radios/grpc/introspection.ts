import { addAdminServicesToServer, type Server } from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer, loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { protoPath as healthProtoPath } from "grpc-health-check";

import { descriptorSet } from "../../gen/descriptors.js";

/** Lets anyone who asks know what there is to call (reflection), and who is connected (channelz). */
export function addIntrospection(server: Server): void {
  new ReflectionService({
    ...loadFileDescriptorSetFromBuffer(Buffer.from(descriptorSet, "base64")),
    ...loadSync(healthProtoPath),
  }).addToServer(server);
  addAdminServicesToServer(server);
}
