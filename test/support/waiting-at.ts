/** SQL: somebody waits for an advisory lock in this database; other tests take the same keys in others of the server. */
export const waitingAt = (key: number): string =>
  `exists (select from pg_locks where locktype = 'advisory' and objid = ${String(key)} and not granted and database = ${thisDatabase})`

/** SQL: the oid of the database of the session. */
export const thisDatabase = '(select d.oid from pg_database d where d.datname = current_database())'
