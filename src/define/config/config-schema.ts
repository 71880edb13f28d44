import { z } from 'zod'
import { nearest } from '../../base/nearest.ts'
import {
  cronField,
  dateField,
  durationOf,
  indexField,
  isTimeOfDay,
  labelOf,
  mendUnitless,
  mistyped,
  nameOf,
  namespaceField,
  relationField,
  sizeField,
  sqlOf,
  urlPathField,
  textOf,
  timeOfDayField,
  urlField,
  zoneField,
} from './config-fields.ts'
import { problemsOf, quoted, raiseProblems, told } from './config-problems.ts'
import type { TidemarkConfig } from './tidemark-config.ts'
import { readDays, weekdays } from './weekdays.ts'

/** Words that other tools use for what Tidemark calls otherwise. */
const otherWords: Readonly<Record<string, string>> = {
  query: 'sql',
  definition: 'sql',
  path: 'file',
  staleness: 'target',
  maxstaleness: 'target',
  freshness: 'target',
  interval: 'target',
  cron: 'schedules',
  triggers: 'events',
  strategy: 'maintain',
  materialized: 'as',
  primarykey: 'key',
  timezone: 'zone',
  businesshours: 'calendars',
  concurrency: 'workers',
  connectionstring: 'url',
  lane: 'priority',
  priority: 'lane',
  table: 'on',
  condition: 'when',
}

function mendUnknownKey(key: string, known: readonly string[]): string {
  const other = otherWords[key.toLowerCase().replaceAll(/[^a-z]/g, '')]
  const meant = nearest(key, known) ?? known.find((word) => word === other)
  return meant === undefined
    ? `Remove it; known here are ${known.filter((word) => word !== '$schema').join(', ')}.`
    : `Write '${meant}' instead.`
}

/** An object with exactly these keys. `id` is the name of its interface in tidemark-config.ts. */
const objectOf = <Shape extends Readonly<Record<string, z.ZodType>>>(
  id: string,
  example: string,
  shape: Shape,
) =>
  z
    .strictObject(shape, {
      error: (issue) =>
        issue.code === 'unrecognized_keys'
          ? issue.keys.map((key) => mendUnknownKey(key, Object.keys(shape))).join('\n')
          : told(mistyped(issue.input, 'an object', example)),
    })
    .meta({ id })

const listOf = <Item extends z.ZodType>(item: Item, noun: string, example: string) =>
  z.array(item, { error: ({ input }) => told(mistyped(input, noun, example)) }).readonly()

/** A list in which a second mention is a slip. */
const setOf = <Item extends z.ZodType<string, string>>(item: Item, noun: string, example: string) =>
  listOf(item, noun, example).superRefine((items, context) => {
    for (const [i, text] of items.entries()) {
      if (items.indexOf(text) === i) continue
      const what = `${quoted(text)} stands twice in the list`
      context.addIssue({ code: 'custom', path: [i], message: told({ what, mend: 'Remove one.' }) })
    }
  })

const recordOf = <Value extends z.ZodType>(
  key: z.ZodType<string, string>,
  value: Value,
  example: string,
) => z.record(key, value, { error: ({ input }) => told(mistyped(input, 'an object', example)) })

const wordOf = <const Words extends readonly string[]>(
  words: Words,
  /** Words that are known, but cannot be had: why. */
  refused: Readonly<Record<string, string>> = {},
) =>
  z.enum(words, {
    error: ({ input }) => {
      if (typeof input !== 'string') {
        return told(
          mistyped(input, 'one of these words', words.map((word) => `'${word}'`).join(' or ')),
        )
      }
      const mend = `Write one of ${words.map((word) => `'${word}'`).join(', ')}.`
      const why = refused[input]
      if (why !== undefined) return told({ what: why, mend })
      const meant = nearest(input, words)
      return told({
        what: `${quoted(input)} is not a word for this`,
        mend: meant === undefined ? mend : `Write '${meant}' instead.`,
      })
    },
  })

