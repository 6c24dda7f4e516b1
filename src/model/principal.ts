/** Whoever brought an envelope, where a radio knows it: by a token, or by the certificate of a client. */
export interface Principal {
  /** The token's name, or the certificate's: the owner of the runs that it is the first to write. */
  readonly name: string;
  /** Runs that it may write: all, those named here, or its own. */
  readonly runs: "all" | "own" | readonly string[];
}
