import { expect, test } from 'vitest'
import { compositeFields } from './composite.ts'

test.each([
  ['(1,2)', ['1', '2']],
  ['(1,)', ['1', null]],
  ['(,)', [null, null]],
  ['(1,"")', ['1', '']],
  ['("a, (b)",c)', ['a, (b)', 'c']],
  ['("say ""so""","back\\\\slash")', ['say "so"', 'back\\slash']],
  ['("{1,2}","(3,""4 5"")")', ['{1,2}', '(3,"4 5")']],
  ['(1)', ['1']],
])('%s is read as its fields', (text, fields) => {
  expect(compositeFields(text)).toEqual(fields)
})