const integerOf = (min: number, max: number, example: string) =>
  z
    .number({ error: ({ input }) => told(mistyped(input, 'a number', example)) })
    .superRefine((number, context) => {
      if (Number.isInteger(number) && number >= min && number <= max) return
      const what = `${number} is not a whole number from ${min} to ${max}`
      context.addIssue({
        code: 'custom',
        message: told({ what, mend: `Write one, such as ${example}.` }),
      })
    })
    .meta({ type: 'integer', minimum: min, maximum: max })

const flag = z.boolean({ error: ({ input }) => told(mistyped(input, 'a boolean', 'true')) })

const eitherOf = <const Options extends readonly [z.ZodType, z.ZodType]>(
  options: Options,
  noun: string,
  example: string,
  mendNumber?: (given: number) => string,
) =>
  z.union(options, {
    error: ({ input }) => {
      const finding = mistyped(input, noun, example)
      if (typeof input !== 'number' || mendNumber === undefined) return told(finding)
      return told({ ...finding, mend: mendNumber(input) })
    },
  })

const roles = setOf(nameOf('a role', `'reporting'`), 'a list of roles', `['reporting']`)
const lane = wordOf(['critical', 'normal', 'background'])

const daysText = textOf({
  noun: 'days of the week',
  example: `'mon-fri'`,
  judge: (text) =>
    readDays(text) === null
      ? {
          what: `${quoted(text)} are not days of the week`,
          mend: `Write names of three letters, such as 'mon-fri' or ['mon', 'wed'].`,
        }
      : undefined,
})

const calendar = objectOf('CalendarConfig', `{ zone: 'UTC', from: '09:00', to: '18:00' }`, {
  zone: zoneField,
  days: eitherOf(
    [daysText, setOf(wordOf(weekdays), 'a list of days', `['mon', 'wed']`)],
    'days of the week',
    `'mon-fri' or ['mon', 'wed']`,
  ).exactOptional(),
  from: timeOfDayField,
  to: timeOfDayField,
  holidays: setOf(dateField, 'a list of dates', `['2026-12-25']`).exactOptional(),
}).superRefine(({ from, to }, context) => {
  if (from < to || !isTimeOfDay(from) || !isTimeOfDay(to)) return
  context.addIssue({
    code: 'custom',
    path: ['to'],
    message: told({
      what: `The working day ends at ${to}, before it begins at ${from}`,
      mend: `Write a later time, '24:00' at most; a night shift is one calendar to '24:00' and one from '00:00'.`,
    }),
  })
})

const businessHours = eitherOf(
  [nameOf('a name of a calendar', `'mx'`), calendar],
  'business hours',
  `'mx', a name under calendars`,
)

const target = eitherOf(
  [
    durationOf('5m'),
    objectOf('BusinessTargetConfig', `{ inside: '1m', outside: '1h', businessHours: 'mx' }`, {
      inside: durationOf('1m'),
      outside: durationOf('1h'),
      businessHours,
    }),
  ],
  'a duration',
  `'5m' or { inside: '1m', outside: '1h', businessHours: 'mx' }`,
  mendUnitless,
)

const schedule = objectOf('ScheduleConfig', `{ cron: '0 * * * *' }`, {
  name: labelOf('a name of a schedule', `'every hour'`).exactOptional(),
  cron: cronField,
  zone: zoneField.exactOptional(),
  businessHours: businessHours.exactOptional(),
  catchUpWithin: durationOf('1h', { minMs: 0 }).exactOptional(),
  lane: lane.exactOptional(),
  force: flag.exactOptional(),
})

