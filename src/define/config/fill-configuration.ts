import { must } from '../../base/assert.ts'
import { nearest } from '../../base/nearest.ts'
import { parseSize } from '../../base/size.ts'
import type {
  BusinessHours,
  Configuration,
  DefinitionSource,
  EventDeclaration,
  ScheduleDeclaration,
  SourceDeclaration,
  PartitionDeclaration,
  ViewDeclaration,
} from '../../model/declaration.ts'
import type { RelationName } from '../../model/ids.ts'
import { relationOf } from '../../model/ids.ts'
import { placeOf, quoted, raiseProblems, type Finding, type Problem } from './config-problems.ts'
import type {
  CalendarConfig,
  EventConfig,
  ScheduleConfig,
  TidemarkConfig,
  ViewConfig,
} from './tidemark-config.ts'
import { fillCaches, fillCacheTables, millisecondsOf } from './fill-caches.ts'
import { readDays } from './weekdays.ts'

/** Where a configuration came from, and how files that it names are read. */
export interface ConfigurationOrigin {
  /** The configuration file; null when it was given as a value. */
  readonly path: string | null
  /** Reads a file by its path as written in the configuration; null when it cannot be read. */
  readonly readText: (path: string) => string | null
}

const viewDefaults = {
  as: 'view',
  maintain: 'auto',
  floatSums: 'exact',
  target: '5m',
  policy: 'deadline',
  verify: 'off',
  fallback: 'none',
  indexes: [],
  schedules: [],
  events: [],
  refreshBy: {},
} as const

type Path = readonly PropertyKey[]

function hoursOf(calendar: CalendarConfig): BusinessHours {
  return {
    zone: calendar.zone,
    days: must(readDays(calendar.days ?? 'mon-fri'), 'days are checked before they are filled in'),
    from: calendar.from,
    to: calendar.to,
    holidays: [...(calendar.holidays ?? [])].sort(),
  }
}

/** Fills in one configuration: keeps what must be unique over all views, and the problems met. */
class Filling {
  readonly problems: Problem[] = []
  readonly #config: TidemarkConfig
  readonly #origin: ConfigurationOrigin
  readonly #timeZone: string
  /** Names of schedules and rules, and where each was met first. */
  readonly #placeOfName = new Map<string, string>()

  constructor(config: TidemarkConfig, origin: ConfigurationOrigin) {
    this.#config = config
    this.#origin = origin
    this.#timeZone = config.database?.timeZone ?? 'UTC'
  }

  configuration(): Configuration {
    const { database = {}, engine = {} } = this.#config
    const sources = this.#sources()
    const views = this.#views(sources)
    return {
      path: this.#origin.path,
      databaseUrl: database.url ?? null,
      runtimeRole: database.runtimeRole ?? null,
      readerRoles: database.readerRoles ?? [],
      maxLogBytes: must(parseSize(database.maxLogSize ?? '1GB'), 'a size is checked before'),
      timeZone: this.#timeZone,
      sources,
      views,
      caches: fillCaches(this.#config.caches ?? {}),
      cacheTables: fillCacheTables(this.#config.cacheTables ?? {}),
      engine: {
        workers: engine.workers ?? 2,
        pollMs: millisecondsOf(engine.poll ?? '250ms'),
        idleAfterMs: engine.idle === undefined ? null : millisecondsOf(engine.idle.after),
      },
    }
  }

  #problem(path: Path, finding: Finding): void {
    this.problems.push({ place: placeOf(path), ...finding })
  }

  #unique(names: Map<string, string>, name: string, path: Path): void {
    const place = placeOf(path)
    const before = names.get(name)
    if (before === undefined) names.set(name, place)
    else {
      const what = `The name ${quoted(name)} is taken by ${before}`
      this.#problem(path, { what, mend: 'Give one of them another name, or remove it.' })
    }
  }

