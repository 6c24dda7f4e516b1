export type { GetStatusResponse, SenderStatus } from "../gen/parsl_collector/v1/collector_service.js";
