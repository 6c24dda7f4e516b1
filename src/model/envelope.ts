export { Acknowledgement, Envelope, Rejection } from "../gen/parsl_collector/v1/envelope.js";
