import { describe, expect, test } from 'vitest'
import { demoOptions } from './demo-options.ts'

describe('the options of the demonstration', () => {
  test('without flags it takes the shop that is there, writes steadily and ends when told', () => {
    expect(demoOptions({}, '/data')).toEqual({
      lines: null,
      seed: null,
      rate: 20,
      forMs: null,
      json: false,
      reset: false,
      port: null,
      folder: '/data',
    })
  })

  test('flags are read as people write them', () => {
    const flags = { rows: '2_000_000', for: '20s', json: true, rate: '0', port: '5433' }
    expect(demoOptions(flags, '/data')).toMatchObject({
      lines: 2_000_000,
      forMs: 20_000,
      json: true,
      rate: 0,
      port: 5_433,
    })
  })

  test('a value without a meaning is refused with the mend', () => {
    const wrong = [
      { rows: 'many' },
      { rows: '10' },
      { rows: '1.5' },
      { seed: '-1' },
      { rate: '100000' },
      { port: '80' },
      { for: '20' },
      { for: '10ms' },
      { for: 'soon' },
    ]
    for (const flags of wrong) {
      expect(() => demoOptions(flags, '/data')).toThrow(/TIDEMARK_USAGE.*Write it/)
    }
  })
})
