import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { errorCatalogue, TidemarkError } from './errors.ts'

const manual = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
const manualEntries: Record<string, string> = {}
for (const [, code = '', text = ''] of manual.matchAll(/^\| `(TIDEMARK_[A-Z_]+)` \| (.+?) \|/gm)) {
  manualEntries[code] = text
}

test('the manual lists every error code with its meaning, and no other', () => {
  expect(manualEntries).toEqual(errorCatalogue)
})

test('the message holds what is so, the place, the code and the mend, in this order', () => {
  const fault = new TidemarkError({
    code: 'TIDEMARK_VIEW_UNKNOWN',
    what: 'No view is named sales',
    mend: "List the views with 'tidemark status'.",
    place: 'views.sales',
  })
  expect(fault.message).toBe(
    "No view is named sales at views.sales (TIDEMARK_VIEW_UNKNOWN). List the views with 'tidemark status'.",
  )
})

test('a full stop after what is so does not stand before the place and the code', () => {
  const fault = new TidemarkError({
    code: 'TIDEMARK_CACHE_INVALID',
    what: 'No cache is named so.',
    mend: 'Name one that is.',
    place: 'createCache',
  })
  expect(fault.message).toBe(
    'No cache is named so at createCache (TIDEMARK_CACHE_INVALID). Name one that is.',
  )
})

test('the cause is kept as an object and its text is not printed', () => {
  const cause = new Error('password=hunter2')
  const fault = new TidemarkError({
    code: 'TIDEMARK_DATABASE_UNREACHABLE',
    what: 'The database did not answer',
    mend: 'Start it.',
    cause,
  })
  expect(fault.cause).toBe(cause)
  expect(fault.message).not.toContain('hunter2')
})