const event = objectOf('EventConfig', `{ on: 'orders', when: 'amount >= 10000' }`, {
  name: labelOf('a name of a rule', `'big orders'`).exactOptional(),
  on: relationField,
  when: sqlOf('a condition', `'amount >= 10000'`).exactOptional(),
  changes: setOf(wordOf(['insert', 'update', 'delete']), 'a list of changes', `['insert']`)
    .superRefine((changes, context) => {
      if (changes.length > 0) return
      const what = 'A rule for no change never asks for a refresh'
      context.addIssue({
        code: 'custom',
        message: told({ what, mend: `Write ['insert', 'update'].` }),
      })
    })
    .exactOptional(),
  priority: lane.exactOptional(),
  batch: durationOf('5m', { minMs: 0, maxMs: 86_400_000 }).exactOptional(),
})

const refreshBy = objectOf('RefreshByConfig', `{ roles: ['admin'], perHour: 10 }`, {
  roles: roles.exactOptional(),
  perHour: integerOf(1, 100_000, '10').exactOptional(),
})

/** What a view and the defaults both say. A timeout is an `int` of milliseconds in the catalogue. */
const shared = {
  target: target.exactOptional(),
  veryStaleAfter: durationOf('10m').exactOptional(),
  policy: wordOf(['deadline', 'eager', 'budget']).exactOptional(),
  budget: durationOf('30s', { minMs: 1_000, maxMs: 3_600_000 }).exactOptional(),
  verify: wordOf(['off', 'sample', 'full']).exactOptional(),
  refreshBy: refreshBy.exactOptional(),
  fallback: wordOf(['none', 'source']).exactOptional(),
  timeout: durationOf('10m', { minMs: 1_000, maxMs: 24 * 86_400_000 }).exactOptional(),
}

const keyField = (field: 'key' | 'primaryKey') =>
  setOf(nameOf('a column', `'day'`), 'a list of columns', `['day']`).superRefine((key, context) => {
    if (key.length > 0) return
    const what = 'A key without columns identifies no row'
    context.addIssue({
      code: 'custom',
      message: told({ what, mend: `Name its columns, or leave '${field}' out.` }),
    })
  })

const partition = objectOf('PartitionConfig', `{ by: 'day' }`, {
  by: nameOf('a column', `'day'`),
  sources: recordOf(
    relationField,
    sqlOf('an expression', `'created_at::date'`),
    `{ orders: 'created_at::date' }`,
  ).exactOptional(),
})

const view = objectOf('ViewConfig', `{ sql: 'select …', target: '1m' }`, {
  sql: sqlOf('a query', `'select day, sum(amount) from orders group by day'`).exactOptional(),
  file: textOf({ noun: 'a path of a file', example: `'sql/sales.sql'` }).exactOptional(),
  adopt: relationField.exactOptional(),
  as: wordOf(['view', 'table', 'matview']).exactOptional(),
  maintain: wordOf(['auto', 'incremental', 'partition', 'full']).exactOptional(),
  floatSums: wordOf(['exact', 'approximate']).exactOptional(),
  partition: partition.exactOptional(),
  ...shared,
  group: labelOf('a name of a group', `'dashboard'`).exactOptional(),
  key: keyField('key').exactOptional(),
  primaryKey: keyField('primaryKey').exactOptional(),
  reads: setOf(relationField, 'a list of tables', `['public.rates']`).exactOptional(),
  indexes: setOf(indexField, 'a list of indexes', `['unique (day)']`).exactOptional(),
  schedules: listOf(
    eitherOf([cronField, schedule], 'a cron expression', `'0 * * * *' or { cron: '0 * * * *' }`),
    'a list of schedules',
    `['0 * * * *']`,
  ).exactOptional(),
  events: listOf(event, 'a list of rules', `[{ on: 'orders' }]`).exactOptional(),
}).superRefine(
  (declared, context) => {
    const given = (['sql', 'file', 'adopt'] as const).filter((key) => declared[key] !== undefined)
    if (given.length === 1) return
    const what =
      given.length === 0
        ? 'The view has no query'
        : `The view has ${given.join(' and ')}, where one says what it is`
    const mend = `Write exactly one of sql: 'select …', file: 'sql/view.sql' and adopt: 'public.matview'.`
    context.addIssue({ code: 'custom', message: told({ what, mend }) })
  },
  // Also beside other faults, so that all are told at once.
  { when: ({ value }) => typeof value === 'object' && value !== null },
)

