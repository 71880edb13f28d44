import { must } from '../base/assert.ts'
import type { CaptureWish } from '../model/capture.ts'
import { beforeName, captureNames, loggedName } from '../model/names.ts'
import { identifier, literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import { dollarQuoted } from './dollar-quoted.ts'

/**
 * A captured column: what it is called in the table, and in the image and the log.
 * The image keeps the name that the column had when it was captured; the image function follows renames.
 */
export interface ImageColumn {
  readonly column: string
  readonly logged: string
  /** What its value before an update is called in the log. */
  readonly before: string
  readonly type: string
}

/**
 * The columns of a wish as they can be read in a trigger, in the order of the table: in place of a column
 * that is generated on reading stand those that it is computed from.
 */
export function imageColumns(wish: CaptureWish): readonly ImageColumn[] {
  const { shape, columns } = wish
  const read = new Set<string>()
  for (const name of columns) {
    const column = must(
      shape.columns.find((candidate) => candidate.name === name),
      `captured columns exist: ${shape.name} has ${name}`,
    )
    for (const base of column.generatedVirtual ? column.generatedFrom : [name]) read.add(base)
  }
  return shape.columns
    .filter(({ name }) => read.has(name))
    .map(({ name, baseType }) => ({
      column: name,
      logged: loggedName(name),
      before: beforeName(name),
      type: baseType,
    }))
}

/**
 * Creates the type of the images and the function that makes one from a row.
 *
 * The function is bound to columns by their numbers, so it survives renames, and PostgreSQL refuses to drop
 * or retype a column that it reads, naming it. With no columns it only holds the table.
 */
export function createImage(wish: CaptureWish): readonly string[] {
  const { name } = wish.shape
  const columns = imageColumns(wish)
  const type = qualified('tidemark', captureNames.imageType(name))
  const image = `${qualified('tidemark', captureNames.image(name))}(${qualifiedName(name)})`
  if (columns.length === 0) {
    return [...createRowFunction(image, 'boolean', 'true')]
  }
  const fields = columns.map(({ logged, type: of }) => `${identifier(logged)} ${of}`)
  const values = columns.map(({ column }) => `($1).${identifier(column)}`)
  return [
    `do ${dollarQuoted(`
begin
  if to_regtype(${literal(type)}) is null then
    create type ${type} as (${fields.join(', ')});
    revoke all on type ${type} from public;
  end if;
end
`)}`,
    ...createRowFunction(image, type, `row(${values.join(', ')})::${type}`),
  ]
}

/**
 * Creates a function over a row of a source whose body PostgreSQL keeps parsed: it follows renames, and the
 * planner puts its body in place of a call.
 */
export function createRowFunction(
  signature: string,
  returns: string,
  expression: string,
): readonly string[] {
  return [
    `create or replace function ${signature} returns ${returns}
language sql immutable parallel safe
begin atomic
  select ${expression};
end`,
    `revoke all on function ${signature} from public`,
  ]
}
