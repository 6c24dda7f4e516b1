/** What the exit code of every command says. */
export const exitCodes = {
  /** All is done, all is there. */
  done: 0,
  /** It could not be done; stderr says why. */
  failed: 1,
  badOptions: 2,
  /** It was done, and something is missing, lost, refused or not yet at its end. */
  notComplete: 3,
} as const;
