import { afterEach, beforeEach, expect, test } from 'vitest'
import { applyConfiguration } from '../../src/engine/define.ts'
import { configured } from '../define/configured.ts'
import type { TestDatabase } from '../support/database.ts'
import { createInstalledDatabase } from '../support/database.ts'

// What words are made of and text is ordered by: text search configurations, dictionaries, collations and settings.

let db: TestDatabase

const notes = configured({
  views: {
    'public.about': {
      sql: `select n.place collate private.ordered as place,
          count(*) filter (where to_tsvector('private.words', n.body) @@ to_tsquery('private.words', 'running')) as found,
          count(*) filter (where to_tsvector('simple', n.body) @@ to_tsquery('simple', 'running')) as literally,
          count(*) filter (where to_tsvector(n.body) @@ to_tsquery('simple', 'run')) as stemmed
        from notes n group by n.place collate private.ordered`,
      maintain: 'incremental',
      target: '1h',
    },
  },
})

beforeEach(async () => {
  db = await createInstalledDatabase()
  await db.sql(`
    create schema private;
    create text search dictionary private.stems (template = snowball, language = english);
    create text search configuration private.words (copy = english);
    alter text search configuration private.words alter mapping for asciiword with private.stems;
    create collation private.ordered (provider = icu, locale = 'de');
    create table notes (id int primary key, place text, body text);
    insert into notes select g, 'p' || g % 3, case g % 2 when 0 then 'he runs' else 'running' end from generate_series(1, 12) g`)
  await applyConfiguration(db.database, notes)
  await refresh()
  // The close look whose findings are remembered.
  expect(await db.sql('select view from tidemark.relied_on')).toHaveLength(1)
})
afterEach(() => db.drop())

const refresh = (): Promise<unknown> => db.sql(`call tidemark.run('public.about', 'event', 'test')`)
const reason = async (by: Pick<TestDatabase, 'sql'> = db): Promise<string | null> => {
  const [row] = await by.sql<{ reason: string | null }>('select reason from tidemark.freshness')
  return row?.reason ?? null
}
const differences = async (): Promise<number | undefined> => {
  const query = 'table tidemark_state."source of public.about"'
  const [row] = await db.sql<{ rows: number }>(
    `select count(*)::int as rows from (
       (table about except all (${query})) union all ((${query}) except all table about)) d`,
  )
  return row?.rows
}

test('a view is unknown once what makes its words, or orders its text, is another, and apply has it right again', async () => {
  const changed =
    /^definition_changed: .* text search configuration that public\.about reads was replaced, altered/
  const ways: readonly (readonly [string, RegExp | null])[] = [
    [
      'alter text search configuration private.words alter mapping for asciiword with simple',
      changed,
    ],
    ['alter text search configuration private.words drop mapping for asciiword', changed],
    ['alter text search dictionary private.stems (language = german)', changed],
    ['alter text search dictionary private.stems rename to stemmed', changed],
    // No rule can depend on it, for PostgreSQL pins it.
    [
      'alter text search configuration simple alter mapping for asciiword with english_stem',
      changed,
    ],
    [`update pg_collation set collversion = 'former' where collname = 'ordered'`, changed],
    // Nothing that it reads.
    ['alter text search configuration german alter mapping for asciiword with simple', null],
    [`update pg_collation set collversion = 'former' where collname = 'fr-x-icu'`, null],
  ]
  const session = await db.session()
  for (const [statement, words] of ways) {
    await session.query('begin')
    await session.query(statement)
    const found = await reason({ sql: session.query })
    if (words === null) expect(found).toBeNull()
    else expect(found).toMatch(words)
    await session.query('rollback')
  }
  expect(await reason()).toBeNull()
  await db.sql(ways[0]?.[0] ?? '')
  await refresh()
  expect(await reason()).toMatch(changed)
  await applyConfiguration(db.database, notes)
  expect(await reason()).toBeNull()
  expect(await differences()).toBe(0)
})

test('who refreshes with another default configuration finds the same words', async () => {
  const session = await db.session()
  await session.query(`select set_config('default_text_search_config',
    case current_setting('default_text_search_config') when 'pg_catalog.simple' then 'english' else 'simple' end, false)`)
  await session.query(`insert into notes values (13, 'p1', 'running')`)
  await session.query(`call tidemark.run('public.about', 'event', 'test')`)
  expect(await db.sql('select method from tidemark.run order by run_id desc limit 1')).toEqual([
    { method: 'incremental' },
  ])
  expect(await differences()).toBe(0)
})