const columnsOf = (example: string) =>
  setOf(nameOf('a column', `'tenant_id'`), 'a list of columns', example)

const lookupField = sqlOf('a query', `'select id as user_id from usuarios where email = $email'`)

const toldApart = eitherOf(
  [
    columnsOf(`['tenant_id']`),
    objectOf('LookupConfig', `{ lookup: 'select …' }`, { lookup: lookupField }),
  ],
  'a list of columns or a lookup',
  `['tenant_id'], [] or { lookup: 'select id as user_id from usuarios where email = $email' }`,
)

const cache = objectOf('CacheConfig', `{ dependsOn: { quotes: ['tenant_id'] } }`, {
  dependsOn: recordOf(
    relationField,
    eitherOf(
      [columnsOf(`['tenant_id']`), listOf(toldApart, 'a list of lists', `[['tenant_id'], []]`)],
      'a list of columns',
      `['tenant_id'], [['tenant_id'], []], [] or [{ lookup: 'select …' }]`,
    ),
    `{ quotes: ['tenant_id'] }`,
  ),
  retain: durationOf('1h', { minMs: 1_000, maxMs: 30 * 86_400_000 }).exactOptional(),
  roles: roles.exactOptional(),
})

const cacheRule = objectOf('CacheRuleConfig', `{ on: 'polizas', key: { user_id: 'usuario_id' } }`, {
  on: relationField,
  columns: columnsOf(`['mes_conexion']`).exactOptional(),
  key: recordOf(
    nameOf('a column', `'user_id'`),
    nameOf('a column', `'usuario_id'`),
    `{ user_id: 'usuario_id' }`,
  ).exactOptional(),
  lookup: lookupField.exactOptional(),
}).superRefine(({ key, lookup }, context) => {
  if ((key === undefined) !== (lookup === undefined)) return
  const what =
    key === undefined
      ? 'The rule does not say which rows it empties'
      : 'The rule has a key and a lookup, where one says it'
  const mend = `Write key: { user_id: 'usuario_id' } or lookup: 'select …'.`
  context.addIssue({ code: 'custom', message: told({ what, mend }) })
})

const cacheTable = objectOf('CacheTableConfig', `{ key: ['user_id'], rules: [] }`, {
  key: columnsOf(`['user_id']`).superRefine((key, context) => {
    if (key.length > 0) return
    context.addIssue({
      code: 'custom',
      message: told({ what: 'A key without columns identifies no row', mend: 'Name its columns.' }),
    })
  }),
  ttl: durationOf('5m', { minMs: 1_000 }).exactOptional(),
  updatedAt: nameOf('a column', `'computed_at'`).exactOptional(),
  rules: listOf(
    cacheRule,
    'a list of rules',
    `[{ on: 'polizas', key: { user_id: 'usuario_id' } }]`,
  ),
  views: setOf(relationField, 'a list of views', `['vw_polizas_metricas']`).exactOptional(),
  fillWithin: durationOf('5m', { minMs: 1_000, maxMs: 86_400_000 }).exactOptional(),
  unfenced: wordOf(['skip', 'refuse']).exactOptional(),
  paths: setOf(urlPathField, 'a list of paths', `['/api/cron/clean-progress']`).exactOptional(),
  roles: roles.exactOptional(),
}).superRefine(({ ttl, updatedAt }, context) => {
  if (ttl === undefined || updatedAt !== undefined) return
  const what = 'Rows cannot age where no column says when they were computed'
  context.addIssue({
    code: 'custom',
    path: ['ttl'],
    message: told({ what, mend: `Write updatedAt: 'computed_at' beside it.` }),
  })
})

