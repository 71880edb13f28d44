import { z } from 'zod'
import { durationPattern, formatDuration, parseDuration } from '../../base/duration.ts'
import { parseSize, sizePattern } from '../../base/size.ts'
import { quoted, told, type Finding } from './config-problems.ts'

/** What a text must be, in words and by its judge. */
interface TextForm {
  /** With its article: `a duration`. */
  readonly noun: string
  /** As it is written in a configuration: `'5m'`. */
  readonly example: string
  /** Says what is wrong with a text, or nothing. */
  readonly judge?: (text: string) => Finding | undefined
  /** What to do about a number that stands in its place. */
  readonly mendNumber?: (given: number) => string
  readonly pattern?: string
}

/** What to say of a value of the wrong type, or of one that is missing. */
export function mistyped(given: unknown, noun: string, example: string): Finding {
  const mend = `Write ${noun} here, such as ${example}.`
  if (given === undefined) return { what: `Missing ${noun.replace(/^an? /, '')}`, mend }
  const kind = Array.isArray(given) ? 'list' : given === null ? 'null' : typeof given
  const article = kind === 'object' ? 'an ' : kind === 'null' ? '' : 'a '
  return { what: `Expected ${noun}, found ${article}${kind === 'string' ? 'text' : kind}`, mend }
}

/** A text of a form of its own. */
export function textOf(form: TextForm): z.ZodType<string, string> {
  const { noun, example, judge, mendNumber, pattern } = form
  return z
    .string({
      error: ({ input }) => {
        const finding = mistyped(input, noun, example)
        if (typeof input !== 'number' || mendNumber === undefined) return told(finding)
        return told({ ...finding, mend: mendNumber(input) })
      },
    })
    .superRefine((text, context) => {
      const finding =
        text.trim() === ''
          ? { ...mistyped(undefined, noun, example), what: `Empty ${noun.replace(/^an? /, '')}` }
          : judge?.(text)
      if (finding !== undefined) context.addIssue({ code: 'custom', message: told(finding) })
    })
    .meta(pattern === undefined ? {} : { pattern })
}

/** What to do about a duration that is a bare number. */
export const mendUnitless = (given: number): string =>
  `Write its unit too: '${given}s' or '${given}ms'.`

/** A span of time within bounds. */
export function durationOf(
  example: string,
  bounds: { readonly minMs?: number; readonly maxMs?: number } = {},
): z.ZodType<string, string> {
  const { minMs = 1, maxMs = Infinity } = bounds
  const judge = (text: string): Finding | undefined => {
    const ms = parseDuration(text)
    if (ms === null) {
      return {
        what: `${quoted(text)} is not a duration`,
        mend: `Write numbers with their units ms, s, m, h, d or w, such as '${example}' or '1h 30m'.`,
      }
    }
    if (ms < minMs) {
      return {
        what: `${quoted(text)} is too short`,
        mend: `Write at least ${formatDuration(minMs)}.`,
      }
    }
    if (ms <= maxMs) return undefined
    return { what: `${quoted(text)} is too long`, mend: `Write at most ${formatDuration(maxMs)}.` }
  }
  return textOf({
    noun: 'a duration',
    example: `'${example}'`,
    judge,
    mendNumber: mendUnitless,
    pattern: durationPattern,
  })
}

/** A size in bytes, at least a megabyte: a smaller log would be let go at once. */
export const sizeField: z.ZodType<string, string> = textOf({
  noun: 'a size',
  example: `'1GB'`,
  judge: (text) => {
    const bytes = parseSize(text)
    const mend = `Write a number with its unit kB, MB, GB or TB, such as '1GB'.`
    if (bytes === null) return { what: `${quoted(text)} is not a size`, mend }
    return bytes >= 1024 ** 2
      ? undefined
      : { what: `${quoted(text)} is too small`, mend: `Write at least '1MB'.` }
  },
  mendNumber: (given) => `Write its unit too: '${given}MB' or '${given}GB'.`,
  pattern: sizePattern,
})

