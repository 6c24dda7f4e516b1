/** The views of SQLite's schema, in PostgreSQL's words. */
export const views: readonly string[] = [];
