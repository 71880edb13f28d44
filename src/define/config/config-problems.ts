import { TidemarkError, type Fault } from '../../model/errors.ts'

/** What is so, and what to do about it. Neither ends with a full stop in `what`; `mend` is a sentence. */
export interface Finding {
  readonly what: string
  readonly mend: string
}

/** A {@link Finding} at a path of the configuration: `views.sales_by_day.schedules[0].cron`. */
export interface Problem extends Finding {
  readonly place: string
}

/** What this module reads of an issue of zod. */
export interface Issue {
  readonly code?: string | undefined
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly keys?: readonly string[]
  /** Of a union: what each of its options found. */
  readonly errors?: readonly (readonly Issue[])[]
  /** Of a key that is no key: why. */
  readonly issues?: readonly Issue[]
}

/** Hides the password of every URL in a text, so that the text may be shown. */
export const withoutPasswords = (text: string): string =>
  text.replaceAll(/(:\/\/[^:\s]*:)\S*@/g, '$1***@')

/** A value as it may be shown in a message: short, and without a password. */
export function quoted(text: string): string {
  const safe = withoutPasswords(text)
  return `'${safe.length > 60 ? `${safe.slice(0, 57)}…` : safe}'`
}

/** A finding as the one text that zod carries; {@link problemsOf} takes it apart again. */
export const told = ({ what, mend }: Finding): string => `${what}\n${mend}`

function readTold(message: string): Finding {
  const [what = '', ...mend] = message.split('\n')
  return {
    what,
    mend: mend.length === 0 ? 'See docs/configuration.md for what may stand here.' : mend.join(' '),
  }
}

/** A path as people write it: `views.public.sales.schedules[0]`; the whole configuration is `(root)`. */
export function placeOf(path: readonly PropertyKey[]): string {
  const place = path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
  return place.length === 0 ? '(root)' : place.join('').replace(/^\./, '')
}

/** The option of a union that the value was meant for: the first one that looked inside the value. */
const meantOption = (options: readonly (readonly Issue[])[]): readonly Issue[] | undefined =>
  options.find((issues) =>
    issues.some(({ code, path }) => path.length > 0 || code !== 'invalid_type'),
  )

/** Turns what zod found into problems, one for each thing to mend. */
export function problemsOf(issue: Issue, base: readonly PropertyKey[] = []): Problem[] {
  const path = [...base, ...issue.path]
  const meant = issue.code === 'invalid_union' ? meantOption(issue.errors ?? []) : undefined
  if (meant !== undefined) return meant.flatMap((inner) => problemsOf(inner, path))
  if (issue.code === 'invalid_key') {
    return (issue.issues ?? []).flatMap((inner) => problemsOf(inner, path))
  }
  if (issue.code === 'unrecognized_keys') {
    // One line a key, in order: see `objectOf` in config-schema.ts.
    const mends = issue.message.split('\n')
    return (issue.keys ?? []).map((key, i) => ({
      place: placeOf([...path, key]),
      what: `Unknown key ${quoted(key)}`,
      mend: mends[i] ?? 'Remove it.',
    }))
  }
  return [{ place: placeOf(path), ...readTold(issue.message) }]
}

/** Ends with one {@link TidemarkError} that tells all problems, each once; returns when there are none. */
export function raiseProblems(problems: readonly Problem[]): void {
  const faults = new Map<string, Fault>()
  for (const problem of problems) {
    faults.set(`${problem.place} ${problem.what}`, { code: 'TIDEMARK_CONFIG_INVALID', ...problem })
  }
  const [first, ...also] = faults.values()
  if (first !== undefined) throw new TidemarkError({ ...first, also })
}
