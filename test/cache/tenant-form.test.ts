import { expect, test } from 'vitest'
import type { CacheOptions } from '../../src/cache.ts'
import { createCache } from '../../src/cache.ts'
import { cachesOfTests } from './caches-of-tests.ts'

const openCache = cachesOfTests()

/** As it comes from JavaScript, or from a variable of the environment. */
const form = (text: unknown) => text as NonNullable<CacheOptions['tenantForm']>

const bills = (tenantForm: string) => {
  const cache = openCache({ namespace: 'test', tenantForm: form(tenantForm) })
  const load = (tenant: number | string): object => ({ tenant })
  return { cache, bill: cache.define('bill', load, { tenant: (tenant) => tenant }) }
}

test.each([
  't',
  '',
  '{}{}',
  't:{}',
  '{}:t',
  't*{}',
  't {}',
  't\n{}',
  '{id}',
  '{{}}',
  't{}}',
  7,
  null,
])(
  'a form of tenants is refused in which keys of two tenants are the same, or that no pattern can name: %j',
  (text) => {
    expect(() => createCache({ namespace: 'test', tenantForm: form(text) })).toThrow(
      expect.objectContaining({
        code: 'TIDEMARK_CACHE_INVALID',
        place: 'createCache.tenantForm',
      }) as Error,
    )
  },
)

test.each(['{}', 't{}', 'org-{}.eu', '{}@acme', 'compañía_{}', '$&{}'])(
  'a form of its own, %s, parts the keys of tenants, and patterns and names find them',
  async (text) => {
    const { cache, bill } = bills(text)
    const seven = text.replace('{}', () => '7')
    expect(bill.key(7)).toMatch(`test:bill:${seven}:`)
    expect(bill.key(7)).not.toBe(bill.key(8))
    expect([(await bill.get(7)).value, (await bill.get(8)).value]).toEqual([
      { tenant: 7 },
      { tenant: 8 },
    ])
    const held = () => [7, 8].map((tenant) => bill.prepare(tenant).hit() !== undefined)
    const ways = [
      { patterns: [`bill:${seven}:*`] },
      { patterns: [`bill:${text.replace('{}', () => '{tenantId}')}:*`], with: { tenantId: 7 } },
      { tenants: [7] },
    ]
    for (const of of ways) {
      await bill.getMany([[7], [8]])
      expect(held()).toEqual([true, true])
      await cache.remove(of)
      expect(held()).toEqual([false, true])
    }
    expect(() => {
      cache.check([`bil:${text.replace('{}', () => '{tenantId}')}:*`])
    }).toThrow(text.replace('{}', () => '{tenantId}'))
  },
)
