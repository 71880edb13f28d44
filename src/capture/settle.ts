import type { CaptureWish } from '../model/capture.ts'
import { captureNames } from '../model/names.ts'
import { literal, qualified, qualifiedName } from '../postgres/identifier.ts'
import { buckets, captureFunctions } from './capture-function.ts'
import { logFields } from './change-log.ts'
import { dollarQuoted } from './dollar-quoted.ts'
import { imageColumns, imageFields, isOfRenamed } from './image.ts'
import type { CaptureTrigger } from './triggers.ts'

/**
 * Takes away what does not fit the wish: an image of other columns or of another table, a log of other
 * columns, triggers and conditions no longer wanted. In mode `marks` the log says only that something
 * changed, so it outlives a change of columns; in mode `rows` it does not. Leaves a gap when the log was
 * replaced, or when capture did not hold.
 */
export function settle(wish: CaptureWish, triggers: readonly CaptureTrigger[]): string {
  const { name } = wish.shape
  return `do ${dollarQuoted(`
declare
  path text := current_setting('search_path');
  row_type oid := (select c.reltype from pg_class c where c.oid = ${literal(qualifiedName(name))}::regclass);
  had_log boolean := to_regclass(${literal(qualified('tidemark', captureNames.log(name, 0)))}) is not null;
  problem text;
  found record;
begin
  -- Types are compared as they are printed.
  perform set_config('search_path', '', true);
${settleLog(wish)}
${settleImage(wish)}
${settleTriggers(wish, triggers)}
${settleEvents(wish)}
  if problem is not null then
    insert into tidemark.gap (source, reason) values (${literal(name)}, problem);
  end if;
  perform set_config('search_path', path, true);
end
`)}`
}

const fieldsOfRelation = (relation: string): string =>
  `(select array_agg(format('"%s" %s%s', replace(a.attname, '"', '""'), format_type(a.atttypid, a.atttypmod),
                            (select format(' collate %I.%I', k.collnamespace::regnamespace::text, k.collname)
                             from pg_collation k join pg_type t on t.oid = a.atttypid
                             where k.oid = a.attcollation and k.oid <> t.typcollation)) order by a.attnum)
      from pg_attribute a where a.attrelid = ${relation} and a.attnum > 0 and not a.attisdropped)`

function settleLog(wish: CaptureWish): string {
  const { name } = wish.shape
  const names = buckets.map((bucket) => captureNames.log(name, bucket))
  return `
  for found in
    select c.oid::regclass as relation
    from pg_class c
    where c.relnamespace = 'tidemark'::regnamespace and c.relname = any (${textArray(names)})
      and ${fieldsOfRelation('c.oid')} is distinct from ${textArray(['"xid" xid8', '"w" smallint', ...logFields(wish)])}
  loop
    execute format('drop table %s', found.relation);
    problem := 'log_replaced: other columns are captured';
  end loop;`
}

function settleImage(wish: CaptureWish): string {
  const { name } = wish.shape
  const type = qualified('tidemark', captureNames.imageType(name))
  const fields = imageFields(wish)
  const columns = imageColumns(wish).map(
    ({ column, type: of }) => `(${literal(column)}, to_regtype(${literal(of)}))`,
  )
  const image = captureNames.image(name)
  const isWanted =
    columns.length === 0
      ? 'false'
      : `exists (select from (values ${columns.join(', ')}) w (name, type) where w.name = p.proname and w.type = p.prorettype)`
  return `
  if had_log and to_regproc(${literal(qualified('tidemark', captureNames.holder(name)))}) is null then
    problem := coalesce(problem, 'column_dropped: a captured column was dropped');
  end if;
  -- What takes a row of another table that had this name, or reads columns that are no longer wanted.
  for found in
    select p.oid::regprocedure as function
    from pg_proc p
    where p.pronamespace = 'tidemark'::regnamespace
      and (p.proname = ${literal(image)} and p.proargtypes[0] <> row_type
           or p.proname = ${literal(captureNames.holder(name))} and p.pronargs > 0
           or ${isOfRenamed} and p.proargtypes[0] = row_type and not ${isWanted}
           -- Of the columns of another table that had this name, unless that is captured under the one that it has now.
           or ${isOfRenamed} and p.proargtypes[0] <> row_type
              and exists (select from pg_proc i
                          where i.pronamespace = p.pronamespace and i.proname = ${literal(image)} and i.proargtypes[0] = p.proargtypes[0])
              and not exists (select from pg_proc i
                              where i.pronamespace = p.pronamespace and i.proname like 'image of %' and i.proname <> ${literal(image)}
                                and i.prolang <> p.prolang and i.proargtypes[0] = p.proargtypes[0]))
  loop
    execute format('drop function %s', found.function);
  end loop;
  if ${fieldsOfRelation(`(select t.typrelid from pg_type t where t.oid = to_regtype(${literal(type)}))`)}
     is distinct from ${fields.length === 0 ? 'null' : textArray(fields)}
  then
    for found in
      select p.oid::regprocedure as function
      from pg_proc p
      where p.pronamespace = 'tidemark'::regnamespace
        and (p.proname = ${literal(image)} or p.proargtypes[0] = to_regtype(${literal(type)}))
    loop
      execute format('drop function %s', found.function);
    end loop;
    drop type if exists ${type};
  end if;`
}

function settleTriggers(wish: CaptureWish, triggers: readonly CaptureTrigger[]): string {
  const wanted = triggers.map(
    (trigger) => `(${literal(qualifiedName(trigger.table))}, ${literal(trigger.name)})`,
  )
  const values = `(values ${wanted.join(', ')}) w (relation, name)`
  const functions = textArray(captureNames.triggers(wish.shape.name))
  return `
  for found in
    select t.tgrelid::regclass as relation, t.tgname as name
    from pg_trigger t join pg_proc p on p.oid = t.tgfoid
    where p.pronamespace = 'tidemark'::regnamespace
      and p.proname = any (${functions})
      and t.tgparentid = 0
      and not exists (select from ${values}
                      where to_regclass(w.relation) = t.tgrelid and w.name = t.tgname)
  loop
    execute format('drop trigger %I on %s', found.name, found.relation);
  end loop;
  for found in
    select p.oid::regprocedure as function
    from pg_proc p
    where p.pronamespace = 'tidemark'::regnamespace and p.proname = any (${functions})
      and p.proname <> all (${textArray(captureFunctions(wish))})
  loop
    execute format('drop function %s', found.function);
  end loop;
  if had_log and exists (
    select from ${values}
    where not exists (select from pg_trigger t
                      where t.tgrelid = to_regclass(w.relation) and t.tgname = w.name and t.tgenabled = 'A'))
  then
    problem := coalesce(problem, 'trigger_missing: capture did not hold');
  end if;`
}

function settleEvents(wish: CaptureWish): string {
  const { name } = wish.shape
  const wanted = textArray(wish.events.map(({ rule }) => captureNames.event(`${rule} on ${name}`)))
  const image = `to_regtype(${literal(qualified('tidemark', captureNames.imageType(name)))})`
  return `
  for found in
    select p.oid::regprocedure as function
    from pg_proc p
    where p.pronamespace = 'tidemark'::regnamespace and p.proname like 'event %'
      and (p.proargtypes[0] = ${image} and p.proname <> all (${wanted})
           or p.proargtypes[0] is distinct from ${image} and p.proname = any (${wanted}))
  loop
    execute format('drop function %s', found.function);
  end loop;`
}

/** Texts as an array in SQL. */
export const textArray = (texts: readonly string[]): string =>
  `array[${texts.map(literal).join(', ')}]::text[]`
