/** A value as it is bound: text, number, exact integer or NULL. Booleans go as 1 and 0; SQLite's driver
 *  takes none. */
export type SqlValue = string | number | bigint | Uint8Array | null;
