import type { ViewConfig } from '../../src/define/config/tidemark-config.ts'
import { fillConfiguration } from '../../src/define/config/fill-configuration.ts'
import { apply, planConfiguration } from '../../src/engine/define.ts'
import type { Configuration } from '../../src/model/declaration.ts'
import { TidemarkError } from '../../src/model/errors.ts'
import type { Database } from '../../src/postgres/connection.ts'
import type { CaseView } from './case.ts'
import type { Installation, InstalledView, Maintainer, Refreshed } from './maintainer.ts'
import { inputRefused, reads } from './maintainer.ts'

type Kept = Pick<ViewConfig, 'maintain' | 'as'>

/** Views through the product itself: plan, apply, requests, work. Each is a group of its own. */
export function maintainByPlan(
  maintain: 'full' | 'incremental',
  as: 'view' | 'table' = 'view',
): Maintainer {
  const kept: Kept = { maintain, as }
  return {
    async install(database, views) {
      const refused = new Map<string, string>()
      let left = [...views]
      for (;;) {
        const fault = await tryInstall(database, configurationOf(left, kept))
        if (fault === null) break
        const { view, message } = blamed(fault, left)
        refused.set(view.name, message)
        left = left.filter((each) => each !== view && !reads(each, view))
        for (const other of views) {
          if (reads(other, view) && !refused.has(other.name)) refused.set(other.name, inputRefused)
        }
      }
      return { installed: await installedOf(database, left), refused } satisfies Installation
    },
    async refresh(database, look) {
      const refreshed = await refreshAll(database)
      await look(database)
      return refreshed
    },
    leave,
    async remove(database) {
      await tryInstall(database, configurationOf([], kept))
    },
  }
}

function configurationOf(views: readonly CaseView[], kept: Kept): Configuration {
  const configs = views.map(({ name, sql }): [string, ViewConfig] => [
    name,
    { sql, ...kept, target: '1h', group: 'oracle' },
  ])
  return fillConfiguration(
    { views: Object.fromEntries(configs), defaults: {} },
    { path: null, readText: () => null },
  )
}

/** Null when all of it was planned and applied. */
async function tryInstall(
  database: Database,
  configuration: Configuration,
): Promise<TidemarkError | null> {
  try {
    const plan = await planConfiguration(database, configuration)
    await apply(database, plan, { populate: false, allowDestructive: true })
    return null
  } catch (error) {
    if (error instanceof TidemarkError) return error
    throw error
  }
}

function blamed(
  fault: TidemarkError,
  views: readonly CaseView[],
): { readonly view: CaseView; readonly message: string } {
  const view = views.find(({ name }) =>
    new RegExp(`${name.replace('.', '\\.')}\\b`).test(`${fault.place ?? ''} ${fault.what}`),
  )
  if (view === undefined) throw fault
  return { view, message: `${fault.code}: ${fault.what}` }
}

async function installedOf(
  database: Database,
  views: readonly CaseView[],
): Promise<InstalledView[]> {
  const rows = await database.query<{ name: string; strategy: string; reasons: readonly string[] }>(
    `select name, strategy, array[]::text[] as reasons from tidemark.view`,
  )
  return views.map(({ name }) => {
    const row = rows.find((each) => each.name === name)
    const strategy = row?.strategy ?? 'none'
    return {
      name,
      sqlToCompare: null,
      strategy,
      refusedBecause: strategy === 'incremental' ? null : (row?.reasons ?? []).join('; '),
    }
  })
}

/** All views at one snapshot; those that raise are set aside and named, and the others refreshed. */
async function refreshAll(database: Database): Promise<Refreshed> {
  const failures = new Map<string, string>()
  for (;;) {
    const outcome = await refreshGroup(database)
    if (outcome === null) return { failures, methods: await methodsOf(database) }
    const raising = await whichRaise(database)
    if (raising.size === 0) {
      // Not one by one, so together: nobody can be told apart.
      const rest = await database.query<{ name: string }>(
        'select name from tidemark.view where paused_at is null',
      )
      for (const { name } of rest) failures.set(name, outcome)
      return { failures, methods: new Map() }
    }
    for (const [name, message] of raising) {
      failures.set(name, message)
      await leave(database, name)
    }
  }
}

async function leave(database: Database, view: string): Promise<void> {
  await database.query(`select tidemark.pause($1, 'oracle')`, [view])
}

/** How the last run of each view was done. */
async function methodsOf(database: Database): Promise<ReadonlyMap<string, string>> {
  const rows = await database.query<{ view: string; method: string }>(
    `select distinct on (view) view, method from tidemark.run
     where status = 'completed' order by view, run_id desc`,
  )
  return new Map(rows.map(({ view, method }) => [view, method]))
}

/** Null, or how it went wrong. */
async function refreshGroup(database: Database): Promise<string | null> {
  await database.query(
    `select tidemark.enqueue(g.name, 'target', 'oracle') from tidemark.refresh_group g
     where g.name = 'oracle'
       and exists (select from tidemark.view v where v.group_name = g.name and v.paused_at is null)`,
  )
  const [row] = await database.query<{
    done: readonly { readonly group: string; readonly outcome: string }[] | null
  }>(`call tidemark.work('oracle', 1000, 2::smallint, null)`)
  const failed = (row?.done ?? []).find(({ outcome }) => outcome !== 'completed')
  if (failed === undefined) return null
  await database.query(
    `delete from tidemark.request;
     update tidemark.refresh_group
     set failures = 0, not_before = null, quarantined_at = null, quarantine_reason = null`,
  )
  return failed.outcome
}

/** The views whose maintenance program raises when it is called alone, with what it says. */
async function whichRaise(database: Database): Promise<ReadonlyMap<string, string>> {
  const views = await database.query<{ name: string; maintain: string }>(
    'select name, maintain from tidemark.view where paused_at is null order by position, name',
  )
  const raising = new Map<string, string>()
  for (const { name, maintain } of views) {
    await database.session(async (session) => {
      await session.query('begin isolation level repeatable read')
      await session
        .query(`select * from ${maintain}(false, null)`)
        .catch((error: unknown) => raising.set(name, String(error)))
      await session.query('rollback')
    })
  }
  return raising
}
