import { openFilesystemReceiver } from "./filesystem/receiver.js";
import { openFilesystemSender } from "./filesystem/sender.js";
import { openGrpcSender } from "./grpc/sender.js";
import { RadioRegistry } from "./registry.js";
import { openUdpReceiver } from "./udp/receiver.js";
import { openUdpSender } from "./udp/sender.js";
import { openUnixReceiver } from "./unix/receiver.js";
import { openUnixSender } from "./unix/sender.js";

/** The radios of this package; a program may add its own. */
export const radios = new RadioRegistry()
  .add("grpc", { openSender: (address, { token, tls } = {}) => openGrpcSender({ address, token, tls }) })
  .add("filesystem", { openSender: openFilesystemSender, openReceiver: openFilesystemReceiver })
  .add("udp", { openSender: openUdpSender, openReceiver: openUdpReceiver })
  .add("unix", { openSender: openUnixSender, openReceiver: openUnixReceiver });
