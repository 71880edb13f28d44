import type { Database, Queryable } from '../../src/postgres/connection.ts'
import type { CaseView } from './case.ts'

/** A view as it was installed. */
export interface InstalledView {
  readonly name: string
  /**
   * What its rows must equal: where the query as written has one result only, that; else the one of
   * its results that the compiler has settled on. Null: it has settled on none.
   */
  readonly sqlToCompare: string | null
  readonly strategy: string
  /** Why it is not maintained incrementally, or not at all. Null when it is. */
  readonly refusedBecause: string | null
}

/** Makes views and refreshes them. The oracle knows nothing else of how that is done. */
export interface Maintainer {
  /** A view that cannot be planned is left out, with the reason. */
  readonly install: (database: Database, views: readonly CaseView[]) => Promise<Installation>
  /**
   * Refreshes every view that is installed and has not failed before, then looks at them: at the snapshot and the
   * now() of the refresh, where there is one for all.
   */
  readonly refresh: (
    database: Database,
    look: (queryable: Queryable) => Promise<void>,
  ) => Promise<Refreshed>
  /** Refreshes this one no more. */
  readonly leave: (database: Database, view: string) => Promise<void>
  readonly remove: (database: Database) => Promise<void>
}

export interface Installation {
  readonly installed: readonly InstalledView[]
  readonly refused: ReadonlyMap<string, string>
}

export interface Refreshed {
  /** By name, the message of those that failed. */
  readonly failures: ReadonlyMap<string, string>
  /** By name: `incremental`, `diff`, or `first` where there was nothing to keep up. */
  readonly methods: ReadonlyMap<string, string>
}

/** Why a view is left out when it is another one that was refused. */
export const inputRefused = 'its input was refused'

/** Whether a view reads another. */
export const reads = (reader: Pick<CaseView, 'sql'>, { name }: Pick<CaseView, 'name'>): boolean =>
  new RegExp(`${name.replace('.', '\\.')}\\b`).test(reader.sql)
