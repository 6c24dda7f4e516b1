export {
  CommittedMessage,
  SubscribeRequest,
  SubscribeResponse,
} from "../gen/parsl_collector/v1/collector_service.js";
