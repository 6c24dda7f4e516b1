import { openGrpcSender } from "./grpc/sender.js";
import { RadioRegistry } from "./registry.js";

/** The radios of this package; a program may add its own. */
export const radios = new RadioRegistry().add("grpc", {
  openSender: (address) => openGrpcSender({ address }),
});
