import { formatDuration } from '../base/duration.ts'
import type { RelationName } from '../model/ids.ts'
import { relationName } from '../model/ids.ts'
import { functionName, jobName } from './scan-actors.ts'
import type { Actors, DeleteDeed } from './scan-actors.ts'
import type { Oid, ScanFacts, TableFact, TriggerFact } from './scan-facts.ts'
import { nameOfTable } from './scan-queues.ts'
import { tableRows } from './scan-rows.ts'
import type { ScannedCache, ScannedInvalidation, ScannedView } from './scan-report.ts'

/** Columns that say how long a row is good, or when it was computed. */
const ageColumn =
  /^(expires?_(at|on)|expiry|expiration(_at)?|cached_at|calculated_at|computed_at|evaluated_at|last_(updated|calculated|computed|evaluated|refreshed)(_at)?|refreshed_at|valid_until|ttl(_seconds|_ms)?|cache_ttl|is_stale|stale)$/

const cacheName = /(^|_)cached?(_|$)|cache$/
const derivedName = /_(progress|snapshot|summary|stats|rollup|totals|aggregates?)$/

/** Rows of these expire too, and nobody computes them. */
const otherwiseExpiring =
  /(^|_)(sessions?|tokens?|otps?|codes?|invit\w*|locks?|leases?|jobs?|queue|tasks?|logs?|history|audit|events?|outbox|subscriptions?|offers?|coupons?|carts?|notifications?|messages?)(_|$)/

/**
 * Tables that are kept as caches, with what speaks for it and what takes their rows out. A table counts
 * when its name says so and something removes its rows or dates them, or when its columns date its rows
 * and writes to other tables, or age, remove them.
 */
export function cachesOf(
  facts: ScanFacts,
  actors: Actors,
  views: readonly ScannedView[],
): readonly ScannedCache[] {
  const removals = removalsByTable(facts, actors)
  return facts.tables.flatMap((table): ScannedCache[] => {
    const own = removals.get(table.oid) ?? []
    const evidence = evidenceFor(table, own)
    if (evidence === null) return []
    const tables = own.flatMap(({ on }) => on ?? [])
    return [
      {
        name: relationName(table.schema, table.name),
        bytes: facts.bytes.get(table.oid) ?? (table.pages > 0 ? table.pages * 8_192 : null),
        rows: tableRows(table),
        evidence,
        invalidations: own,
        behind: behindOf(views, new Set(tables)),
      },
    ]
  })
}

function evidenceFor(
  table: TableFact,
  removals: readonly ScannedInvalidation[],
): readonly string[] | null {
  const dated = table.columns.filter(({ name }) => ageColumn.test(name)).map(({ name }) => name)
  const named = cacheName.test(table.name)
  const derived = derivedName.test(table.name)
  const byWrites = removals.some(({ kind, events }) => kind === 'trigger' && hearsWrites(events))
  const byAge = removals.some(({ age, kind }) => kind !== 'trigger' || age !== null)
  const enough = named
    ? removals.length > 0 || dated.length > 0
    : (byWrites && (derived || dated.length > 0)) ||
      (byAge && dated.length > 0 && !otherwiseExpiring.test(table.name))
  if (!enough) return null
  return [
    ...(named || derived ? ['its name'] : []),
    ...(dated.length > 0 ? [`${dated.length > 1 ? 'columns' : 'column'} ${dated.join(', ')}`] : []),
    ...(byWrites ? ['triggers on other tables remove its rows'] : []),
    ...(byAge ? ['rows are removed by age'] : []),
  ]
}

/** A cascade of deletes is no invalidation; removing rows because others came or changed is one. */
const hearsWrites = (events: readonly string[]): boolean =>
  events.includes('insert') || events.includes('update')

function removalsByTable(
  facts: ScanFacts,
  actors: Actors,
): ReadonlyMap<Oid, readonly ScannedInvalidation[]> {
  const removals = new Map<Oid, ScannedInvalidation[]>()
  const add = (table: Oid, removal: ScannedInvalidation): void => {
    const before = removals.get(table) ?? []
    if (
      before.some(
        ({ kind, name, on }) => kind === removal.kind && name === removal.name && on === removal.on,
      )
    )
      return
    removals.set(table, [...before, removal])
  }
  for (const trigger of facts.triggers.filter(({ enabled }) => enabled)) {
    for (const deed of actors.ofTrigger(trigger).deletes) {
      if (deed.relation !== trigger.table) add(deed.relation, byTrigger(trigger, deed))
    }
  }
  for (const job of facts.jobs) {
    for (const deed of actors.ofJob(job).deletes) {
      const name = `${jobName(job)}${job.active ? '' : ' (paused)'}`
      add(deed.relation, {
        ...bare,
        kind: 'pg_cron',
        name,
        age: ageText(deed.age),
        schedule: job.schedule,
      })
    }
  }
  const inside = actors.calledInside()
  for (const one of facts.functions.filter(({ oid }) => !inside.has(oid))) {
    for (const deed of actors.ofFunction(one).deletes.filter(({ byAge }) => byAge)) {
      add(deed.relation, {
        ...bare,
        kind: 'function',
        name: functionName(one),
        age: ageText(deed.age),
      })
    }
  }
  return removals
}

/** PostgreSQL writes a default of five minutes back as 00:05:00. */
function ageText(age: string | null): string | null {
  const clock = /^(\d+):(\d\d):(\d\d)$/.exec(age ?? '')
  if (clock === null) return age
  const [hours = 0, minutes = 0, seconds = 0] = clock.slice(1).map(Number)
  return formatDuration(((hours * 60 + minutes) * 60 + seconds) * 1_000)
}

const bare = { on: null, events: [], age: null, schedule: null } as const

const byTrigger = (trigger: TriggerFact, deed: DeleteDeed): ScannedInvalidation => ({
  ...bare,
  kind: 'trigger',
  name: trigger.name,
  on: nameOfTable(trigger),
  events: trigger.events,
  age: deed.byAge ? ageText(deed.age) : null,
})

/**
 * Views over sources whose writes empty the cache at once: the views follow only with their next
 * refresh, and whoever fills the cache in between from them stores what was true before the write.
 */
function behindOf(
  views: readonly ScannedView[],
  sources: ReadonlySet<RelationName>,
): ScannedCache['behind'] {
  const byName = new Map(views.map((view) => [view.name, view]))
  const reads = (view: ScannedView, seen: ReadonlySet<RelationName>): boolean =>
    view.sources.some(({ name }) => {
      if (sources.has(name)) return true
      const inner = byName.get(name)
      return inner !== undefined && !seen.has(name) && reads(inner, new Set([...seen, name]))
    })
  return views
    .filter((view) => sources.size > 0 && reads(view, new Set([view.name])))
    .map(({ name, staleness }) => ({ view: name, mostMs: staleness?.mostMs ?? null }))
}
