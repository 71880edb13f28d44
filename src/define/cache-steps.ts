import type { PlanStep } from '../model/plan.ts'
import { literal } from '../postgres/identifier.ts'
import type { Actual } from './actual.ts'
import { digestOf } from './actual.ts'
import type { Row } from './catalogue-rows.ts'
import { differing, upsert } from './catalogue-rows.ts'
import type { Journal, JournalInput } from './journal-program.ts'
import { createJournal, dropJournal } from './journal-program.ts'
import { stepOf } from './view-steps.ts'

/**
 * Makes the journal of a namespace, or makes it anew: after capture of its sources has been committed, so that nothing that
 * is written from then on is missed. Whoever holds something under the former rules forgets it.
 */
export function cacheSteps(journal: Journal, actual: Actual): readonly PlanStep[] {
  const { name, inputs, retainMs, roles } = journal
  const namesOf = (kind: JournalInput['kind']): readonly string[] =>
    inputs.filter((input) => input.kind === kind).map(({ relation }) => relation)
  const functions = createJournal(journal)
  const row: Row = {
    name,
    sources: namesOf('table'),
    views: namesOf('view'),
    rules: { json: Object.fromEntries(inputs.map((input) => [input.relation, toldApart(input)])) },
    retain_ms: retainMs,
    roles,
    digest: digestOf(functions),
  }
  const found = actual.catalogue.cache.find((cache) => cache['name'] === name)
  if (differing(row, found).length === 0) return []
  return [
    stepOf({
      kind: found === undefined ? 'create' : 'change',
      noun: 'cache',
      name,
      detail: `depends on ${inputs.map(told).join(', ')}${found === undefined ? '' : '; what nodes hold is forgotten'}`,
      sql: [
        upsert('cache', row, ['name']),
        ...functions,
        `select tidemark.renew_cache(${literal(name)})`,
      ],
    }),
  ]
}

/** By what its changes are told apart; whoever depends on it need not know where the values come from. */
const toldApart = ({ rules, lookups }: JournalInput): readonly (readonly string[])[] => [
  ...rules,
  ...lookups.map(({ columns }) => columns),
]

/** `public.quotes (tenant_id)`: an input in a few words. */
const told = (input: JournalInput): string => {
  const rules = toldApart(input).filter((rule) => rule.length > 0)
  return `${input.relation}${rules.map((rule) => ` (${rule.join(', ')})`).join('')}`
}

/** Namespaces that nobody declares any more. */
export function forgetCaches(journals: readonly Journal[], actual: Actual): readonly PlanStep[] {
  const declared = new Set<unknown>(journals.map(({ name }) => name))
  return actual.catalogue.cache
    .filter((row) => !declared.has(row['name']))
    .map((row) => {
      const name = String(row['name'])
      return stepOf({
        kind: 'drop',
        noun: 'cache',
        name,
        detail: 'no longer declared; its journal goes',
        sql: [
          ...dropJournal(name),
          `delete from tidemark.invalidation where cache = ${literal(name)}`,
          `delete from tidemark.invalidation_request where cache = ${literal(name)}`,
          `delete from tidemark.cache where name = ${literal(name)}`,
        ],
      })
    })
}
