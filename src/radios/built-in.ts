import { openFilesystemSender } from "./filesystem/sender.js";
import { openGrpcSender } from "./grpc/sender.js";
import { RadioRegistry } from "./registry.js";
import { openUdpSender } from "./udp/sender.js";
import { openUnixSender } from "./unix/sender.js";

/** The radios of this package; a program may add its own. A receiving half is loaded when it is opened: programs that
 *  only send do without. */
export const radios = new RadioRegistry()
  .add("grpc", { openSender: (address, { token, tls } = {}) => openGrpcSender({ address, token, tls }) })
  .add("filesystem", {
    openSender: openFilesystemSender,
    openReceiver: async (...args) =>
      (await import("./filesystem/receiver.js")).openFilesystemReceiver(...args),
  })
  .add("udp", {
    openSender: openUdpSender,
    openReceiver: async (...args) => (await import("./udp/receiver.js")).openUdpReceiver(...args),
  })
  .add("unix", {
    openSender: openUnixSender,
    openReceiver: async (...args) => (await import("./unix/receiver.js")).openUnixReceiver(...args),
  });