/** Form only: whether the zone exists is for the schedule to say. */
export const zoneField: z.ZodType<string, string> = textOf({
  noun: 'a time zone',
  example: `'America/Mexico_City'`,
  judge: (text) =>
    /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/.test(text)
      ? undefined
      : {
          what: `${quoted(text)} is not the name of a time zone`,
          mend: `Write an IANA name, such as 'America/Mexico_City' or 'UTC'; an offset has no daylight saving.`,
        },
})

const cronNicknames = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@hourly']

/** Form only: whether the expression ever fires is for the schedule to say. */
export const cronField: z.ZodType<string, string> = textOf({
  noun: 'a cron expression',
  example: `'0 * * * *'`,
  judge: (text) => {
    if (text.startsWith('@')) {
      return cronNicknames.includes(text.toLowerCase())
        ? undefined
        : {
            what: `${quoted(text)} is no cron nickname`,
            mend: `Write one of ${cronNicknames.join(', ')}.`,
          }
    }
    const fields = text.trim().split(/\s+/)
    if (fields.length !== 5 && fields.length !== 6) {
      return {
        what: `${quoted(text)} has ${fields.length} fields, where a cron expression has 5 or 6`,
        mend: `Write minute, hour, day of month, month and day of week, such as '0 * * * *' for every full hour.`,
      }
    }
    const wrong = fields.find((field) => !/^[0-9A-Za-z*,/?#+-]+$/.test(field))
    if (wrong === undefined) return undefined
    return {
      what: `${quoted(wrong)} is not a field of a cron expression`,
      mend: `Write numbers, names, *, lists 1,2, ranges 1-5 and steps */10.`,
    }
  },
})

/** PostgreSQL cuts longer names, silently. */
const nameBytesMax = 63

function judgeName(text: string): Finding | undefined {
  // Control characters are what cannot be seen in the message that quotes the name.
  if (/[\p{Cc}]/u.test(text) || text !== text.trim()) {
    return {
      what: `${quoted(text.trim())} has blanks around it or control characters in it`,
      mend: `Write the name alone.`,
    }
  }
  if (text.includes('"')) {
    return {
      what: `${quoted(text)} has quotation marks in it`,
      mend: `Write the name without them: capitals and blanks are kept as they are.`,
    }
  }
  if (Buffer.byteLength(text) <= nameBytesMax) return undefined
  return {
    what: `${quoted(text)} is longer than ${nameBytesMax} bytes`,
    mend: `Write a shorter name; PostgreSQL would cut this one.`,
  }
}

function judgeRelation(text: string): Finding | undefined {
  const parts = text.split('.')
  if (parts.length > 2 || parts.some((part) => part === '')) {
    return {
      what: `${quoted(text)} is not a name of a relation`,
      mend: `Write '${
        parts
          .filter((part) => part !== '')
          .slice(-2)
          .join('.') || 'public.orders'
      }': a schema and a name, or a name alone for schema public.`,
    }
  }
  const schema = parts.length === 2 ? (parts[0] ?? '') : 'public'
  if (/^(pg_.*|information_schema|tidemark|tidemark_state)$/.test(schema)) {
    return {
      what: `Schema ${quoted(schema)} is not one for users`,
      mend: `Name a relation in a schema of your own, such as 'public.orders'.`,
    }
  }
  for (const part of parts) {
    const finding = judgeName(part)
    if (finding !== undefined) return finding
  }
  return undefined
}

/** A table or view, perhaps without its schema. */
export const relationField: z.ZodType<string, string> = textOf({
  noun: 'a name of a table or view',
  example: `'public.orders'`,
  judge: judgeRelation,
})

/** A name of one part: a role, a column, a group, a calendar. */
export const nameOf = (noun: string, example: string): z.ZodType<string, string> =>
  textOf({ noun, example, judge: judgeName })

/** A name that Tidemark alone uses, of a schedule or a rule; PostgreSQL's limit does not hold for it. */
export const labelOf = (noun: string, example: string): z.ZodType<string, string> =>
  textOf({
    noun,
    example,
    judge: (text) =>
      text.length <= 200 && text === text.trim() && !/[\p{Cc}]/u.test(text)
        ? undefined
        : {
            what: `${quoted(text.trim())} is no name: it is too long, or has blanks around it`,
            mend: `Write at most 200 characters on one line, such as ${example}.`,
          },
  })

/** A namespace of caches: part of names of functions, and of the channel that it is told on. */
export const namespaceField: z.ZodType<string, string> = textOf({
  noun: 'a name of a cache',
  example: `'shop'`,
  judge: (text) =>
    /^[a-z][a-z0-9_]{0,39}$/.test(text)
      ? undefined
      : {
          what: `${quoted(text)} is no name of a cache`,
          mend: `Write at most 40 small letters, digits and underscores, such as 'shop'.`,
        },
})

/** A path of a URL, as the HTTP API compares it. */
export const urlPathField: z.ZodType<string, string> = textOf({
  noun: 'a path of a URL',
  example: `'/api/cron/clean-progress'`,
  judge: (text) =>
    /^\/[^\s?#]*$/.test(text)
      ? undefined
      : {
          what: `${quoted(text)} is no path of a URL`,
          mend: `Begin with a slash and leave out what follows '?', as in '/api/cron/clean-progress'.`,
        },
})

/** SQL as it is written; the compiler reads it. */
export const sqlOf = (noun: string, example: string): z.ZodType<string, string> =>
  textOf({ noun, example })

/** An index as it follows `create index on …`; `unique ` may stand before it. */
export const indexField: z.ZodType<string, string> = textOf({
  noun: 'an index',
  example: `'unique (day)'`,
  judge: (text) =>
    /^(unique\s+)?(using\s+\w+\s+)?\([^;]+\)[^;]*$/i.test(text.trim())
      ? undefined
      : {
          what: `${quoted(text)} is not an index`,
          mend: `Write its columns in brackets, such as '(region, day)' or 'unique (day)'.`,
        },
})

const timeOfDayPattern = '^(([01]\\d|2[0-3]):[0-5]\\d|24:00)$'

/** Whether a text is a time of day of two digits each; such texts compare as the times do. */
export const isTimeOfDay = (text: string): boolean => new RegExp(timeOfDayPattern).test(text)

/** A local time of day, to the minute. */
export const timeOfDayField: z.ZodType<string, string> = textOf({
  noun: 'a time of day',
  example: `'09:00'`,
  judge: (text) =>
    isTimeOfDay(text)
      ? undefined
      : {
          what: `${quoted(text)} is not a time of day`,
          mend: `Write hours and minutes with two digits each, such as '09:00' or '18:30'.`,
        },
  pattern: timeOfDayPattern,
})

function isDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false
  const date = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}

/** A local date that exists. */
export const dateField: z.ZodType<string, string> = textOf({
  noun: 'a date',
  example: `'2026-12-25'`,
  judge: (text) =>
    isDate(text)
      ? undefined
      : {
          what: `${quoted(text)} is not a date`,
          mend: `Write year, month and day of a day that exists, such as '2026-12-25'.`,
        },
  pattern: '^\\d{4}-\\d{2}-\\d{2}$',
})

/** A connection URL. Its text is never quoted: it may hold a password. */
export const urlField: z.ZodType<string, string> = textOf({
  noun: 'a database URL',
  example: `env('TIDEMARK_DATABASE_URL')`,
  judge: (text) =>
    /^postgres(ql)?:\/\/\S+$/.test(text)
      ? undefined
      : {
          what: 'The database URL is not one of PostgreSQL',
          mend: `Write postgres://user@host:5432/database, or env('NAME') to read it from the environment.`,
        },
})
