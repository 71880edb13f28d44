import { must } from '../base/assert.ts'
import type { CaptureWish } from '../model/capture.ts'
import { beforeName, captureNames, loggedName } from '../model/names.ts'
import { identifier, literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import { dollarQuoted } from './dollar-quoted.ts'

/**
 * A captured column: what it was called when it was captured, in the table and so in the image, and what in the log.
 */
export interface ImageColumn {
  readonly column: string
  readonly attnum: number
  readonly logged: string
  /** What its value before an update is called in the log. */
  readonly before: string
  readonly type: string
  /** As SQL, where it is not that of the type. */
  readonly collation: string | null
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
    .map(({ name, attnum, baseType, collation }) => ({
      column: name,
      attnum,
      logged: loggedName(name),
      before: beforeName(name),
      type: baseType,
      collation,
    }))
}

/**
 * Creates the type of the images, the function that makes one from a row, and what keeps both true.
 *
 * PostgreSQL has no expression over a row that follows renames, is put in place of a call by the planner, and lets the table be altered: a
 * function whose parsed body takes the row forbids, since the minor releases of 2026, ADD COLUMN with a default and every change of
 * a type. So three share the work. The image names columns in a body that is text. The holder reads them by number, so PostgreSQL
 * refuses to drop or retype one, naming it; with no columns it only holds the table. And where the image's name of a
 * column is no more, `($1).name` calls a function of that name, which finds the column by its number: slower, until the next apply.
 */
export function createImage(wish: CaptureWish): readonly string[] {
  const { name } = wish.shape
  const columns = imageColumns(wish)
  const row = qualifiedName(name)
  const holder = `${qualified('tidemark', captureNames.holder(name))}()`
  const held = columns.map(({ column }) => identifier(column)).join(', ')
  const holding = [
    `create or replace function ${holder} returns void
language sql stable
begin atomic
  select ${held} from ${row};
end`,
    `revoke all on function ${holder} from public`,
  ]
  if (columns.length === 0) return holding
  const type = qualified('tidemark', captureNames.imageType(name))
  const image = `${qualified('tidemark', captureNames.image(name))}(${row})`
  const values = columns.map(({ column }) => `($1).${identifier(column)}`)
  return [
    ...holding,
    `do ${dollarQuoted(`
begin
  if to_regtype(${literal(type)}) is null then
    create type ${type} as (${imageFields(wish).join(', ')});
    revoke all on type ${type} from public;
  end if;
end
`)}`,
    ...columns.flatMap((column) => createRenamed(wish, column)),
    `create or replace function ${image} returns ${type}
language sql immutable parallel safe
as ${dollarQuoted(`select row(${values.join(', ')})::${type}`)}`,
    `revoke all on function ${image} from public`,
  ]
}

/** SQL that is true of functions `p` of {@link createRenamed}, whichever table's row they take. */
export const isOfRenamed: string = `p.pronargs = 1 and p.prolang = (select l.oid from pg_language l where l.lanname = 'plpgsql')`

/** The fields of an image as DDL has them. They compare as the columns do. */
export const imageFields = (wish: CaptureWish): readonly string[] =>
  imageColumns(wish).map(
    ({ column, type, collation }) =>
      `${identifier(column)} ${type}${collation === null ? '' : ` collate ${collation}`}`,
  )

/**
 * The value of a column whose name has changed, by its number. The name is that of now, as the statement around has it, whatever
 * the snapshot of the transaction shows: in one of REPEATABLE READ the table of columns would still have the former name.
 */
function createRenamed(
  wish: CaptureWish,
  { column, attnum, type }: ImageColumn,
): readonly string[] {
  const signature = `${qualified('tidemark', column)}(${qualifiedName(wish.shape.name)})`
  return [
    `create or replace function ${signature} returns ${type}
language plpgsql stable parallel safe
as ${dollarQuoted(`
declare
  -- A variable of the type would, where that is composite, take the value for its first field.
  found record;
begin
  execute format('select ($1).%I as value', (pg_identify_object_as_address(
    'pg_class'::regclass, to_regclass(pg_typeof($1)::text), ${attnum})).object_names[3]) into found using $1;
  return found.value;
end
`)}`,
    `revoke all on function ${signature} from public`,
  ]
}

/**
 * Creates the function that holds the condition of an event over an image. PostgreSQL keeps its body parsed, so operators and
 * constants mean what they meant when it was made.
 */
export function createConditionFunction(
  wish: CaptureWish,
  signature: string,
  condition: string,
): readonly string[] {
  const image = qualified('tidemark', captureNames.imageType(wish.shape.name))
  return [
    `create or replace function ${signature}(${image}) returns boolean
language sql immutable parallel safe
begin atomic
  select ${condition};
end`,
    `revoke all on function ${signature}(${image}) from public`,
  ]
}