const config = objectOf('TidemarkConfig', `{ views: { sales: { sql: 'select …' } } }`, {
  $schema: z
    .string({ error: ({ input }) => told(mistyped(input, 'a path', `'./schema.json'`)) })
    .exactOptional(),
  database: objectOf('DatabaseConfig', `{ url: env('SHOP_DATABASE_URL') }`, {
    url: urlField.exactOptional(),
    runtimeRole: nameOf('a role', `'tidemark_runtime'`).exactOptional(),
    readerRoles: roles.exactOptional(),
    maxLogSize: sizeField.exactOptional(),
    timeZone: zoneField.exactOptional(),
  }).exactOptional(),
  defaults: objectOf('DefaultsConfig', `{ target: '1m' }`, shared).exactOptional(),
  calendars: recordOf(
    nameOf('a name of a calendar', `'mx'`),
    calendar,
    `{ mx: { zone: 'America/Mexico_City', from: '09:00', to: '18:00' } }`,
  ).exactOptional(),
  sources: recordOf(
    relationField,
    objectOf('SourceConfig', `{ capture: 'auto' }`, {
      capture: wordOf(['auto', 'marks', 'rows']).exactOptional(),
    }),
    `{ orders: { capture: 'auto' } }`,
  ).exactOptional(),
  views: recordOf(
    relationField,
    view,
    `{ sales: { sql: 'select …' } }, or {} where there are only caches`,
  ),
  caches: recordOf(
    namespaceField,
    cache,
    `{ shop: { dependsOn: { quotes: ['tenant_id'] } } }`,
  ).exactOptional(),
  cacheTables: recordOf(
    relationField,
    cacheTable,
    `{ campaign_progress: { key: ['user_id'], rules: [] } }`,
  ).exactOptional(),
  engine: objectOf('EngineConfig', `{ workers: 2 }`, {
    workers: integerOf(1, 64, '2').exactOptional(),
    poll: durationOf('250ms', { minMs: 10, maxMs: 60_000 }).exactOptional(),
    idle: objectOf('IdleConfig', `{ after: '10m' }`, {
      after: durationOf('10m', { minMs: 1_000 }),
    }).exactOptional(),
  }).exactOptional(),
})

/** The type and the schema say the same: what one admits and the other does not, does not compile. */
type Admitted = TidemarkConfig extends z.input<typeof config> ? TidemarkConfig : never

/** Deeper than any configuration; what nests further goes round in a circle. */
const depthMax = 20

/** A key that is undefined is absent: `url: process.env['SHOP_URL']` may be either. */
function withoutUndefined(value: unknown, depth = 0): unknown {
  if (depth > depthMax || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item: unknown) => withoutUndefined(item, depth + 1))
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  return Object.fromEntries(
    entries.map(([key, inner]) => [key, withoutUndefined(inner, depth + 1)]),
  )
}

/**
 * Checks the form of a configuration, from wherever it came.
 * Throws one `TIDEMARK_CONFIG_INVALID` that tells every fault of form with its place and mend.
 * Does not check what needs another part of the configuration, a file or the database.
 */
export function checkConfig(value: unknown): TidemarkConfig {
  const result = config.safeParse(withoutUndefined(value))
  if (result.success) {
    const checked: Admitted = result.data
    return checked
  }
  raiseProblems(result.error.issues.flatMap((issue) => problemsOf(issue)))
  throw result.error
}

/**
 * The JSON schema of a configuration, for editors; objects are named after their interfaces.
 * It admits some texts that {@link checkConfig} refuses, never the other way round.
 */
export const configJsonSchema = (): object =>
  z.toJSONSchema(config, {
    io: 'input',
    target: 'draft-7',
    // That a list is not changed here says nothing to who writes one.
    override: ({ jsonSchema }) => delete jsonSchema.readOnly,
  })
