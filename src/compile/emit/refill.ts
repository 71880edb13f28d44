import { sqlText } from '../syntax/sql-text.ts'
import { indented } from './relation.ts'

/** The variables of statements that refill tables. */
export const refillDeclarations: readonly string[] = [
  'began timestamptz;',
  'known bigint;',
  'written bigint;',
]

/**
 * The statements that empty a table and fill it anew by `insert`. Statistics outlive that: they are gathered where there are
 * none, or where rows have become more or fewer by a fifth.
 */
export const refillStatements = (
  table: string,
  insert: string,
  more: readonly string[] = [],
): readonly string[] => [
  `known := tidemark.known_rows(${sqlText(table)})`,
  `truncate ${table}`,
  insert,
  'get diagnostics written = row_count',
  ...more,
  statisticsOf(table, { known: 'known', now: 'written' }),
]

/**
 * The statement that gathers statistics of a table that has as many rows now as `now` says, if that is worth it. The time that it
 * takes is no part of what is computed from `began` on: the next time it is not needed.
 */
export const statisticsOf = (
  table: string,
  rows: { readonly known: string; readonly now: string },
): string =>
  `began := began + tidemark.gather_statistics(${sqlText(table)}, ${rows.known}, ${rows.now})`

/** The rows of a table for {@link statisticsOf}, where it is not emptied. */
export const knownRows = (table: string): string => `tidemark.known_rows(${sqlText(table)})`

/** Statements one after the other. */
export const inOrder = (statements: readonly string[]): string =>
  statements.map((sql) => `${indented(sql)};\n`).join('')
