export {
  Acknowledgement,
  ClosingNote,
  Envelope,
  Rejection,
  SequenceRange,
} from "../gen/parsl_collector/v1/envelope.js";