  #sources(): readonly SourceDeclaration[] {
    const places = new Map<string, string>()
    return Object.entries(this.#config.sources ?? {}).map(([key, source]) => {
      const name = relationOf(key)
      this.#unique(places, name, ['sources', key])
      return { name, capture: source.capture ?? 'auto' }
    })
  }

  #views(sources: readonly SourceDeclaration[]): readonly ViewDeclaration[] {
    const places = new Map<string, string>(
      sources.map(({ name }) => [name, `a source, sources.${name}`]),
    )
    return Object.entries(this.#config.views).map(([key, view]) => {
      this.#unique(places, relationOf(key), ['views', key])
      return this.#view(key, view)
    })
  }

  #view(key: string, view: ViewConfig): ViewDeclaration {
    const filled = { ...viewDefaults, ...this.#config.defaults, ...view }
    const path = ['views', key]
    const name = relationOf(key)
    return {
      name,
      definition: this.#definition(name, view, path),
      as: filled.as,
      maintain: filled.maintain,
      floatSums: filled.floatSums,
      ...this.#targets(view, path),
      policy: filled.policy,
      budgetSecondsPerHour: this.#budget(filled.policy, view, path),
      verify: filled.verify,
      group: filled.group ?? null,
      key: filled.key ?? filled.primaryKey ?? null,
      primaryKey: this.#primaryKey(filled, path),
      reads: filled.reads?.map(relationOf) ?? null,
      partition: this.#partition(filled, path),
      indexes: filled.indexes.map((index) => index.trim()),
      schedules: filled.schedules.map((schedule, i) =>
        this.#schedule(
          typeof schedule === 'string' ? { cron: schedule } : schedule,
          `${name} ${i + 1}`,
          [...path, 'schedules', i],
        ),
      ),
      events: this.#events(name, filled.events, [...path, 'events']),
      refreshBy: { roles: [], perHour: null, ...filled.refreshBy },
      fallback: filled.fallback,
      timeoutMs: filled.timeout === undefined ? null : millisecondsOf(filled.timeout),
    }
  }

  #partition({ maintain, partition }: ViewConfig, path: Path): PartitionDeclaration | null {
    if (partition === undefined) return null
    if (maintain === 'incremental' || maintain === 'full') {
      const what = `A partition key has no effect with maintain: '${maintain}'`
      const mend = `Write maintain: 'partition', or remove it.`
      this.#problem([...path, 'partition'], { what, mend })
    }
    const { by, sources = {} } = partition
    const keys = Object.entries(sources).map(([name, key]): [RelationName, string] => [
      relationOf(name),
      key,
    ])
    return { by, sources: new Map(keys) }
  }

  #primaryKey({ as, primaryKey }: ViewConfig, path: Path): readonly string[] | null {
    if (primaryKey === undefined) return null
    if (as !== 'table') {
      const what = `A ${as === 'matview' ? 'materialized view' : 'view'} has no primary key`
      const mend = `Write as: 'table' beside it, or name the columns under 'key'.`
      this.#problem([...path, 'primaryKey'], { what, mend })
    }
    return primaryKey
  }

  #definition(name: RelationName, view: ViewConfig, path: Path): DefinitionSource {
    if (view.sql !== undefined) return { kind: 'sql', sql: view.sql }
    if (view.adopt !== undefined) {
      const relation = relationOf(view.adopt)
      if (relation !== name) {
        const what = `A view takes over ${relation} under its own name, and this one is ${name}`
        this.#problem([...path, 'adopt'], { what, mend: `Name the view '${relation}'.` })
      }
      return { kind: 'adopt', relation }
    }
    const file = must(view.file, 'a view has sql, file or adopt')
    const sql = this.#origin.readText(file)
    if (sql === null) {
      const what = `No file ${quoted(file)} can be read`
      const mend = 'Write its path relative to the folder of the configuration file.'
      this.#problem([...path, 'file'], { what, mend })
    } else if (sql.trim() === '') {
      const what = `The file ${quoted(file)} is empty`
      this.#problem([...path, 'file'], {
        what,
        mend: 'Write the query of the view in it, one SELECT.',
      })
    }
    return { kind: 'file', path: file, sql: sql ?? '' }
  }

  #targets(
    view: ViewConfig,
    path: Path,
  ): Pick<ViewDeclaration, 'targetMs' | 'businessTarget' | 'veryStaleMs'> {
    const { defaults = {} } = this.#config
    const target = view.target ?? defaults.target ?? viewDefaults.target
    const owner = view.target === undefined && defaults.target !== undefined ? ['defaults'] : path
    const targetMs = millisecondsOf(typeof target === 'string' ? target : target.outside)
    const hours =
      typeof target === 'string'
        ? null
        : this.#businessHours(target.businessHours, [...owner, 'target', 'businessHours'])
    const insideMs = typeof target === 'string' ? targetMs : millisecondsOf(target.inside)
    const loosestMs = Math.max(targetMs, insideMs)
    const veryStale = view.veryStaleAfter ?? defaults.veryStaleAfter
    const veryStaleMs = veryStale === undefined ? 2 * loosestMs : millisecondsOf(veryStale)
    if (veryStaleMs < loosestMs) {
      const what = `The view would be very stale after ${quoted(veryStale ?? '')}, before it misses its target`
      const mend = `Write a longer 'veryStaleAfter' than the target, or leave it out for twice the target.`
      this.#problem([...path, 'veryStaleAfter'], { what, mend })
    }
    const businessTarget = hours === null ? null : { hours, targetMs: insideMs }
    return { targetMs, businessTarget, veryStaleMs }
  }

  #budget(policy: ViewDeclaration['policy'], view: ViewConfig, path: Path): number | null {
    const budget = view.budget ?? this.#config.defaults?.budget
    if (policy === 'budget') {
      if (budget !== undefined) return millisecondsOf(budget) / 1_000
      const what = `Policy 'budget' needs to know what it may spend`
      const mend = `Write the busy time an hour beside it, such as budget: '30s'.`
      this.#problem([...path, 'budget'], { what, mend })
    } else if (view.budget !== undefined) {
      const what = `A budget has no effect under policy '${policy}'`
      this.#problem([...path, 'budget'], { what, mend: `Write policy: 'budget', or remove it.` })
    }
    return null
  }

  #schedule(schedule: ScheduleConfig, nameDefault: string, path: Path): ScheduleDeclaration {
    const name = schedule.name ?? nameDefault
    this.#unique(this.#placeOfName, name, path)
    const businessHours =
      schedule.businessHours === undefined
        ? null
        : this.#businessHours(schedule.businessHours, [...path, 'businessHours'])
    return {
      name,
      cron: schedule.cron.trim().split(/\s+/).join(' '),
      zone: schedule.zone ?? businessHours?.zone ?? this.#timeZone,
      businessHours,
      catchUpWithinMs: millisecondsOf(schedule.catchUpWithin ?? '1h'),
      lane: schedule.lane ?? 'normal',
      force: schedule.force ?? false,
    }
  }

  #events(view: RelationName, events: readonly EventConfig[], path: Path): EventDeclaration[] {
    const counts = new Map<RelationName, number>()
    return events.map((event, i) => {
      const source = relationOf(event.on)
      const count = (counts.get(source) ?? 0) + 1
      counts.set(source, count)
      const name = event.name ?? `${view} ${source} ${count}`
      this.#unique(this.#placeOfName, name, [...path, i])
      return {
        name,
        source,
        when: event.when ?? 'true',
        on: event.changes ?? ['insert', 'update'],
        lane: event.priority ?? 'normal',
        batchMs: millisecondsOf(event.batch ?? '0s'),
      }
    })
  }

  #businessHours(hours: string | CalendarConfig, path: Path): BusinessHours | null {
    if (typeof hours !== 'string') return hoursOf(hours)
    const calendars = this.#config.calendars ?? {}
    const calendar = Object.hasOwn(calendars, hours) ? calendars[hours] : undefined
    if (calendar !== undefined) return hoursOf(calendar)
    const meant = nearest(hours, Object.keys(calendars))
    const what = `No calendar is named ${quoted(hours)}`
    const mend =
      meant === undefined
        ? `Declare it: calendars: { ${hours}: { zone: 'UTC', from: '09:00', to: '18:00' } }.`
        : `Write '${meant}' instead, or declare it under calendars.`
    this.#problem(path, { what, mend })
    return null
  }
}

/**
 * Makes the noun of a checked configuration: every default filled in, names in full, files read.
 * Throws one `TIDEMARK_CONFIG_INVALID` that tells every fault that shows only between the parts.
 */
export function fillConfiguration(
  config: TidemarkConfig,
  origin: ConfigurationOrigin,
): Configuration {
  const filling = new Filling(config, origin)
  const configuration = filling.configuration()
  raiseProblems(filling.problems)
  return configuration
}
