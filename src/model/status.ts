export {
  RunState,
  type GetStatusResponse,
  type LostCount,
  type MessageCounts,
  type RadioCount,
  type RunStatus,
  type SenderStatus,
} from "../gen/parsl_collector/v1/collector_service.js";
