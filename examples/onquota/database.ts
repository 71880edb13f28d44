/** What the example needs of a database: any client of PostgreSQL has it, or something like it. */
export interface Database {
  readonly query: <Row extends object>(
    sql: string,
    values?: readonly unknown[],
  ) => Promise<readonly Row[]>
}

/** One that can do several things or none. */
export interface Transactions extends Database {
  readonly transaction: <Result>(
    work: (transaction: Database) => Promise<Result>,
  ) => Promise<Result>
}

/** The row of a statement that gives one. */
export async function one<Row extends object>(
  database: Database,
  sql: string,
  values: readonly unknown[],
): Promise<Row> {
  const [row] = await database.query<Row>(sql, values)
  if (row === undefined) throw new NotFound()
  return row
}

/** Nothing of that tenant has this id. */
export class NotFound extends Error {}
